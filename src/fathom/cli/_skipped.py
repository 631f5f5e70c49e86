"""Reports rows that `--on-error skip` left out: counts them, shows the first few, and writes all to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fathom.data.reading import Skipped

SHOWN = 5


def report(skipped: Sequence[Skipped], path: Path | None) -> None:
    """Report skipped rows on stderr. With a `path`, show the first few, and write all with their reasons to the file.

    If no row was skipped, a file of an earlier run at `path` is removed.
    """
    if not skipped:
        if path is not None:
            path.unlink(missing_ok=True)
        return
    from fathom.data.reading import write_jsonl

    for row in skipped[: SHOWN if path else None]:
        typer.echo(f"skipped {row}", err=True)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, skipped)
    typer.echo(f"skipped {len(skipped)} rows{f', all in {path}' if path else ''}", err=True)
