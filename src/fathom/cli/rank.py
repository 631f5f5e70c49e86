"""`fathom rank FILE`: the responses of every comparison in order, by a judge of pairs."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

from fathom.cli._failures import FailOn
from fathom.cli._figures import RANKINGS
from fathom.cli._options import DryRun, File, Out, PairOutcome, with_settings
from fathom.cli._verb import Force
from fathom.settings import JudgingSettings, SourceSettings


@with_settings
def command(
    file: File,
    settings: JudgingSettings,
    source: SourceSettings,
    schedule: Annotated[
        Literal["round-robin", "circular", "swiss", "knock-out", "pivot"],
        typer.Option(help="Which pairs to judge; see docs/ranking.md."),
    ] = "round-robin",
    reduce: Annotated[
        Literal["bradley-terry", "wins", "borda"], typer.Option(help="How to compute scores from pair outcomes.")
    ] = "bradley-terry",
    pair_outcome: PairOutcome = "verdict",
    texts: Annotated[bool, typer.Option(help="Keep the text of each vote in the rows.")] = True,
    out: Out = None,
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Rank the responses of every comparison: one ranking per line, and a summary on stderr.

        fathom rank answers.jsonl --model runs/sft --out rankings.jsonl
        fathom rank answers.jsonl --model runs/sft --schedule knock-out --out best.jsonl

    Each row of the file has a prompt and two or more responses. Pairs without a parsed verdict are listed in the result
    row, and count for neither response. With several votes per pair, `--pair-outcome votes` gives an outcome of 9 votes
    to 7 less weight than one of 16 to 0. To resume an interrupted run, repeat the command. OUT.meta.json has the
    settings and versions.
    """
    from fathom.cli._dry_run import ranked as planned
    from fathom.cli._judging import claim_rows, describe, finish, opened, read, rows_of, show, space_of, write
    from fathom.judging import write_rankings
    from fathom.metrics.rankings import RankingTally, summary
    from fathom.ranking import check, rank
    from fathom.ranking.reducers import REDUCERS
    from fathom.ranking.schedules import SCHEDULES

    claim = claim_rows(out, settings.engine.journal, space=space_of(file, source.limit))
    comparisons, inputs = read(file, settings, source, check)
    if dry_run:
        return planned(settings, comparisons, out, schedule)
    config = source.model_dump() | {
        "file": file,
        "schedule": schedule,
        "reduce": reduce,
        "pair_outcome": pair_outcome,
        "texts": texts,
    }
    run = opened(settings, comparisons, inputs, out, config, claim=claim, total=rows_of(file, source.limit))
    ranked = partial(
        rank, run.session.reward_model, schedule=SCHEDULES[schedule], reduce=REDUCERS[reduce], tells=pair_outcome
    )
    tallies: dict[str, RankingTally] = {}
    write(run, "ranked", partial(write_rankings, ranked, comparisons, tallies=tallies, texts=texts))
    show("rankings", tallies, RANKINGS)
    describe(run, summary(tallies))
    finish(run, fail_on)
