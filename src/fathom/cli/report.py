"""`fathom report RUN...`: a page with the metrics of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._verb import Force, claim, page_outputs


def command(
    run: Annotated[list[Path], typer.Argument(help="Result files, or folders of them, as written by fathom eval.")],
    out: Annotated[Path, typer.Option(help="Write the page to this file.")] = Path("report.html"),
    card: Annotated[
        list[Path], typer.Option(help="A card.json written by fathom probe; repeat the option for more.")
    ] = [],  # noqa: B006
    texts: Annotated[
        bool,
        typer.Option("--viewer/--no-viewer", help="Include all rows in the page, linked from its metrics."),
    ] = True,
    force: Force = False,
) -> None:
    """Write a page with all metrics of one or several runs: accuracy by domain, official scores, votes, principles.

        fathom report verdicts.jsonl --out report.html
        fathom report greedy.jsonl sampled.jsonl --out report.html
        fathom report runs/sft-eval --out report.html

    Metrics are computed from the rows, with 95 % confidence intervals. With several runs, each is compared with the
    first on the items that both have. A card.json beside a run is included. The page is one file that works offline and
    can be mailed. It contains all texts of the runs, shown as in fathom view; --no-viewer leaves them out.
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
