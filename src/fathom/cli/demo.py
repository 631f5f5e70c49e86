"""`fathom demo`: the whole pipeline, small."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._verb import Force, claim, whole_folder


def command(
    out: Annotated[Path, typer.Option(help="Write models, figures and the report to this folder.")] = Path("runs/demo"),
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of the data, the training and the sampling.")
    ] = 10,
    force: Force = False,
) -> None:
    """Run rationale synthesis, SFT, RLVR and evaluation on small synthetic tasks, and write a report, in a few minutes.

        fathom demo --out runs/demo

    Nothing is downloaded, and no GPU is needed.
    """
    from rich.console import Console

    from fathom.errors import check_installed
    from fathom.lab import NEEDS, demo

    check_installed(*NEEDS)
    claim(whole_folder("--out", out))

    console = Console(stderr=True, log_path=False)
    report = demo.run(out, seed, console)
    console.log(f"report: {report.resolve()}, figures beside it: demo.png, demo.svg")
