"""`fathom steps FILE`: solutions with steps, converted to Fathom's rows or to TRL's stepwise supervision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fathom.cli._options import File, with_settings
from fathom.cli._verb import Force, claim, file_outputs
from fathom.settings import SourceSettings, Splitter


@with_settings
def command(
    file: File,
    source: SourceSettings,
    out: Annotated[Path, typer.Option(help="Write the rows to this file: NAME.jsonl or NAME.jsonl.gz.")],
    layout: Annotated[
        Literal["native", "stepwise"], typer.Option(help="Fathom's rows, or TRL's stepwise supervision.")
    ] = "native",
    split: Annotated[Splitter, typer.Option(help="How to split responses that have no steps.")] = "paragraphs",
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="(stepwise) Write labels as true at or above this, else false."),
    ] = None,
    force: Force = False,
) -> None:
    """Convert solutions with labelled steps, in any layout that Fathom reads, or split responses into steps.

        fathom steps phase2_train.jsonl --neutral bad --layout stepwise --threshold 0.5 --out train.jsonl
        fathom steps responses.jsonl --split numbered --out steps.jsonl

    TRL's own trainer needs --threshold: labels become true or false, and a solution ends before its first step without
    a label. Without --threshold, labels are numbers from 0 to 1, or null.
    """
    from itertools import chain

    from fathom.cli._source import read
    from fathom.data.reading import write_jsonl
    from fathom.errors import FathomError
    from fathom.process import stepwise_rows, with_steps

    if threshold is not None and layout == "native":
        raise FathomError(
            f"--threshold {threshold} has no effect on --layout native, which keeps soft labels; leave it out, or give "
            "--layout stepwise"
        )
    claim(file_outputs("--out", out), costly=False)
    comparisons = [with_steps(comparison, split) for comparison in read(file, source, seed=0)]
    if layout == "native":
        write_jsonl(out, comparisons)
    else:
        write_jsonl(out, chain.from_iterable(stepwise_rows(each, threshold=threshold) for each in comparisons))
    typer.echo(f"{len(comparisons):,} comparisons in {out}", err=True)
