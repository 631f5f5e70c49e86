"""`fathom pairs FILE`: data for DPO, the best response of every comparison against the worst."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import typer

from fathom.cli import _options as options


@options.judging
def command(
    file: options.File,
    min_margin: Annotated[float, typer.Option(min=0, help="Leave out where best and worst are nearer, in points.")] = 0,
    ties: Annotated[
        Literal["skip", "first"], typer.Option(help="Where several are best or worst: leave out, or take the first.")
    ] = "skip",
    out: options.Out = None,
    **given: Any,
) -> None:
    """Make data for DPO: all pairs of responses judged, a point a win, the highest total chosen, the lowest rejected.

        fathom pairs answers.jsonl --model runs/sft --min-margin 2 --out preferences.jsonl

    A row of the file has a prompt and two or more responses. Rows are written in TRL's preference layout: prompt,
    chosen, rejected, and margin and id. Left out, and counted on stderr, are comparisons with a pair that cannot be
    read, and those where several responses are best or worst.
    """
    from fathom.cli._judging import describe, opened, run
    from fathom.judging import write_preferences
    from fathom.scaling.preferences import preference
    from fathom.scaling.ranking import check, rank
    from fathom.scaling.schedules import round_robin
    from fathom.scaling.scores import wins

    ready = opened(given | {"file": file, "out": out, "min_margin": min_margin, "ties": ties}, check=check)
    ranked = partial(rank, ready.voter, schedule=round_robin, reduce=wins)
    prefer = partial(preference, ties=ties, min_margin=min_margin)
    counts, usage = run(ready, "comparisons", partial(write_preferences, ranked, prefer, ready.comparisons))
    left_out = ", ".join(f"{counts[reason]} {words}" for reason, words in _REASONS.items())
    typer.echo(f"{counts['written']} preferences of {counts.total()} comparisons; left out: {left_out}", err=True)
    typer.echo(f"tokens read, written: {usage.prompt_tokens}, {usage.completion_tokens}", err=True)
    tokens = {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens}
    describe(ready, {"counts": dict(counts), "tokens": tokens})


_REASONS = {"missing": "with a pair that could not be read", "tie": "tied", "margin": "below the margin"}
