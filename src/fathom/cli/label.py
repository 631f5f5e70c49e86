"""`fathom label FILE`: labels the steps of solutions, as training data for process reward models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    SamplingSettings,
    SourceSettings,
    flatten_settings,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fathom.engines import Engine, Sampling
    from fathom.judges import EngineRewardModel
    from fathom.judging import RowOutcome
    from fathom.labelers import Labelled, Tools


@with_settings
def command(
    file: File,
    engine: EngineSettings,
    bounds: BoundSettings,
    source: SourceSettings,
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

    Most methods complete prefixes of a solution several times (rollouts) and compare the final answers with the
    reference: problems need a reference answer, and the engine must continue a prefix. A rollout without a readable
    answer counts as neither right nor wrong. The method judge asks a judge of steps, consensus both, and fover
    checks equations and inferences by a solver, without a model. The folder OUT
    then contains labels.jsonl (solutions with a label per step, which every verb reads), rejected.jsonl (solutions
    without labels, with reasons) and manifest.json (counts, agreement, cost). If FILE has labels already, for example
    by people, the agreement with these is reported.

    Every finished completion is stored in OUT/journal.sqlite. To resume an interrupted run, or to continue after a
    failure, repeat the command. The exit code is also 3 if no solution was labelled.
    """
    from fathom import labelers
    from fathom.cli._dry_run import labelled as planned
    from fathom.cli._source import read
    from fathom.cli._teaching import claim_folder, collect, finish, journal_in, opened, recorded
    from fathom.engines import Sampling, check_capabilities
    from fathom.engines.scripted import ScriptedEngine

    labeler = labelers.make_labeler(method, **labels.options)
    claimed = claim_folder(out, engine, "labels", "rejected", "skipped")
    rows = read(file, source, seed=sampling.seed)
    problems = list(rows)
    sampled = Sampling(**sampling.model_dump(exclude_none=True))
    asked = _judge(judge, sampled, labeler.judge_votes) if labeler.judge_votes else None
    needs = labeler.needs | (asked.needs if asked else frozenset())
    if dry_run and not needs:
        return typer.echo("dry run: this method calls no model; no file was written")
    if not needs and engine.model is None:
        engine = engine.model_copy(update={"engine": "fathom.engines.scripted:no_calls"})
    if labeler.warning:
        typer.secho(f"fathom: {labeler.warning}", err=True, fg="yellow")
    with labelers.answer_checker(labels.checker) as check:
        cost = labelers.Cost()

        def tools(engine: Engine) -> Tools:
            rollouts = labelers.Rollouts(engine, sampled, check, instruction=labels.instruction, cost=cost)
            return labelers.Tools(rollouts, asked and replace(asked, engine=engine), labels.split)

        if dry_run:
            return planned(engine, bounds, problems, labeler, tools(ScriptedEngine("")), journal_in(out, engine))
        config = flatten_settings(sampling) | flatten_settings(source) | flatten_settings(labels)
        config |= flatten_settings(judge) if asked else {}
        run = opened(rows, engine, bounds, out, config | {"file": file, "method": method}, claim=claimed)
        check_capabilities(run.teacher, needs, f"the method {method}")

        def each(teacher: Engine) -> AsyncIterator[list[Labelled]]:
            return labelers.label_each(problems, labeler, tools(teacher), concurrency=labels.concurrency)

        found = collect(run, "problems labelled", len(problems), each, _outcome)
    result = labelers.Result(labeler, tuple(chain.from_iterable(found)), cost, method)
    labelers.write(result, out, recorded(run))
    finish(run, labelers.table(result), labelers.warning(result), fail_on)


def _judge(judge: JudgeSettings, sampling: Sampling, votes: int) -> EngineRewardModel:
    """The judge of steps. A single vote is greedy."""
    from fathom.errors import FathomError
    from fathom.judges import Judge
    from fathom.judging import make_judge_for_checkpoint

    chosen = make_judge_for_checkpoint(None, **judge.arguments)
    if not chosen.scores_steps:
        raise FathomError(f"--judge {judge.judge} does not score steps; expected processbench, mr_gsm8k or process")
    if not isinstance(chosen, Judge):
        return chosen
    return replace(chosen, sampling=replace(sampling, temperature=0.0) if votes == 1 else sampling)


def _outcome(labelled: Sequence[Labelled]) -> RowOutcome:
    from fathom.judging import RowOutcome

    return RowOutcome(any(each.rejected is None for each in labelled), any(each.failed for each in labelled))
