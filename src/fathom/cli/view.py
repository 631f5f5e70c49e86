"""`fathom view RUN`: the verdicts or rankings of a run, to read in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._verb import Force, claim, page_outputs


def command(
    run: Annotated[Path, typer.Argument(help="A file of results, as fathom judge, rank or eval writes it.")],
    out: Annotated[Path | None, typer.Option(help="Write the page to this file, and serve nothing.")] = None,
    port: Annotated[
        int, typer.Option(help="Serve on this port of 127.0.0.1; 0 is any free one.", min=0, max=65535)
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    force: Force = False,
) -> None:
    """Read a run row by row: responses side by side, every vote and what it says under which principle.

        fathom view verdicts.jsonl
        fathom view verdicts.jsonl --out verdicts.html

    The page is one file that works offline and can be passed on; it holds all texts of the run. Filters find what was
    wrong, flipped or unparsed; j and k go through the rows, ? shows all keys. An address with its # leads to the same
    rows again. Without --out the page is served on this machine until Ctrl-C.
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
