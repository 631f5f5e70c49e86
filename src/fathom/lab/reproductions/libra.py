"""Libra in the small world: is a judge of single solutions more accurate if it thinks before its verdict?

The claim about thinking is that of Libra-RM (arXiv 2507.21645), as a direction; the others are ours. libra.yaml states
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.lab import base, libra
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.libra import ARMS, Arm, Measured, Settings
from fathom.metrics.intervals import Interval
from fathom.report.figures import grouped_bars
from fathom.train import recipes

KINDS: Mapping[str, Callable[[Measured], bool]] = {
    "right": lambda item: item.slip is None,
    "slip in step 1": lambda item: item.slip == 0,
    "slip in step 2": lambda item: item.slip == 1,
}
"""Kinds of solutions."""
Runs = Mapping[Arm, Sequence[Measured]]
"""One seed: for each arm, the same held-out solutions in the same order."""


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured({arm: libra.read_measured(folder / f"{arm}.jsonl") for arm in ARMS})


def measured(runs: Runs) -> Measurement:
    """A pure function of one seed's judgments."""
    arms = {arm: summary(runs[arm]) for arm in ARMS}
    contrasts = {
        "thinks - at once": arms["thinks"]["accuracy"] - arms["at once"]["accuracy"],
        "thinks - copies": arms["thinks"]["accuracy"] - arms["copies"]["accuracy"],
        "thinks, after right - after wrong own solutions": _accuracy(runs["thinks"], lambda item: item.solved)
        - _accuracy(runs["thinks"], lambda item: not item.solved),
    }
    return Measurement(contrasts=contrasts, figures={"arms": arms})


def summary(run: Sequence[Measured]) -> dict[str, Any]:
    return {
        "accuracy": _accuracy(run, lambda _: True),
        "kinds": {kind: _accuracy(run, member) for kind, member in KINDS.items()},
        "solved": fmean(item.solved for item in run),
        "readable": fmean(item.score is not None for item in run),
        "tokens": fmean(item.tokens for item in run),
    }


def _accuracy(run: Sequence[Measured], member: Callable[[Measured], bool]) -> float:
    """The share of right verdicts; one half, that of guessing, if there is no such judgment."""
    found = [item.accurate for item in run if member(item)]
    return fmean(found) if found else 0.5


# The page -------------------------------------------------------------------------------------------------------------


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy of each arm, over all solutions and by kind."""
    panels: dict[str, dict[str, list[Interval]]] = {
        "all solutions": {arm: [found["arms"][arm]["accuracy"].bar] for arm in ARMS},
        **{kind: {arm: [found["arms"][arm]["kinds"][kind].bar] for arm in ARMS} for kind in KINDS},
    }
    grouped_bars(panels, ["mean over seeds"], folder / "libra")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=ARMS,
    run=libra.run,
    measure=measure,
    tables=lambda _: {"kinds": list(KINDS)},
    figures=figures,
    recipes=partial(recipes.contents, "mini_sft"),
    inputs=[base.PATH],
)
