"""`python -m fathom.published --data DATA --out docs/benchmarks.md`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.published import figures
from fathom.published._page import page


def main(
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder of transcripts, by benchmark.")],
    out: Annotated[Path, typer.Option(help="Page to write.")] = Path("docs/benchmarks.md"),
) -> None:
    """Computes published figures again from recorded texts, and writes them beside what was published."""
    found = list(figures(data))
    out.write_text(page(found), encoding="utf-8")
    wrong = [figure for figure in found if not figure.agrees]
    for figure in wrong:
        said = f"{figure.published} was published, {figure.ours} is ours"
        typer.echo(f"{figure.benchmark}, {figure.run}, {figure.name}: {said}", err=True)
    raise typer.Exit(bool(wrong))


if __name__ == "__main__":
    typer.run(main)
