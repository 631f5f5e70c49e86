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
from fathom.cli._verb import Force, check_journal, claim, folder_outputs
from fathom.settings import MAX_VOTES, BoundSettings, EngineSettings, JudgeSettings, SamplingSettings, SourceSettings

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
    samples: Annotated[
        int, typer.Option(min=2, max=MAX_VOTES, help="Trajectories per comparison without a hint, at least 2.")
    ] = 3,
    hints: Annotated[bool, typer.Option(help="Sample one more with a hint that names the best response.")] = True,
    concurrency: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum comparisons in progress.")] = 64,
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Sample a judge's trajectories and keep the correct ones: data for rejective fine-tuning (SPCT).

        fathom rejection-sample pairs.jsonl --judge-option binary=true --model ./teacher --out rejection
        fathom train sft spct_27b_rft data=rejection/rft.jsonl

    Wrong trajectories are rejected, and so are all trajectories of a comparison that every sample gets right. OUT gets
    rft.jsonl (TRL prompt-completion rows), rejected.jsonl (texts and reasons), comparisons.jsonl (those that some
    sample got wrong, data for fathom train rlvr), votes.jsonl (all trajectories without a hint, as rows of fathom
    judge, data for fathom train meta) and manifest.json (counts by reason, tokens). Every comparison needs a label: the
    best response, or for a single response its score, 0 or 1 (with binary=true, as in the recipes of SPCT).

    Every finished completion is stored in OUT/journal.sqlite. To resume an interrupted run, repeat the command. The
    exit code is also 3 if nothing was kept.
    """
    from fathom.cli import _dry_run
    from fathom.cli._failures import check_failures, check_kept
    from fathom.cli._journalled import made
    from fathom.cli._running import spending, spent_in_words
    from fathom.cli._skipped import report
    from fathom.data.reading import parse_mapping, read
    from fathom.engines import Sampling
    from fathom.engines.opening import meter, open_engine
    from fathom.judging import as_trained
    from fathom.judging.choice import described
    from fathom.metrics.answers import checking
    from fathom.results.provenance import provenance
    from fathom.settings import flat
    from fathom.synth import rejection

    sets = (f"{name}.jsonl" for name in ("rft", "rejected", "comparisons", "votes", "skipped"))
    claimed = claim(folder_outputs("--out", out, *sets, journal=None if engine.journal else "journal.sqlite"))
    if engine.journal:
        check_journal(engine.journal)
    # No checkpoint: the judge must not depend on how the teacher itself was trained.
    chosen = as_trained(None, **judge.arguments)
    rows = read(
        file, mapping=parse_mapping(source.map), seed=sampling.seed, on_error=source.on_error, limit=source.limit
    )
    journal = engine.journal or out / "journal.sqlite"
    with checking(chosen) as able:
        settings = rejection.Settings(
            judge=able,
            samples=samples,
            hints=hints,
            sampling=Sampling(**sampling.model_dump(exclude_none=True)),
            concurrency=concurrency,
        )
        comparisons = rejection.validated(rows, settings)
        each = partial(rejection.sampled, comparisons, settings=settings)
        if dry_run:
            return _dry_run.sampled(engine, bounds, comparisons, settings, journal)
        teacher = meter(open_engine(engine), engine, bounds)
        claimed.settle(engine=teacher.identity)
        trajectories, counts = made("comparisons sampled", len(comparisons), teacher, journal, each, _outcome)
    report(rows.skipped, out / "skipped.jsonl")
    result = rejection.Result(settings, tuple(chain.from_iterable(trajectories)))
    config = flat(engine) | flat(bounds) | flat(judge) | flat(sampling) | source.model_dump()
    config |= {"file": file, "samples": samples, "hints": hints, "concurrency": concurrency}
    config |= {"engine": teacher.identity, "judge": described(chosen, judge.judge)}
    config.pop("journal")
    told = provenance(config, rows.files) | {"spent": spending(teacher, journal)}
    rejection.write(result, out, told)
    typer.echo(rejection.table(result))
    typer.echo(spent_in_words(teacher, journal), err=True)
    check_failures(counts, fail_on, teacher.failure, completed=teacher.completed)
    check_kept(rejection.warning(result), fail_on)


def _outcome(trajectories: Sequence[Trajectory]) -> RowOutcome:
    from fathom.judging import RowOutcome

    statuses = {str(each.vote.status) for each in trajectories}
    return RowOutcome(statuses <= {"ok"}, "failed" in statuses)
