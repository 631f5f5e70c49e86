"""`python -m fathom.bench.published --data DATA --out docs/benchmarks.md`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_json

from fathom.bench.published import figures
from fathom.bench.published._page import page


def main(
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder of transcripts, by benchmark.")],
    out: Annotated[Path, typer.Option(help="Page to write.")] = Path("docs/benchmarks.md"),
    lines: Annotated[Path | None, typer.Option(help="File for every single figure, as lines of JSON.")] = None,
) -> None:
    """Recompute published results from recorded texts, and write them next to the published numbers.

    The exit code is 1 if a number differs from the published one by more than its rounding.
    """
    recomputed = list(figures(data))
    out.write_text(page(recomputed), encoding="utf-8")
    if lines:
        lines.write_bytes(b"".join(to_json(asdict(figure)) + b"\n" for figure in recomputed))
    wrong = [figure for figure in recomputed if not figure.agrees]
    for figure in wrong:
        numbers = f"published {figure.published}, recomputed {figure.ours}"
        typer.echo(f"{figure.benchmark}, {figure.run}, {figure.name}: {numbers}", err=True)
    raise typer.Exit(bool(wrong))


if __name__ == "__main__":
    typer.run(main)
