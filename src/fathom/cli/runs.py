"""`fathom runs [PATH]`: what has been run, and what a run or a journal holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    path: Annotated[Path, typer.Argument(help="A folder to list, or a run or journal to inspect.")] = Path(),
    json: Annotated[bool, typer.Option("--json", help="A line of JSON each, instead of a table.")] = False,
) -> None:
    """List the runs below a folder, or inspect one: what made it, what came of it, what failed.

        fathom runs                              # every file of results below this folder
        fathom runs results/verdicts.jsonl       # one of them
        fathom runs verdicts.jsonl.journal       # the completions of a journal, by engine

    A run is a file of results that --out of another verb wrote; what made it is read from OUT.meta.json beside it.
    """
    from fathom.cli._tables import lines, records
    from fathom.errors import FathomError
    from fathom.results import runs

    if path.is_dir():
        told = [runs.listed(run) for run in runs.find(path)]
        if not told:
            raise FathomError(f"{path}: no runs below it; a run is a file that fathom judge --out wrote")
    else:
        told = runs.journalled(path) if runs.is_journal(path) else [runs.inspected(runs.open(path))]
    if json:
        lines(told)
    else:
        records(told)
