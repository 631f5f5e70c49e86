"""`fathom synth FILE`: makes training rationales from a teacher's judgments."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli._failures import FailOn
from fathom.cli._options import DryRun, File, with_settings
from fathom.cli._verb import Force, claim, folder_outputs
from fathom.errors import FathomError
from fathom.settings import (
    BoundSettings,
    EngineSettings,
    RaySettings,
    SamplingSettings,
    SourceSettings,
    SynthesisSettings,
    flatten_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fathom.data.reading import Comparisons
    from fathom.data.records import Comparison
    from fathom.synth import Settings
    from fathom.synth.task import SynthesisTask


@with_settings
def command(
    file: File,
    engine: EngineSettings,
    bounds: BoundSettings,
    source: SourceSettings,
    ray: RaySettings,
    out: Annotated[Path, typer.Option(help="Write training sets, manifest and journal to this folder.")],
    sampling: SamplingSettings = SamplingSettings(temperature=0.8, max_tokens=4096),  # noqa: B008
    synthesis: SynthesisSettings = SynthesisSettings(),  # noqa: B008
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Make training rationales: breadth for preference, depth for correctness.

        fathom synth pairs.jsonl --model ./teacher --domain preference --out synthesised
        fathom synth pairs.jsonl --model judge-7b --base-url http://localhost:8000/v1 --arm breadth --out synthesised

    A teacher judges each comparison several times. Breadth merges its rationales; depth judges again against the
    teacher's own solution. The arm mix uses breadth for comparisons of the domain preference and depth for correctness.
    `--map domain=COLUMN` reads the domain from a column, `--map domain.correctness=math,code` declares which of its
    values mean correctness, and --domain sets the domain of rows without one. The folder OUT then contains ARM.jsonl
    (TRL prompt-completion rows), rejected.jsonl (texts and reasons) and manifest.json (counts, tokens, the teacher's
    accuracy after every stage); with `--on-error skip`, also skipped.jsonl.

    Every finished completion is stored in OUT/journal.sqlite. To resume an interrupted run, repeat the command. The
    exit code is also 3 if nothing was kept for an arm. With --ray, comparisons are synthesised on many machines, and
    OUT also has the folders of their work.

    The arm verifier calls no teacher: from responses with a reference answer and scores of 1 and 0, it makes the
    completions YES and NO. It cannot be combined with other arms.

        fathom synth solutions.jsonl --arm verifier --truncated 0.11 --out verifier
    """
    if synthesis.for_verifier:
        if ray.ray:
            raise FathomError("--ray has no effect with --arm verifier, which calls no teacher; leave it out")
        return _verifier(file, synthesis, source, sampling.seed, out, dry_run)
    from fathom import synth
    from fathom.cli._dry_run import synthesised
    from fathom.cli._ray import claim_on_ray
    from fathom.cli._source import read
    from fathom.cli._teaching import claim_folder, collect, finish, journal_in, opened, recorded
    from fathom.synth.task import SynthesisTask, outcome

    settings = synth.Settings.of(synthesis, sampling)
    names, on_many = (*settings.arms, "rejected", "skipped"), ray.ray and not dry_run
    if on_many:
        claim_on_ray(out, engine, *(f"{name}.jsonl" for name in names))
    else:
        claimed = claim_folder(out, engine, *names)
    rows = read(file, source, seed=sampling.seed)
    config = flatten_settings(sampling) | flatten_settings(source) | flatten_settings(synthesis) | {"file": file}
    if on_many:
        task = SynthesisTask(engine=engine, bounds=bounds, settings=settings)
        return _on_ray(task, rows, out, config, ray, fail_on, force)
    comparisons = _validated(rows, settings)
    if dry_run:
        return synthesised(engine, bounds, comparisons, settings, journal_in(out, engine))
    run = opened(rows, engine, bounds, out, config, claim=claimed)
    each = partial(synth.synthesise_each, comparisons, settings=settings)
    result = synth.Result(settings, tuple(collect(run, "comparisons synthesised", len(comparisons), each, outcome)))
    synth.write(result, out, recorded(run))
    finish(run, synth.table(result), synth.warning(result), fail_on)


def _validated(rows: Iterable[Comparison], settings: Settings) -> Sequence[Comparison]:
    """The comparisons as synthesis uses them. The arm mix depends on their domains, which are therefore shown."""
    from fathom import synth

    comparisons = synth.validate_comparisons(rows, settings)
    if "mix" in settings.arms:
        _show_domains(comparisons)
    return comparisons


def _on_ray(
    task: SynthesisTask,
    rows: Comparisons,
    out: Path,
    config: Mapping[str, object],
    ray: RaySettings,
    fail_on: str,
    force: bool,
) -> None:
    """Synthesise on many machines, and write what one machine writes."""
    from fathom import synth
    from fathom.cli._ray import on_ray
    from fathom.synth.task import syntheses_of_workers

    recorded = flatten_settings(task.engine) | flatten_settings(task.bounds) | dict(config)
    prepare = partial(_validated, settings=task.settings)
    run = on_ray(task, "comparisons synthesised", rows, rows.files, out, recorded, ray, force=force, prepare=prepare)
    result = synth.Result(task.settings, tuple(syntheses_of_workers(run.folder)))
    run.write(partial(synth.write, result))
    typer.echo(synth.table(result))
    run.finish(fail_on, synth.warning(result))


def _show_domains(comparisons: Sequence[Comparison]) -> None:
    counts = Counter(comparison.domain for comparison in comparisons)
    typer.echo(", ".join(f"domain {name}: {count:,}" for name, count in sorted(counts.items())), err=True)


def _verifier(
    file: str, synthesis: SynthesisSettings, source: SourceSettings, seed: int, out: Path, dry_run: bool
) -> None:
    from fathom.cli._skipped import report
    from fathom.cli._source import read
    from fathom.results.provenance import provenance
    from fathom.synth import verifying

    claim(folder_outputs("--out", out, "verifier.jsonl", "skipped.jsonl"))
    rows = read(file, source, seed=seed)
    examples = verifying.examples(rows, truncated=synthesis.truncated or 0.0, seed=seed)
    summary = verifying.summary(verifying.counts(examples))
    if dry_run:
        typer.echo(f"{summary}\ndry run: this arm calls no model; no file was written")
        return
    report(rows.skipped, out / "skipped.jsonl")
    config = flatten_settings(source) | flatten_settings(synthesis) | {"file": file, "seed": seed}
    verifying.write(examples, out, provenance(config, rows.files))
    typer.echo(summary)
