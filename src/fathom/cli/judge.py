"""`fathom judge FILE`: a verdict for every comparison of a file."""

from __future__ import annotations

from functools import partial

from fathom.cli._failures import FailOn
from fathom.cli._figures import VERDICTS
from fathom.cli._options import DryRun, File, Out, with_settings
from fathom.cli._verb import Force
from fathom.settings import JudgingSettings, RaySettings, SourceSettings


@with_settings
def command(
    file: File,
    settings: JudgingSettings,
    source: SourceSettings,
    ray: RaySettings,
    out: Out = None,
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Judge the comparisons of a file: one verdict per line, and a summary on stderr.

        fathom judge pairs.jsonl --model runs/sft --out verdicts.jsonl
        fathom judge pairs.jsonl --engine openai --base-url http://localhost:8000/v1 --model Qwen/Qwen3-32B
        fathom judge pairs.parquet --model runs/sft --ray --workers 8 --out verdicts

    Every finished completion is stored in a journal beside OUT. To resume an interrupted run, repeat the command.
    OUT.meta.json has the settings and versions, and OUT.skipped.jsonl has the rows that --on-error skip left out. A
    text without a verdict gets a status that states the reason, and counts for no response. With --ray, OUT is a folder
    of Parquet parts, which fathom score, report, view, compare and export read as a run.
    """
    from fathom.cli._dry_run import judged
    from fathom.cli._judging import claim_rows, describe, finish, opened, read, rows_of, show, space_of, write
    from fathom.cli._ray import judged_on_ray
    from fathom.judging import write_verdicts
    from fathom.metrics.verdicts import Tally, summary

    if ray.ray and not dry_run:
        comparisons, inputs = read(file, settings, source)
        config = source.model_dump() | {"file": file}
        return judged_on_ray(settings, comparisons, inputs, out, config, ray, fail_on=fail_on, force=force)
    claim = claim_rows(out, settings.engine.journal, space=space_of(file, source.limit))
    comparisons, inputs = read(file, settings, source)
    if dry_run:
        return judged(settings, comparisons, out)
    config = source.model_dump() | {"file": file}
    run = opened(settings, comparisons, inputs, out, config, claim=claim, total=rows_of(file, source.limit))
    tallies: dict[str, Tally] = {}
    write(run, "judged", partial(write_verdicts, run.session.reward_model, comparisons, tallies=tallies))
    show("verdicts", tallies, VERDICTS)
    describe(run, summary(tallies))
    finish(run, fail_on)
