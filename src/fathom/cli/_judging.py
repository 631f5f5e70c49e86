"""What the verbs that judge share: open a source and a session, write rows as they come, say what made them."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from fathom.cli._failures import RowCounts, check_failures
from fathom.cli._verb import check_journal, claim, file_outputs

if TYPE_CHECKING:
    from fathom.data.reading import Comparisons
    from fathom.data.records import Comparison
    from fathom.engines import Engine
    from fathom.judging import RowOutcome
    from fathom.judging.session import Session
    from fathom.results.outputs import Claim
    from fathom.settings import JudgingSettings, SourceSettings

Counted = TypeVar("Counted")
Write = Callable[[BinaryIO], "AsyncGenerator[RowOutcome, None]"]
"""Writes rows, and yields the outcome of each."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One verb on one source: the comparisons, the session that judges them, and the file of its rows."""

    comparisons: Comparisons
    inputs: Sequence[Path]
    """The files that the comparisons come from."""
    session: Session
    out: Path | None
    config: Mapping[str, Any]
    """What OUT.meta.json records of the arguments, by the names of the options."""
    total: int | None = None
    """How many rows there are, where that is known."""
    claim: Claim | None = None
    """On `out` and what stands beside it."""
    counts: RowCounts = field(default_factory=RowCounts)


def read(
    file: str, settings: JudgingSettings, source: SourceSettings, check: Callable[[Comparison], None] | None = None
) -> tuple[Comparisons, Sequence[Path]]:
    """The comparisons of a file and the files they come from, checked by the judge where no other `check` is given."""
    from fathom.data import reading
    from fathom.judging.session import judge_of

    judge = judge_of(settings)
    # A judge of one response is asked about several one by one.
    check = check or (judge.check if judge.pattern == "pairwise" else None)
    comparisons = reading.read(
        file,
        mapping=reading.parse_mapping(source.map),
        check=check,
        seed=settings.sampling.seed,
        on_error=source.on_error,
        limit=source.limit,
    )
    return comparisons, comparisons.files


def claim_rows(
    out: Path | None,
    journal: Path | None,
    *more: Path,
    space: int = 0,
    reads: Sequence[Path] = (),
    **settings: Any,
) -> Claim | None:
    """Claims --out, what it brings beside it and `more` files; None where rows go to standard output.

    `space` is the number of bytes that the rows have at least, `reads` are files beside those that the arguments name.
    """
    from fathom.results.outputs import beside

    if out is None:
        if journal:
            check_journal(journal)
        return None
    own = None if journal else journal_of(None, out)
    outputs = file_outputs("--out", out, beside(out, "skipped.jsonl"), *more, journal=own, space=space)
    claimed = claim(outputs, reads=dict.fromkeys(reads, "--data"), **settings)
    if journal:
        check_journal(journal)
    return claimed


def journal_of(journal: Path | None, out: Path | None) -> Path | None:
    """Where finished completions are kept: --journal, or beside --out where that is a file."""
    from fathom.results.outputs import beside, is_replaceable

    if journal or out is None or not is_replaceable(out):
        return journal
    return beside(out, "journal")


def space_of(file: str, limit: int | None) -> int:
    """How many bytes the rows of a whole file have at least.

    A row holds what was judged; as JSON it may take less than in the file, where that escapes its characters.
    """
    source = Path(file)
    return source.stat().st_size // 3 if source.is_file() and limit is None else 0


def opened(
    settings: JudgingSettings,
    comparisons: Comparisons,
    inputs: Sequence[Path],
    out: Path | None,
    config: Mapping[str, Any],
    *,
    claim: Claim | None,
    total: int | None = None,
    engine: Engine | None = None,
) -> Run:
    """A run over comparisons. `engine` takes the place of the one that the settings name, where several runs share it.

    `config` is recorded beside the settings. Raises FathomError for what cannot be opened.
    """
    from fathom.engines.opening import open_engine
    from fathom.judging.session import Session
    from fathom.settings import flat

    engine = engine or open_engine(settings.engine)
    if claim:
        claim.settle(engine=engine.identity)
    session = Session(settings, journal=journal_of(settings.engine.journal, out), engine=engine)
    recorded = {name: value for name, value in flat(settings).items() if name != "journal"} | dict(config)
    return Run(
        comparisons=comparisons, inputs=inputs, session=session, out=out, config=recorded, total=total, claim=claim
    )


def rows_of(file: str, limit: int | None) -> int | None:
    """How many rows a file has, at most `limit`; None where that cannot be told before it is read."""
    path = Path(file)
    if path.suffix != ".jsonl" or not path.is_file():
        return limit
    with path.open("rb") as lines:
        return min(sum(1 for _ in lines), limit or sys.maxsize)


def write(run: Run, what: str, rows: Write) -> None:
    """Have `rows` write to the run's file or to standard output; show progress; close the engine."""
    import asyncio
    import gc

    from fathom.cli._progress import counting
    from fathom.cli._running import resumable
    from fathom.data.atomic import atomic_write

    gc.freeze()  # so that the collector does not walk through all that is loaded by now, again and again
    session = run.session

    async def closing(sink: BinaryIO, progress: Callable[[RowOutcome], None]) -> None:
        async with session, aclosing(rows(sink)) as outcomes:
            async for outcome in outcomes:
                run.counts.add(outcome)
                progress(outcome)

    with (
        resumable(session.journal, run.out),
        atomic_write(run.out) if run.out else nullcontext(sys.stdout.buffer) as sink,
        counting(what, run.total, partial(str, session.metered)) as progress,
    ):
        asyncio.run(closing(sink, progress))
    if run.claim:
        run.claim.seal()


def show(title: str, tallies: Mapping[str, Counted], lines: Mapping[str, Callable[[Counted], str]]) -> None:
    """A table on stderr: a column per group of rows, a line per figure."""
    from rich.console import Console

    from fathom.cli._figures import table

    Console(stderr=True).print(table(title, tallies, lines))


def describe(run: Run, summary: Mapping[str, Any]) -> None:
    """Writes OUT.meta.json and OUT.skipped.jsonl, and says on stderr what was spent and skipped."""
    import typer

    from fathom.cli._running import spending, spent_in_words
    from fathom.cli._skipped import report
    from fathom.judging.choice import described
    from fathom.results.outputs import beside, is_replaceable
    from fathom.results.provenance import provenance, write_json

    session = run.session
    out = run.out if run.out and is_replaceable(run.out) else None
    if out:
        chosen = session.settings.judge
        judge = described(session.reward_model, chosen.judge)
        made: dict[str, Any] = {"engine": session.cached.identity, "judge": judge}
        if session.meta is not None:
            made["meta"] = session.meta.scorer.identity
        inputs = [*run.inputs, *([chosen.rubric] if chosen.rubric else [])]
        told = {"summary": summary, "spent": spending(session.metered, session.journal)}
        write_json(beside(out, "meta.json"), provenance({**run.config, **made}, inputs) | told)
    report(run.comparisons.skipped, beside(out, "skipped.jsonl") if out else None)
    if run.claim:
        run.claim.seal()
    typer.echo(spent_in_words(session.metered, session.journal), err=True)


def finish(run: Run, fail_on: str) -> None:
    """Says how many rows failed. Raises an error with the exit code for it where --fail-on does not allow as many."""
    metered = run.session.metered
    check_failures(run.counts, fail_on, metered.failure, completed=metered.completed)
