"""`--ray`: a verb spreads its run over many machines.

run = on_ray(task, "judged", comparisons, inputs, out, recorded, ray, force=force)
...                                     # make the results from the rows of the workers
run.finish(fail_on)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from fathom.cli._failures import RowCounts, check_failures, check_kept
from fathom.cli._verb import claim, whole_folder
from fathom.errors import FathomError, RunInterruptedError

if TYPE_CHECKING:
    from fathom.data.folders import Folder
    from fathom.data.reading import Comparisons
    from fathom.data.records import Comparison
    from fathom.results.outputs import Claim
    from fathom.scale.plan import Report, Settled
    from fathom.scale.task import Task
    from fathom.settings import EngineSettings, JudgingSettings, RaySettings


@dataclass(frozen=True)
class OnRay:
    """A run whose workers are done."""

    folder: Folder
    reports: Sequence[Report]
    """One per shard."""
    record: Mapping[str, Any]
    """The provenance."""

    def describe(self, summary: Mapping[str, Any]) -> None:
        """Write the manifest, and the comparisons that were set aside."""
        from fathom.scale import running

        running.write_manifest(self.folder, self.reports, {**self.record, "summary": summary})

    def write(self, write: Callable[[Path, Mapping[str, Any]], None]) -> None:
        """Have `write` write result files into a folder, with the record for their manifest.

        The files of an address are written on this machine and then copied.
        """
        from fathom.results.parts import MANIFEST
        from fathom.scale import running

        running.write_set_aside(self.folder, self.reports)
        record = {**self.record, **running.described(self.reports)}
        if not self.folder.is_remote:
            return write(self.folder.path, record)
        with TemporaryDirectory() as local:
            write(Path(local), record)
            for file in sorted(Path(local).iterdir(), key=lambda file: file.name == MANIFEST):
                self.folder.write(file.name, file.read_bytes())

    def finish(self, fail_on: str, warning: str | None = None) -> None:
        """Report failed rows. `warning`: that nothing was kept.

        Raises the error that sets the exit code if more rows failed than --fail-on allows, or if nothing was kept.
        """
        from fathom.engines import EngineError

        counts = RowCounts()
        for report in self.reports:
            aside = len(report.set_aside)
            counts.rows += report.rows + aside
            counts.failed += report.failed + aside
            counts.without_verdict += report.without_verdict + aside
            counts.first = counts.first or report.first_failed
        failed = sorted((report for report in self.reports if report.error), key=lambda report: report.unreadable)
        last = EngineError(failed[0].error or "", kind="text" if failed[0].unreadable else "call") if failed else None
        check_failures(counts, fail_on, last, completed=sum(report.completed for report in self.reports))
        check_kept(warning, fail_on)


def claim_on_ray(out: Path | None, engine: EngineSettings, *names: str) -> Claim | None:
    """Claim the folder of a run, which may hold files of these names; None if it is not on this machine.

    Raises FathomError without a folder, and for --journal.
    """
    from fathom.data.folders import Folder

    if out is None:
        raise FathomError("--ray writes a folder of parts; give its path or address with --out")
    if engine.journal:
        raise FathomError(
            f"--journal {engine.journal} has no effect with --ray, which keeps the journal in --out; leave it out"
        )
    folder = Folder.at(out)
    return None if folder.is_remote else claim(whole_folder("--out", folder.path, *names))


def on_ray(
    task: Task,
    what: str,
    comparisons: Comparisons,
    inputs: Sequence[Path],
    out: Path,
    recorded: Mapping[str, Any],
    ray: RaySettings,
    *,
    force: bool,
    prepare: Callable[[Iterable[Comparison]], Iterable[Comparison]] = iter,
    ledger: Callable[[], Any] | None = None,
) -> OnRay:
    """Do a task on all comparisons. `what`: what progress counts; `recorded`: all settings of the run.

    `prepare` checks and changes comparisons before they are planned; `ledger`: as for
    `fathom.scale.running.run_plan`. Raises FathomError if the run must stop before its end.
    """
    from fathom.data.folders import Folder
    from fathom.engines.opening import price_for_bounds
    from fathom.engines.planning import preview
    from fathom.results.provenance import provenance
    from fathom.scale import running

    if recorded["file"] == "-":
        raise FathomError("--ray needs a source that can be read again to resume; got standard input, expected a file")
    price_for_bounds(task.engine, task.bounds)
    folder = Folder.at(out)
    added = {"engine": preview(task.engine).counter.known_identity, "shard_rows": ray.shard_rows}
    recorded = {name: value for name, value in recorded.items() if name != "journal"} | added
    determining = {name: value for name, value in recorded.items() if name not in _without_effect()} | added
    plan = running.planned(
        prepare(comparisons), folder, running.identity_of(determining, inputs), ray.shard_rows, force=force
    )
    _report_skipped(comparisons, folder)
    reports = _worked(task, what, plan, folder, ray, ledger)
    return OnRay(folder, reports, provenance(recorded, inputs))


def _without_effect() -> set[str]:
    """The options that change no result, or only through the engine, whose identity is compared instead."""
    from fathom.settings import BoundSettings, EngineSettings, flag_of

    names = {flag_of(kind, name) for kind in (EngineSettings, BoundSettings) for name in kind.model_fields}
    return names - {"model"} | {"concurrency"}


def _report_skipped(comparisons: Comparisons, folder: Folder) -> None:
    from fathom.cli._skipped import report

    report(comparisons.skipped, None if folder.is_remote else folder.path / "skipped.jsonl")


def _worked(
    task: Task, what: str, plan: Any, folder: Folder, ray: RaySettings, ledger: Callable[[], Any] | None
) -> list[Report]:
    from fathom.cli._progress import following
    from fathom.engines import RunStoppedError
    from fathom.scale import running
    from fathom.scale.work import Job

    kept = f"finished completions are in {folder}/journal: repeat the command to resume"
    try:
        with following(what, plan.rows, _spent) as show:
            reports = running.run_plan(Job(task, folder, plan.identity), plan, ray, show, ledger=ledger)
    except KeyboardInterrupt:
        raise RunInterruptedError(f"stopped; {kept}") from None
    except RunStoppedError as error:
        raise FathomError(f"stopped: {error}; {kept}") from None
    typer.echo(f"spent by the workers of these shards: {_spent(running.settled_of(reports))}", err=True)
    return reports


def _spent(settled: Settled) -> str:
    from fathom.engines.metering import cost_in_words

    return f"{settled.tokens:,} tokens, {cost_in_words(settled.cost)}"


def judged_on_ray(
    settings: JudgingSettings,
    comparisons: Comparisons,
    inputs: Sequence[Path],
    out: Path | None,
    config: Mapping[str, Any],
    ray: RaySettings,
    *,
    fail_on: str,
    force: bool,
) -> None:
    """Judge comparisons into a folder of parts, and report as `fathom judge` does."""
    from fathom.cli._figures import VERDICTS
    from fathom.cli._judging import show
    from fathom.metrics.verdicts import summary, tally
    from fathom.results import runs
    from fathom.scale.judging import JudgeTask
    from fathom.settings import flatten_settings

    held = claim_on_ray(out, settings.engine)
    assert out is not None
    recorded = flatten_settings(settings) | dict(config)
    run = on_ray(JudgeTask(settings), "judged", comparisons, inputs, out, recorded, ray, force=force)
    tallies = tally(row for row in runs.open(run.folder.address).rows() if "pairs" not in row)
    show("verdicts", tallies, VERDICTS)
    run.describe(summary(tallies))
    if held:
        held.seal()
    run.finish(fail_on)
