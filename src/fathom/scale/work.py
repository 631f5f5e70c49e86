"""Works on one shard, as a worker does. Nothing here depends on Ray.

    report = await work_on(job, shard, content, engine, ledger, local)

`ledger` calls a method of the run's `Ledger` by its name, wherever that is.

What is done to a comparison is the code of one machine (`fathom.scale.task`). If it raises an error, the comparison is
set aside with its reason; an error that ends a run on one machine, such as a refused key or a spent budget, ends this
one too.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fathom.data.folders import Folder
from fathom.data.records import Comparison
from fathom.engines import Engine, RunStoppedError
from fathom.engines.cache import CachedEngine
from fathom.engines.journal import JournalError
from fathom.engines.metering import Metered
from fathom.engines.opening import meter
from fathom.errors import FathomError
from fathom.judges import judge_all
from fathom.judging import RowOutcome
from fathom.results import parts
from fathom.results.export import TableRow
from fathom.scale.budget import Borrower
from fathom.scale.ledger import Attempt, Place
from fathom.scale.plan import Report, SetAside, Settled, decode, shard_name, write_report
from fathom.scale.segments import SegmentedJournal
from fathom.scale.task import Item, Task, Work
from fathom.settings import BoundSettings

JOURNAL = "journal"
"""The folder of the segments, with a folder per shard, within that of the run."""
TELL_SECONDS = 1.0
"""How often a worker tells the ledger what it has settled, which the driver shows as progress."""
KILLED = "the worker died while it worked on this comparison alone"


@dataclass(frozen=True)
class Job:
    """What all workers of a run share."""

    task: Task
    out: Folder
    identity: str
    """That of the plan."""

    def place(self, shard: int) -> Place:
        """The shard, for a ledger that several jobs may share."""
        return self.identity, shard


@dataclass
class Done:
    """What came of a shard."""

    rows: list[TableRow] = field(default_factory=list)
    outcomes: list[RowOutcome] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    details: Mapping[str, Any] = field(default_factory=dict)

    def add(self, index: int, comparison: Comparison, result: Item | Exception) -> None:
        if isinstance(result, Exception):
            self.set_aside.append(SetAside(index, comparison.id, f"{type(result).__name__}: {result}"))
            return
        self.rows.append(result.row)
        self.outcomes.append(result.outcome)

    def settled(self, metered: Metered) -> Settled:
        """Its counts. `metered`: the engine with which all of it was done."""
        aside = len(self.set_aside)
        return Settled(
            rows=len(self.outcomes) + aside,
            unparsed=sum(not outcome.parsed for outcome in self.outcomes) + aside,
            failed=sum(outcome.failed for outcome in self.outcomes) + aside,
            tokens=metered.usage.tokens,
            cost=metered.cost,
        )


async def work_through(
    work: Work,
    comparisons: Iterable[Comparison],
    *,
    concurrency: int,
    tell: Callable[[Done], Awaitable[None]],
    killers: Collection[int] = (),
    alone: Callable[[int], Awaitable[None]] | None = None,
) -> Done:
    """Work on comparisons and collect what came of them, in their order.

    `tell` is called about every `TELL_SECONDS`, and at the end. `killers`: positions that are set aside untried,
    because they ended their worker. With `alone`, one comparison is worked on at a time, and its position is announced
    first.
    """
    done, numbered, told = Done(), list(enumerate(comparisons)), time.monotonic()
    done.set_aside = [SetAside(index, each.id, KILLED) for index, each in numbered if index in killers]
    waiting = [(index, each) for index, each in numbered if index not in killers]
    each = _settled(work.item, alone)
    async with aclosing(judge_all(each, waiting, concurrency=1 if alone else concurrency)) as results:
        async for (index, comparison), result in results:
            done.add(index, comparison, result)
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                await tell(done)
    await tell(done)
    done.details = work.details()
    return done


Numbered = tuple[int, Comparison]


def _settled(
    item: Callable[[Comparison], Awaitable[Item]], alone: Callable[[int], Awaitable[None]] | None
) -> Callable[[Numbered], Awaitable[Item | Exception]]:
    """Return the item or the error."""

    async def settled(numbered: Numbered) -> Item | Exception:
        index, comparison = numbered
        if alone:
            await alone(index)
        try:
            return await item(comparison)
        except (RunStoppedError, JournalError):
            raise
        except Exception as error:  # noqa: BLE001 - one row of millions must not end the run
            return error

    return settled


Ledgers = Callable[..., Awaitable[Any]]
"""Calls a method of the run's `fathom.scale.ledger.Ledger`: its name, then its arguments."""


async def work_on(job: Job, shard: int, content: bytes, engine: Engine, ledger: Ledgers, local: Path) -> Report:
    """Work on a shard, write its part and its report. `local`: a folder of this machine for the journal's SQLite file.

    `engine` is closed, unless it is shared (`fathom.engines.opening.shared`). Raises FathomError if the run has stopped
    or must stop; the other workers then learn it from the ledger.
    """
    attempt = Attempt(*await ledger("begin", job.place(shard)))
    if attempt.stop:
        raise RunStoppedError(attempt.stop)
    file = local / f"{shard_name(shard)}.journal"
    try:
        journal = SegmentedJournal(job.out / JOURNAL / shard_name(shard), file, engine)
        metered = _metered(job.task, engine)
        async with borrowing(job, metered, ledger), CachedEngine(metered, journal) as cached:
            alone = partial(ledger, "announce", job.place(shard)) if attempt.alone else None

            async def tell(done: Done) -> None:
                await ledger("settle", job.place(shard), done.settled(metered))

            with job.task.work(cached) as work:
                done = await work_through(
                    work,
                    decode(content),
                    concurrency=job.task.concurrency,
                    tell=tell,
                    killers=attempt.killers,
                    alone=alone,
                )
        # After the journal was closed: its last segment is written.
        report = publish(job, shard, done, metered, cached.identity)
    except FathomError as error:
        await ledger("stop", str(error))
        raise
    await ledger("end", job.place(shard))
    file.unlink(missing_ok=True)
    return report


def _metered(task: Task, engine: Engine) -> Metered:
    """The engine, metered without bounds, which hold for all workers together."""
    return meter(engine, task.engine, BoundSettings(prices=task.bounds.prices))


@asynccontextmanager
async def borrowing(job: Job, metered: Metered, ledger: Ledgers) -> AsyncIterator[None]:
    """Keep the calls of a worker under the bounds of the run, and give back what is left."""
    bounds = job.task.bounds
    if bounds.max_cost is None and bounds.max_total_tokens is None:
        yield
        return
    borrower = Borrower(partial(ledger, "lend"), metered.price)
    metered.report_calls_to(borrower)
    try:
        yield
    finally:
        await ledger("give_back", borrower.unused)


def publish(job: Job, shard: int, done: Done, metered: Metered, engine: str) -> Report:
    """Write the part of a shard, then its report. `engine`: its identity."""
    content = parts.encode(done.rows, job.task.columns)
    (job.out / job.task.folder).write(parts.part_name(shard), content)
    report = Report(
        shard=shard,
        identity=job.identity,
        engine=engine,
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
        unreadable=metered.failure is not None and metered.failure.kind == "text" and not done.set_aside,
        first_failed=next((outcome.id for outcome in done.outcomes if outcome.failed), ""),
        details=dict(done.details),
    )
    write_report(job.out, report)
    return report
