"""`fathom report RUN...`: a page on what runs amount to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._verb import Force, claim, page_outputs


def command(
    run: Annotated[list[Path], typer.Argument(help="Files of results, or folders of them, as fathom eval writes.")],
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    card: Annotated[list[Path], typer.Option(help="A card.json of fathom probe, again for more.")] = [],  # noqa: B006
    texts: Annotated[
        bool,
        typer.Option("--viewer/--no-viewer", help="Put all rows into the page, to read where it links to them."),
    ] = True,
    force: Force = False,
) -> None:
    """Write a page with every figure of one or several runs: accuracy by domain, official scores, votes, principles.

        fathom report verdicts.jsonl --out report.html
        fathom report greedy.jsonl sampled.jsonl --out report.html
        fathom report runs/sft-eval --out report.html

    Figures are computed from the rows again, with intervals at 95 %. Of several runs, each is held against the first on
    the items that both have. A card.json beside a run is shown with it. The page is one file that works offline and can
    be mailed. It holds all texts of the runs, to read them as in fathom view; --no-viewer leaves them out.
    """
    from rich.console import Console

    from fathom.report import cards, overview, viewer
    from fathom.report.evidence import gather
    from fathom.results import runs

    opened = runs.opened(run)
    beside = list(filter(None, map(cards.beside, opened)))
    read = dict.fromkeys((*(each.path for each in opened), *beside), "RUN")
    claim(page_outputs(out), reads=read, costly=False)
    shown = [cards.read(path) for path in (*card, *beside)]
    with Console(stderr=True).status("reading rows and computing figures"):
        found = gather(opened)
        viewers = {each.name: viewer.page(each.run) for each in found} if texts else {}
        overview.write(found, out, viewers=viewers, cards=shown)
    typer.echo(out)
