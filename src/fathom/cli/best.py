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
    out: Annotated[Path, typer.Option(help="Write the rows to this file: NAME.jsonl, or NAME.jsonl.gz.")],
    ties: Annotated[
        Literal["skip", "first"], typer.Option(help="If several share the best score, skip the row or take the first.")
    ] = "skip",
    min_margin: Annotated[
        float,
        typer.Option(min=0, max=1_000_000, help="Skip rows whose two best scores differ by less than this."),
    ] = 0,
    force: Force = False,
) -> None:
    """Write the best response to every prompt, for best-of-n or for fine-tuning.

        fathom rank answers.jsonl --model runs/sft --out rankings.jsonl
        fathom best rankings.jsonl --out best.jsonl

    No model is called. The output has TRL's layout (prompt, completion), and for each row the id, the response's index
    and score, the margin to the second best, and the source's other columns. Rows that are left out are counted on
    stderr.
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
