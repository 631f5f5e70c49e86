"""`fathom best RUN`: the best response of every row of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fathom.cli._verb import Force, claim, file_outputs


def command(
    run: Annotated[
        Path, typer.Argument(help="Rankings (fathom rank), or verdicts on several responses (fathom judge).")
    ],
    out: Annotated[Path, typer.Option(help="Where the rows go: NAME.jsonl, or NAME.jsonl.gz.")],
    ties: Annotated[
        Literal["skip", "first"], typer.Option(help="Where several are best: leave out, or take the first of them.")
    ] = "skip",
    min_margin: Annotated[
        float, typer.Option(min=0, max=1_000_000, help="Leave out where the next best score is nearer than this.")
    ] = 0,
    force: Force = False,
) -> None:
    """Write the best response of every prompt: best-of-n, or data to fine-tune on.

        fathom rank answers.jsonl --model runs/sft --out rankings.jsonl
        fathom best rankings.jsonl --out best.jsonl

    No model is asked. Rows are written in TRL's layout: prompt and completion; with the id, the response's place and
    score, the margin to the next best, and the source's other columns. What is left out is counted on stderr.
    """
    from fathom.data.reading import write_jsonl
    from fathom.judging.winners import Winners
    from fathom.results import runs

    claim(file_outputs("--out", out), costly=False)
    kept = Winners(ties, min_margin)
    write_jsonl(out, kept.of(runs.open(run).rows()))
    counts = kept.counts
    typer.echo(
        f"{counts['written']} best responses of {counts.total()} rows in {out}; left out: "
        f"{counts['unparsed']} not parsed, {counts['tie']} tied, {counts['margin']} below the margin",
        err=True,
    )
