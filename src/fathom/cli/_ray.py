"""`--ray`: a verb that judges spreads its run over many machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fathom.cli._failures import RowCounts, check_failures
from fathom.cli._verb import claim, whole_folder
from fathom.errors import FathomError, RunInterruptedError

if TYPE_CHECKING:
    from fathom.data.folders import Folder
    from fathom.data.reading import Comparisons
    from fathom.scale.plan import Report
    from fathom.settings import JudgingSettings, RaySettings


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
    from fathom.data.folders import Folder
    from fathom.engines import EngineError
    from fathom.engines.opening import price_for_bounds
    from fathom.results.provenance import provenance
    from fathom.scale import running

    if out is None:
        raise FathomError("--ray writes a folder of parts; give its path or address with --out")
    if settings.engine.journal:
        raise FathomError(
            f"--journal {settings.engine.journal} has no effect with --ray, which keeps the journal in --out; leave it "
            "out"
        )
    if config["file"] == "-":
        raise FathomError("--ray needs a source that can be read again to resume; got standard input, expected a file")
    price_for_bounds(settings.engine, settings.bounds)
    folder = Folder.at(out)
    held = None if folder.is_remote else claim(whole_folder("--out", out))
    determining, recorded = _configs(settings, config, ray)
    identity = running.identity_of(determining, inputs)
    reports = _reports(settings, comparisons, folder, identity, ray, force)
    _summarized(folder, reports, provenance(recorded, inputs))
    if held:
        held.seal()
    counts = RowCounts()
    for report in reports:
        aside = len(report.set_aside)
        counts.rows += report.rows + aside
        counts.failed += report.failed + aside
        counts.without_verdict += report.without_verdict + aside
    error = next((report.error for report in reports if report.error), None)
    last = EngineError(error) if error else None
    check_failures(counts, fail_on, last, completed=sum(report.completed for report in reports))


def _configs(
    settings: JudgingSettings, config: Mapping[str, Any], ray: RaySettings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that determine the rows, and all that the manifest records."""
    from fathom.engines.planning import preview
    from fathom.settings import BoundSettings, EngineSettings, flag_of, flatten_settings

    own = {flag_of(kind, name) for kind in (EngineSettings, BoundSettings) for name in kind.model_fields} - {"model"}
    recorded = {name: value for name, value in flatten_settings(settings).items() if name != "journal"} | dict(config)
    identity = {"engine": preview(settings.engine).counter.known_identity, "shard_rows": ray.shard_rows}
    return {name: value for name, value in recorded.items() if name not in own} | identity, recorded | identity


def _reports(
    settings: JudgingSettings,
    comparisons: Comparisons,
    folder: Folder,
    identity: str,
    ray: RaySettings,
    force: bool,
) -> list[Report]:
    from fathom.cli._progress import counting
    from fathom.cli._skipped import report as report_skipped
    from fathom.engines import RunStoppedError
    from fathom.engines.metering import cost_in_words
    from fathom.judging import RowOutcome
    from fathom.scale import running
    from fathom.scale.work import Job

    kept = f"finished completions are in {folder}/journal: repeat the command to resume"
    plan = running.planned(comparisons, folder, identity, ray.shard_rows, force=force)
    report_skipped(comparisons.skipped, None if folder.is_remote else folder.path / "skipped.jsonl")
    seen: list[Report] = []

    def spent() -> str:
        return f"{running.usage_of(seen).tokens:,} tokens, {cost_in_words(running.cost_of(seen))}"

    try:
        with counting("judged", plan.rows, spent) as done:

            def progress(report: Report) -> None:
                seen.append(report)
                for row in range(report.rows):
                    done(RowOutcome(row >= report.unparsed, row < report.failed))

            reports = running.judge_plan(Job(settings, folder, plan.identity), plan, ray, progress)
    except KeyboardInterrupt:
        raise RunInterruptedError(f"stopped; {kept}") from None
    except RunStoppedError as error:
        raise FathomError(f"stopped: {error}; {kept}") from None
    typer.echo(f"spent by the workers of these shards: {spent()}", err=True)
    return reports


def _summarized(folder: Folder, reports: Sequence[Report], record: Mapping[str, Any]) -> None:
    """Compute the metrics from the parts, as `fathom score` does; write the manifest and print the table."""
    from fathom.cli._figures import VERDICTS
    from fathom.cli._judging import show
    from fathom.metrics.verdicts import summary, tally
    from fathom.results import runs
    from fathom.scale import running

    tallies = tally(row for row in runs.open(folder.address).rows() if "pairs" not in row)
    show("verdicts", tallies, VERDICTS)
    running.write_manifest(folder, reports, {**record, "summary": summary(tallies)})
