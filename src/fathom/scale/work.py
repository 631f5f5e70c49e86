"""Judges one shard, as a worker does. Nothing here depends on Ray.

    report = await work_on(job, shard, content, engine, ledger, local)

`ledger` calls a method of the run's `Ledger` by its name, wherever that is.

The session, the judge and the rows are those of one machine. A comparison whose judging raises an error is set aside
with its reason; an error that ends a run on one machine, such as a refused key or a spent budget, ends this one too.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fathom.data.folders import Folder
from fathom.data.records import Comparison
from fathom.engines import Engine, RunStoppedError
from fathom.engines.journal import JournalError
from fathom.errors import FathomError
from fathom.judges import Verdict, judge_all
from fathom.judging import RowOutcome, row_outcome, verdict_or_ranking
from fathom.judging.session import Session
from fathom.ranking import Ranking
from fathom.results import parts
from fathom.results.export import TableRow, figures
from fathom.results.rows import to_row, write_row
from fathom.scale.budget import Borrower
from fathom.scale.ledger import Attempt
from fathom.scale.plan import Report, SetAside, decode, shard_name, write_report
from fathom.scale.segments import SegmentedJournal
from fathom.settings import BoundSettings, JudgingSettings

JOURNAL = "journal"
"""The folder of the segments, with a folder per shard, within that of the run."""
CONCURRENCY = 256
"""Comparisons of a shard in progress, as in `fathom.judging.write_verdicts`; the engine limits its calls."""
KILLED = "the worker died while it judged this comparison alone"


@dataclass(frozen=True)
class Job:
    """What all workers of a run share."""

    settings: JudgingSettings
    out: Folder
    identity: str
    """That of the plan."""
    rankings: bool = False
    """Whether a pairwise judge ranks more than two responses, as in `fathom eval`."""

    @property
    def of_a_worker(self) -> JudgingSettings:
        """The settings without bounds, which hold for all workers together."""
        bounds = BoundSettings(prices=self.settings.bounds.prices)
        return self.settings.model_copy(update={"bounds": bounds})


@dataclass
class Done:
    """The rows of a shard."""

    rows: list[TableRow] = field(default_factory=list)
    """Rows with the columns of `fathom.results.parts.COLUMNS`."""
    outcomes: list[RowOutcome] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)

    def add(self, index: int, comparison: Comparison, result: Verdict | Ranking | Exception) -> None:
        if isinstance(result, Exception):
            self.set_aside.append(SetAside(index, comparison.id, f"{type(result).__name__}: {result}"))
            return
        row, line = to_row(comparison, result), io.BytesIO()
        write_row(line, row)
        self.rows.append({**figures(row), "row": line.getvalue().rstrip(b"\n").decode()})
        self.outcomes.append(row_outcome(result))


async def judge_shard(
    job: Job,
    comparisons: Iterable[Comparison],
    session: Session,
    *,
    killers: Collection[int] = (),
    alone: Callable[[int], Awaitable[None]] | None = None,
) -> Done:
    """Judge comparisons in their order.

    `killers`: positions that are set aside unjudged, because they ended their worker. With `alone`, one comparison is
    judged at a time, and its position is announced first.
    """
    model, done = session.reward_model, Done()
    judge = _settled(verdict_or_ranking(model) if job.rankings else model, alone)
    numbered = list(enumerate(comparisons))
    done.set_aside = [SetAside(index, each.id, KILLED) for index, each in numbered if index in killers]
    waiting = [(index, each) for index, each in numbered if index not in killers]
    async with aclosing(judge_all(judge, waiting, concurrency=1 if alone else CONCURRENCY)) as results:
        async for (index, comparison), result in results:
            done.add(index, comparison, result)
    return done


Numbered = tuple[int, Comparison]
Result = Verdict | Ranking


def _settled(
    judge: Callable[[Comparison], Awaitable[Result]], alone: Callable[[int], Awaitable[None]] | None
) -> Callable[[Numbered], Awaitable[Result | Exception]]:
    """Judge and return the result or the error."""

    async def settled(numbered: Numbered) -> Result | Exception:
        index, comparison = numbered
        if alone:
            await alone(index)
        try:
            return await judge(comparison)
        except (RunStoppedError, JournalError):
            raise
        except Exception as error:  # noqa: BLE001 - one row of millions must not end the run
            return error

    return settled


Ledgers = Callable[..., Awaitable[Any]]
"""Calls a method of the run's `fathom.scale.ledger.Ledger`: its name, then its arguments."""


async def work_on(job: Job, shard: int, content: bytes, engine: Engine, ledger: Ledgers, local: Path) -> Report:
    """Judge a shard, write its part and its report. `local`: a folder of this machine for the journal's SQLite file.

    Raises FathomError if the run has stopped or must stop; the other workers then learn it from the ledger.
    """
    attempt = Attempt(*await ledger("begin", shard))
    if attempt.stop:
        raise RunStoppedError(attempt.stop)
    file = local / f"{shard_name(shard)}.journal"
    try:
        journal = SegmentedJournal(job.out / JOURNAL / shard_name(shard), file, engine)
        session = Session(job.of_a_worker, engine=engine, store=journal)
        async with borrowing(job, session, ledger), session:
            alone = partial(ledger, "announce", shard) if attempt.alone else None
            done = await judge_shard(job, decode(content), session, killers=attempt.killers, alone=alone)
        report = publish(
            job, shard, done, session
        )  # after the session has closed the journal: its last segment is written
    except FathomError as error:
        await ledger("stop", str(error))
        raise
    await ledger("end", shard)
    file.unlink(missing_ok=True)
    return report


@asynccontextmanager
async def borrowing(job: Job, session: Session, ledger: Ledgers) -> AsyncIterator[None]:
    """Keep the calls of a session under the bounds of the run, and give back what is left."""
    bounds = job.settings.bounds
    if bounds.max_cost is None and bounds.max_total_tokens is None:
        yield
        return
    borrower = Borrower(partial(ledger, "lend"), session.metered.price)
    session.metered.report_calls_to(borrower)
    try:
        yield
    finally:
        await ledger("give_back", borrower.unused)


def publish(job: Job, shard: int, done: Done, session: Session) -> Report:
    """Write the part of a shard, then its report."""
    content = parts.encode(done.rows)
    (job.out / parts.PARTS).write(parts.part_name(shard), content)
    metered = session.metered
    report = Report(
        shard=shard,
        identity=job.identity,
        engine=session.cached.identity,
        rows=len(done.rows),
        failed=sum(outcome.failed for outcome in done.outcomes),
        without_verdict=sum(outcome.failed and not outcome.parsed for outcome in done.outcomes),
        unparsed=sum(not outcome.parsed for outcome in done.outcomes),
        sha256=hashlib.sha256(content).hexdigest(),
        set_aside=tuple(sorted(done.set_aside, key=lambda each: each.index)),
        prompt_tokens=metered.usage.prompt_tokens,
        completion_tokens=metered.usage.completion_tokens,
        unknown_calls=metered.usage.unknown_calls,
        cost=metered.cost,
        error=None if metered.failure is None else str(metered.failure),
        completed=metered.completed,
    )
    write_report(job.out, report)
    return report
