"""`fathom rank FILE`: the responses of every comparison in order, by a judge of pairs."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import typer

from fathom.cli import _options as options
from fathom.cli._figures import RANKINGS


@options.judging
def command(
    file: options.File,
    schedule: Annotated[
        Literal["round-robin", "circular", "swiss", "knock-out", "pivot"],
        typer.Option(help="Which pairs are compared: all, or fewer (docs/ranking.md)."),
    ] = "round-robin",
    reduce: Annotated[
        Literal["bradley-terry", "wins", "borda"], typer.Option(help="How their outcomes become scores.")
    ] = "bradley-terry",
    out: options.Out = None,
    **given: Any,
) -> None:
    """Rank the responses of every comparison: one ranking a line, and a summary on stderr.

        fathom rank answers.jsonl --model runs/sft --out rankings.jsonl
        fathom rank answers.jsonl --model runs/sft --schedule knock-out --out best.jsonl

    A row of the file has a prompt and two or more responses. Pairs that cannot be read are named in the line and count
    for nobody. To go on after an interruption, give the same command again. OUT.meta.json says what made the file.
    """
    from fathom.cli._judging import describe, opened, run, show
    from fathom.judging import write_rankings
    from fathom.metrics.rankings import summary
    from fathom.scaling.ranking import check, rank
    from fathom.scaling.schedules import SCHEDULES
    from fathom.scaling.scores import REDUCERS

    ready = opened(given | {"file": file, "out": out, "schedule": schedule, "reduce": reduce}, check=check)
    ranked = partial(rank, ready.voter, schedule=SCHEDULES[schedule], reduce=REDUCERS[reduce])
    tallies = run(ready, "ranked", partial(write_rankings, ranked, ready.comparisons))
    show("rankings", tallies, RANKINGS)
    describe(ready, summary(tallies))
