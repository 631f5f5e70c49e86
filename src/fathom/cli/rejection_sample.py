"""`fathom rejection-sample FILE`: samples a judge's trajectories, and keeps the correct ones for fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
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
    RejectionSettings,
    SamplingSettings,
    SourceSettings,
    flatten_settings,
)

if TYPE_CHECKING:
    from fathom.judging import RowOutcome
    from fathom.synth.rejection import Trajectory


@with_settings
def command(
    file: File,
    engine: EngineSettings,
    bounds: BoundSettings,
    source: SourceSettings,
    out: Annotated[Path, typer.Option(help="Write the training set, manifest and journal to this folder.")],
    judge: JudgeSettings = JudgeSettings(judge="spct"),  # noqa: B008
    sampling: SamplingSettings = SamplingSettings(temperature=0.5, max_tokens=4096),  # noqa: B008
    rejection: RejectionSettings = RejectionSettings(),  # noqa: B008
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Sample a judge's trajectories and keep the correct ones, as data for rejective fine-tuning (SPCT, ThinkPRM).

        fathom rejection-sample pairs.jsonl --judge-option binary=true --model ./teacher --out rejection
        fathom train sft spct_27b_rft data=rejection/rft.jsonl
        fathom rejection-sample steps.jsonl --judge thinkprm --judge-option reads=steps --no-hints --easy --out chains
        fathom train sft thinkprm_14b_sft data=chains/rft.jsonl

    Wrong trajectories are rejected, and so are all trajectories of a comparison that every sample gets right, unless
    --easy keeps them. For the judges thinkprm (reads=steps) and processbench, the label has a value per step. The
    folder OUT then contains rft.jsonl (TRL prompt-completion rows), rejected.jsonl (texts and reasons),
    comparisons.jsonl (comparisons with at least one wrong sample, for `fathom train rlvr`), votes.jsonl (all
    trajectories without a hint, for `fathom train meta`) and manifest.json (counts by reason, tokens). Every comparison
    needs a label: the best response or, for a single response, its score of 0 or 1. The judge spct reads single
    responses only with --judge-option binary=true.

    Every finished completion is stored in OUT/journal.sqlite. To resume an interrupted run, repeat the command. The
    exit code is also 3 if nothing was kept.
    """
    from fathom.cli._dry_run import sampled
    from fathom.cli._source import read
    from fathom.cli._teaching import claim_folder, collect, finish, journal_in, opened, recorded
    from fathom.judges import as_judge
    from fathom.judging import make_judge_for_checkpoint
    from fathom.judging.choice import described
    from fathom.metrics.answers import checking
    from fathom.synth.rejection import Result, Settings, table, validate_comparisons, warning, write
    from fathom.synth.rejection import sampled as sampled_each

    claimed = claim_folder(out, engine, "rft", "rejected", "comparisons", "votes", "skipped")
    # No checkpoint: the judge must not depend on how the teacher itself was trained.
    chosen = as_judge(make_judge_for_checkpoint(None, **judge.arguments), "rejection sampling")
    rows = read(file, source, seed=sampling.seed)
    with checking(chosen) as checked:
        settings = Settings.of(checked, rejection, sampling)
        comparisons = validate_comparisons(rows, settings)
        if dry_run:
            return sampled(engine, bounds, comparisons, settings, journal_in(out, engine))
        config = (
            flatten_settings(judge)
            | flatten_settings(sampling)
            | flatten_settings(source)
            | flatten_settings(rejection)
        )
        config |= {"file": file, "judge": described(chosen, judge.judge)}
        run = opened(rows, engine, bounds, out, config, claim=claimed)
        each = partial(sampled_each, comparisons, settings=settings)
        trajectories = collect(run, "comparisons sampled", len(comparisons), each, _outcome)
    result = Result.of(settings, chain.from_iterable(trajectories))
    write(result, out, recorded(run))
    finish(run, table(result), warning(result), fail_on)


def _outcome(trajectories: Sequence[Trajectory]) -> RowOutcome:
    from fathom.judging import RowOutcome

    statuses = {str(each.vote.status) for each in trajectories}
    return RowOutcome(statuses <= {"ok"}, "failed" in statuses, trajectories[0].comparison.id if trajectories else "")
