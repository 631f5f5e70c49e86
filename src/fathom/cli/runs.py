"""`fathom runs [PATH]`: lists runs, or shows the contents of a run or a journal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    path: Annotated[Path, typer.Argument(help="A folder to list, or a run or journal to inspect.")] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per run instead of a table.")] = False,
) -> None:
    """List the runs below a folder, or inspect one: its settings, its results and its errors.

        fathom runs                              # every result file below this folder
        fathom runs results/verdicts.jsonl       # one of them
        fathom runs verdicts.jsonl.journal       # the completions of a journal, by engine

    A run is a result file that another verb wrote to --out. Its settings are read from OUT.meta.json beside it.
    """
    from fathom.cli._tables import lines, records
    from fathom.errors import FathomError
    from fathom.results import runs

    if path.is_dir():
        entries = [runs.listed(run) for run in runs.find(path)]
        if not entries:
            raise FathomError(f"{path}: no runs found in this folder; expected files written by fathom judge --out")
    else:
        entries = runs.journalled(path) if runs.is_journal(path) else [runs.inspected(runs.open(path))]
    if json:
        lines(entries)
    else:
        records(entries)
