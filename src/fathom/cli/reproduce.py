"""`fathom reproduce NAME`: tests claims on fresh seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli._verb import Force, claim, whole_folder
from fathom.errors import FathomError, check_installed

if TYPE_CHECKING:
    from rich.table import Table


def command(
    name: Annotated[str | None, typer.Argument(help="The experiment: mix-grm, spct, ... Default: list all.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write models, results.json and the page to this folder. Default: runs/NAME."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, separated by commas. Default: the reported seeds of the register.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Run the first reported seed and show it beside the committed results.")
    ] = False,
    every_pair: Annotated[
        bool,
        typer.Option("--all", help="Judge every pair of each seed, not the registered number; in runs/NAME-all."),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(help="Compute on auto, cpu or cuda, for experiments that can use a GPU. Default: auto."),
    ] = None,
    force: Force = False,
) -> None:
    """Run an experiment with small models, and decide its claims by intervals over seeds.

    The command writes OUT/results.json, figures and a page in Markdown. The claims are fixed in the experiment's
    register, and may turn out to be false. The results of each seed are stored when it finishes; to resume an
    interrupted run, repeat the command.

        fathom reproduce mix-grm
    """
    from rich.console import Console

    from fathom.lab import NEEDS, reproductions

    if name is None:
        Console().print(_listed())
        return
    experiment = reproductions.find(name)
    if experiment.home.parent == Path(reproductions.__file__).parent:  # those of other packages may need less
        check_installed(*NEEDS)
    if device is not None:
        experiment = experiment.on(device)
    if every_pair:
        experiment = experiment.on_every_pair()
    chosen = _seeds(seeds) if seeds is not None else list(experiment.register.reported.seeds)
    if quick and seeds is not None:
        raise FathomError(f"--quick runs only the first reported seed; got --seeds {seeds}; leave one of them out")
    from fathom.lab.experiments import running

    console = Console(stderr=True, log_path=False)
    folder = out or Path("runs", experiment.name + "-all" * every_pair)
    claim(whole_folder("--out", folder))
    lines = running.quick(experiment, folder) if quick else running.reproduce(experiment, folder, chosen)
    if every_pair:
        console.log("--all: more pairs than the register fixes; the page still states the registered ones")
    for line in lines:
        console.log(line, markup=False)


def _seeds(text: str) -> list[int]:
    try:
        chosen = list(dict.fromkeys(int(seed) for seed in text.split(",")))  # each once: a seed has one folder
    except ValueError:
        chosen = []
    if not chosen or not all(0 <= seed < 2**32 for seed in chosen):
        raise FathomError(f"--seeds {text}: expected whole numbers from 0 to {2**32 - 1:,} with commas between them")
    return chosen


def _listed() -> Table:
    """All experiments, with the time that each of their reported seeds takes."""
    from rich.table import Table

    from fathom.lab.reproductions import REPRODUCTIONS, find

    table = Table("name", "title", "seeds", "minutes per seed", "cores")
    for name in REPRODUCTIONS.names():
        experiment = find(name)
        register = experiment.register
        cells = (len(register.reported.seeds), f"{register.minutes:g}", register.cores)
        table.add_row(experiment.name, register.title, *map(str, cells))
    return table
