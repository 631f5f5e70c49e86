"""`fathom reproduce NAME`: tests a paper's claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._verb import Force, claim, whole_folder
from fathom.errors import FathomError, check_installed


def command(
    name: Annotated[str, typer.Argument(help="The experiment: mix-grm, spct, ...; an unknown name lists all.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Write models, results.json and the page to this folder. Default: runs/NAME."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0,1,2",
    quick: Annotated[bool, typer.Option("--quick", help="Run the first seed only.")] = False,
    force: Force = False,
) -> None:
    """Repeat a published experiment on small synthetic tasks, and test its claims.

    The command writes OUT/results.json, figures and a page in Markdown. It decides each claim by confidence intervals,
    and a claim may turn out to be false. To resume an interrupted run, repeat the command.

        fathom reproduce mix-grm
    """
    from rich.console import Console

    from fathom.lab import NEEDS
    from fathom.lab.reproductions import REPRODUCTIONS

    experiment = REPRODUCTIONS.find(name)
    if experiment.__name__.startswith(f"{REPRODUCTIONS.package}."):  # those of other packages may need less
        check_installed(*NEEDS)
    try:
        chosen = list(dict.fromkeys(int(seed) for seed in seeds.split(",")))  # each once: a seed has one folder
    except ValueError:
        chosen = []
    if not chosen or not all(0 <= seed < 2**32 for seed in chosen):
        raise FathomError(f"--seeds {seeds}: expected whole numbers from 0 to {2**32 - 1:,} with commas between them")
    console = Console(stderr=True, log_path=False)
    folder = out or Path("runs", name.replace("_", "-"))
    claim(whole_folder("--out", folder))
    for line in experiment.reproduce(folder, chosen[:1] if quick else chosen):
        console.log(line)
