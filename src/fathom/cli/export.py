"""`fathom export PATH --out FILE`: a run or a journal as a flat table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._verb import Force, claim, file_outputs
from fathom.errors import FathomError


def command(
    path: Annotated[Path, typer.Argument(help="A result file, a folder of parts, or a journal.")],
    out: Annotated[Path, typer.Option(help="Write to this file: NAME.parquet, .jsonl, .csv, .tsv or .xlsx.")],
    votes: Annotated[
        bool, typer.Option("--votes", help="Write one row per vote, with its text, instead of one per verdict.")
    ] = False,
    force: Force = False,
) -> None:
    """Write the verdicts, rankings or preferences of a run, its votes, or a journal's completions as a table.

        fathom export verdicts.jsonl --out verdicts.parquet
        fathom export verdicts.jsonl --out verdicts.csv
        fathom export verdicts.jsonl --votes --out votes.parquet
        fathom export verdicts.jsonl.journal --out completions.jsonl
        fathom export parts --out verdicts.jsonl      # of a run with --ray: the rows, as one machine writes them

    The file extension sets the format. All runs have the same columns. Conversations, rationales and metadata are JSON
    in text columns, and so are lists in CSV, TSV and XLSX.
    """
    from fathom.results import export as exporting
    from fathom.results import parts, runs

    claim(file_outputs("--out", out), costly=False)
    if runs.is_journal(path):
        count = exporting.export(exporting.completions(path), exporting.COMPLETION, out)
    elif out.suffix == ".jsonl" and not votes and parts.is_run(path):
        count = exporting.copied(runs.open(path), out)
    elif runs.open(path).holds_preferences:
        if votes:
            raise FathomError(f"{path}: contains preferences, not votes; --votes exports runs of fathom judge")
        count = exporting.export(exporting.preferences(runs.open(path)), exporting.PREFERENCE, out)
    elif votes:
        count = exporting.export(exporting.votes(runs.open(path)), exporting.VOTE, out)
    else:
        count = exporting.export(exporting.verdicts(runs.open(path)), exporting.VERDICT, out)
    typer.echo(f"{count:,} rows in {out}", err=True)
