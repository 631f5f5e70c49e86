"""Shared by the verbs that judge: opens the source and the session, writes rows, and records the provenance."""

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
    """The arguments that OUT.meta.json records, by option name."""
    total: int | None = None
    """The number of rows, if known."""
    claim: Claim | None = None
    """The claim on `out` and its companion files."""
    counts: RowCounts = field(default_factory=RowCounts)


def read(
    file: str, settings: JudgingSettings, source: SourceSettings, check: Callable[[Comparison], None] | None = None
) -> tuple[Comparisons, Sequence[Path]]:
    """The comparisons of a file, and the files they come from. By default the judge checks each comparison."""
    from fathom.cli import _source
    from fathom.judging.session import judge_of

    judge = judge_of(settings)
    # Pointwise judges accept any number of responses, because they are called once per response.
    check = check or (judge.check if judge.arity == "pairwise" else None)
    comparisons = _source.read(file, source, seed=settings.sampling.seed, check=check)
    return comparisons, comparisons.files


def claim_rows(
    out: Path | None,
    journal: Path | None,
    *more: Path,
    space: int = 0,
    reads: Sequence[Path] = (),
    **settings: Any,
) -> Claim | None:
    """Claim --out, its companion files and `more` files; None if rows go to standard output.

    `space`: minimum size of the rows in bytes. `reads`: input files that the arguments do not name.
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
    """The journal's path: --journal, or a file beside --out if that is a regular file."""
    from fathom.results.outputs import beside, is_replaceable

    if journal or out is None or not is_replaceable(out):
        return journal
    return beside(out, "journal")


def space_of(file: str, limit: int | None) -> int:
    """Minimum size in bytes of the rows of a whole file.

    A row contains the comparison. It can be smaller than in the source if that escapes characters, hence the factor.
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
    """Open a run. `engine` replaces the engine of the settings if several runs share one.

    `config` is recorded in addition to the settings. Raises FathomError if something cannot be opened.
    """
    from fathom.engines.opening import open_engine
    from fathom.judging.session import Session
    from fathom.settings import flatten_settings

    engine = engine or open_engine(settings.engine)
    if claim:
        claim.settle(engine=engine.identity)
    session = Session(settings, journal=journal_of(settings.engine.journal, out), engine=engine)
    recorded = {name: value for name, value in flatten_settings(settings).items() if name != "journal"} | dict(config)
    return Run(
        comparisons=comparisons, inputs=inputs, session=session, out=out, config=recorded, total=total, claim=claim
    )


def rows_of(file: str, limit: int | None) -> int | None:
    """The number of rows of a file, at most `limit`; None if it is unknown before the file is read."""
    path = Path(file)
    if path.suffix != ".jsonl" or not path.is_file():
        return limit
    with path.open("rb") as lines:
        return min(sum(1 for _ in lines), limit or sys.maxsize)


def write(run: Run, what: str, rows: Write) -> None:
    """Have `rows` write to the run's file or to standard output; show progress; close the engine."""
    from fathom.cli._loop import run_loop
    from fathom.cli._progress import counting
    from fathom.cli._running import resumable
    from fathom.data.atomic import atomic_write

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
        run_loop(closing(sink, progress))
    if run.claim:
        run.claim.seal()


def show(title: str, tallies: Mapping[str, Counted], lines: Mapping[str, Callable[[Counted], str]]) -> None:
    """Print a table on stderr, with a column per group of rows and a line per metric."""
    from rich.console import Console

    from fathom.cli._figures import table

    Console(stderr=True).print(table(title, tallies, lines))


def describe(run: Run, summary: Mapping[str, Any]) -> None:
    """Write OUT.meta.json and OUT.skipped.jsonl, and report on stderr what was spent and skipped."""
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
        judge = described(session.base_judge, chosen.judge)
        identities: dict[str, Any] = {"engine": session.cached.identity, "judge": judge}
        if session.meta is not None:
            identities["meta"] = session.meta.scorer.identity
        inputs = [*run.inputs, *([chosen.rubric] if chosen.rubric else [])]
        results = {"summary": summary, "spent": spending(session.metered, session.journal)}
        write_json(beside(out, "meta.json"), provenance({**run.config, **identities}, inputs) | results)
    report(run.comparisons.skipped, beside(out, "skipped.jsonl") if out else None)
    if run.claim:
        run.claim.seal()
    typer.echo(spent_in_words(session.metered, session.journal), err=True)


def finish(run: Run, fail_on: str) -> None:
    """Report failed rows. Raises the error that sets the exit code if there are more than --fail-on allows."""
    metered = run.session.metered
    check_failures(run.counts, fail_on, metered.failure, completed=metered.completed)
