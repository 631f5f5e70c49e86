"""Shared by `synth` and `rejection-sample`: runs a teacher over all comparisons of a file, with a journal and records.

claim = claim_folder(out, engine, "rft", "rejected", "skipped")
run = opened(read(file, source, seed=0), engine, bounds, out, config, claim=claim)
items = collect(run, "comparisons sampled", len(comparisons), each, outcome)
...                                     # write the results with `recorded(run)` in their manifest
finish(run, table, warning, fail_on)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from fathom.cli._failures import RowCounts, check_failures, check_kept
from fathom.cli._verb import check_journal, claim, folder_outputs

if TYPE_CHECKING:
    from fathom.cli._progress import Done
    from fathom.data.reading import Comparisons
    from fathom.engines import Engine
    from fathom.engines.metering import Metered
    from fathom.judging import RowOutcome
    from fathom.results.outputs import Claim
    from fathom.settings import BoundSettings, EngineSettings

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a teacher: the rows it gets, its engine, and the folder of the results."""

    rows: Comparisons
    teacher: Metered
    journal: Path
    out: Path
    config: Mapping[str, Any]
    """The options that the manifest records."""
    counts: RowCounts = field(default_factory=RowCounts)


def claim_folder(out: Path, engine: EngineSettings, *names: str) -> Claim:
    """Claim the .jsonl files of these names in --out, and the journal."""
    files = (f"{name}.jsonl" for name in names)
    claimed = claim(folder_outputs("--out", out, *files, journal=None if engine.journal else "journal.sqlite"))
    if engine.journal:
        check_journal(engine.journal)
    return claimed


def journal_in(out: Path, engine: EngineSettings) -> Path:
    """The journal's path: --journal, or journal.sqlite in --out."""
    return engine.journal or out / "journal.sqlite"


def opened(
    rows: Comparisons,
    engine: EngineSettings,
    bounds: BoundSettings,
    out: Path,
    config: Mapping[str, Any],
    *,
    claim: Claim,
) -> Run:
    """Open the teacher. `config` is recorded in addition to the settings of the engine and the bounds."""
    from fathom.engines.opening import meter, open_engine
    from fathom.settings import flatten_settings

    teacher = meter(open_engine(engine), engine, bounds)
    claim.settle(engine=teacher.identity)
    settings = {
        name: value
        for name, value in (flatten_settings(engine) | flatten_settings(bounds)).items()
        if name != "journal"
    }
    recorded = settings | dict(config) | {"engine": teacher.identity}
    return Run(rows=rows, teacher=teacher, journal=journal_in(out, engine), out=out, config=recorded)


def collect(
    run: Run,
    what: str,
    total: int,
    each: Callable[[Engine], AsyncIterator[Item]],
    outcome: Callable[[Item], RowOutcome],
) -> list[Item]:
    """Collect all items that `each` yields with the teacher and its journal. Counts failed comparisons in the run."""
    from fathom.cli._loop import run_loop
    from fathom.cli._progress import counting
    from fathom.cli._running import resumable
    from fathom.engines.cache import CachedEngine

    async def collected(done: Done) -> list[Item]:
        items = []
        async with CachedEngine(run.teacher, run.journal) as engine:
            async for item in each(engine):
                items.append(item)
                run.counts.add(outcome(item))
                done(outcome(item))
        return items

    with resumable(run.journal, run.journal.parent), counting(what, total, partial(str, run.teacher)) as done:
        return run_loop(collected(done))


def recorded(run: Run) -> dict[str, Any]:
    """The provenance and the spending of a run, for its manifest."""
    from fathom.cli._running import spending
    from fathom.results.provenance import provenance

    return provenance(run.config, run.rows.files) | {"spent": spending(run.teacher, run.journal)}


def finish(run: Run, table: str, warning: str | None, fail_on: str) -> None:
    """Print the table, and report what was skipped, spent and failed. `warning`: that nothing was kept.

    Raises the error that sets the exit code if too many rows failed, or if nothing was kept.
    """
    from fathom.cli._running import spent_in_words
    from fathom.cli._skipped import report

    report(run.rows.skipped, run.out / "skipped.jsonl")
    typer.echo(table)
    typer.echo(spent_in_words(run.teacher, run.journal), err=True)
    check_failures(run.counts, fail_on, run.teacher.failure, completed=run.teacher.completed)
    check_kept(warning, fail_on)
