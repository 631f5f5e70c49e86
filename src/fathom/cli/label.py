"""`fathom label FILE`: labels the steps of solutions, as training data for process reward models."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli._failures import FailOn
from fathom.cli._options import DryRun, File, with_settings
from fathom.cli._verb import Force
from fathom.settings import (
    BoundSettings,
    EngineSettings,
    JudgeSettings,
    LabelSettings,
    RaySettings,
    SamplingSettings,
    SourceSettings,
    flatten_settings,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from fathom.data.reading import Comparisons
    from fathom.engines import Engine
    from fathom.labelers import Labelled, Tools
    from fathom.scale.labels import LabelTask


@with_settings
def command(
    file: File,
    engine: EngineSettings,
    bounds: BoundSettings,
    source: SourceSettings,
    ray: RaySettings,
    method: Annotated[
        str, typer.Option(help="The labeler, as in docs/process.md: monte-carlo, rpe, omegaprm, judge, ...")
    ],
    out: Annotated[Path, typer.Option(help="Write labels, rejections, manifest and journal to this folder.")],
    judge: JudgeSettings = JudgeSettings(judge="processbench"),  # noqa: B008
    sampling: SamplingSettings = SamplingSettings(temperature=0.7, max_tokens=2048),  # noqa: B008
    labels: LabelSettings = LabelSettings(),  # noqa: B008
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Label the steps of solutions, as training data for process reward models.

        fathom label solutions.jsonl --method monte-carlo --model ./policy --out labels
        fathom label solutions.jsonl --method rpe --method-option epsilon=0.8 --model ./policy --out labels
        fathom label solutions.jsonl --method omegaprm --method-option searches=20 --model ./policy --out labels
        fathom label solutions.jsonl --method judge --judge processbench --model ./judge --out labels
        fathom label solutions.jsonl --method fover --out labels
        fathom train process my_recipe data=labels/labels.jsonl

    Most methods sample rollouts: they complete prefixes of a solution and compare the final answers with the reference.
    Problems then need a reference answer, and the engine must be able to continue a prefix. A rollout without a
    readable answer is neither right nor wrong. The method judge asks a judge of steps instead, and consensus uses
    rollouts and a judge. The method fover checks equations and inferences by a solver, without a model.

    The folder OUT contains labels.jsonl (solutions with a label per step, which every verb reads), rejected.jsonl
    (solutions without labels, with reasons) and manifest.json (counts, agreement, cost). If FILE has labels already,
    the manifest has the agreement with these.

    Every finished completion is stored in OUT/journal.sqlite. To resume an interrupted run, or to continue after a
    failure, repeat the command. The exit code is also 3 if no solution was labelled. With --ray, problems are labelled
    on many machines, and OUT also has the folders of their work.
    """
    from fathom import labelers
    from fathom.cli._dry_run import labelled as planned
    from fathom.cli._ray import claim_on_ray
    from fathom.cli._source import read
    from fathom.cli._teaching import claim_folder, collect, finish, journal_in, opened, recorded
    from fathom.engines import check_capabilities
    from fathom.engines.scripted import ScriptedEngine
    from fathom.scale.labels import LabelTask, outcome

    task = LabelTask(method=method, engine=engine, bounds=bounds, sampling=sampling, labels=labels, judge=judge)
    labeler, needs, on_many = task.labeler, task.needs, ray.ray and not dry_run
    names = ("labels", "rejected", "skipped")
    if on_many:
        claim_on_ray(out, engine, *(f"{name}.jsonl" for name in names))
    else:
        claimed = claim_folder(out, engine, *names)
    rows = read(file, source, seed=sampling.seed)
    if dry_run and not needs:
        return typer.echo("dry run: this method calls no model; no file was written")
    if not needs and engine.model is None:
        engine = engine.model_copy(update={"engine": "fathom.engines.scripted:no_calls"})
        task = replace(task, engine=engine)
    if labeler.warning:
        typer.secho(f"fathom: {labeler.warning}", err=True, fg="yellow")
    config = flatten_settings(sampling) | flatten_settings(source) | flatten_settings(labels)
    config |= (flatten_settings(judge) if task.asked else {}) | {"file": file, "method": method}
    if on_many:
        return _on_ray(task, rows, out, config, ray, fail_on, force)
    problems = list(labelers.checked(rows, labeler))
    with labelers.answer_checker(labels.checker, unsafe_code=judge.unsafe_code) as check:
        cost = labelers.Cost()

        def tools(engine: Engine) -> Tools:
            return task.tools(engine, check, cost)

        if dry_run:
            return planned(engine, bounds, problems, labeler, tools(ScriptedEngine("")), journal_in(out, engine))
        run = opened(rows, engine, bounds, out, config, claim=claimed)
        check_capabilities(run.teacher, needs, f"the method {method}")

        def each(teacher: Engine) -> AsyncIterator[list[Labelled]]:
            return labelers.label_each(problems, labeler, tools(teacher), concurrency=labels.concurrency)

        found = collect(run, "problems labelled", len(problems), each, outcome)
    result = labelers.Result(labeler, tuple(chain.from_iterable(found)), cost, method, *task.copies)
    labelers.write(result, out, recorded(run))
    finish(run, labelers.table(result), labelers.warning(result), fail_on)


def _on_ray(
    task: LabelTask,
    rows: Comparisons,
    out: Path,
    config: Mapping[str, object],
    ray: RaySettings,
    fail_on: str,
    force: bool,
) -> None:
    """Label problems on many machines, and write what one machine writes."""
    from fathom import labelers
    from fathom.cli._ray import on_ray
    from fathom.scale.labels import cost_of_workers, labelled_by_workers

    recorded = flatten_settings(task.engine) | flatten_settings(task.bounds) | dict(config)
    prepare = partial(labelers.checked, labeler=task.labeler)
    run = on_ray(task, "problems labelled", rows, rows.files, out, recorded, ray, force=force, prepare=prepare)
    labelled = tuple(chain.from_iterable(labelled_by_workers(run.folder)))
    result = labelers.Result(task.labeler, labelled, cost_of_workers(run.reports), task.method, *task.copies)
    run.write(partial(labelers.write, result))
    typer.echo(labelers.table(result))
    run.finish(fail_on, labelers.warning(result))
