"""`fathom view RUN`: shows the verdicts or rankings of a run in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._verb import Force, claim, page_outputs


def command(
    run: Annotated[Path, typer.Argument(help="A result file, as written by fathom judge, rank or eval.")],
    out: Annotated[Path | None, typer.Option(help="Write the page to this file instead of serving it.")] = None,
    port: Annotated[
        int, typer.Option(help="Serve on this port of 127.0.0.1; 0 selects a free one.", min=0, max=65535)
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    force: Force = False,
) -> None:
    """Browse a run row by row: the responses side by side, and every vote principle by principle.

        fathom view verdicts.jsonl
        fathom view verdicts.jsonl --out verdicts.html

    The page is one file that works offline and can be shared; it contains all texts of the run. Filters select wrong,
    flipped or unparsed rows. j and k move through the rows, and ? shows all keys. The part of the address after #
    stores the filters and the selected row. Without --out, the page is served on this machine until Ctrl-C.
    """
    import threading
    import webbrowser
    from contextlib import suppress

    from rich.console import Console

    from fathom.report import viewer
    from fathom.results import runs

    if out:
        claim(page_outputs(out), costly=False)
    with Console(stderr=True).status("reading rows"):
        page = viewer.page(runs.open(run))
    if out:
        viewer.write(page, out)
        return
    with viewer.serving(page, port) as address, suppress(KeyboardInterrupt):
        typer.echo(address)
        if browser:
            webbrowser.open(address)
        threading.Event().wait()
