"""RM-R1 in the small world: does typing the task beat either template alone, and reasoning beat answering?

The claims are those of "RM-R1: Reward Modeling as Reasoning" (arXiv 2505.02387), as directions; rm_r1.yaml states them.
Four arms of the small base model learn chains and then, with labels alone, by RLVR: the answer alone, the chat template
for every task, the reasoning template for every task, and the template that the task's type asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.data.records import Domain
from fathom.lab import arms, base, rm_r1, world
from fathom.lab.arms import DOMAINS, Measured, Settings, Stage, select
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.rm_r1 import ARMS, STAGES, Arm
from fathom.metrics.intervals import Interval
from fathom.report.figures import grouped_bars

Cell = tuple[Arm, Stage]
Runs = Mapping[Cell, Sequence[Measured]]
"""One seed: for each arm and stage, the same held-out items in the same order."""
CONTRASTS: Mapping[str, tuple[Cell, Cell, Domain | None]] = {
    "typed - chat, over all": (("typed", "rlvr"), ("chat", "rlvr"), None),
    "typed - reasoning, over all": (("typed", "rlvr"), ("reasoning", "rlvr"), None),
    "typed - chat on preference": (("typed", "rlvr"), ("chat", "rlvr"), "preference"),
    "typed - reasoning on correctness": (("typed", "rlvr"), ("reasoning", "rlvr"), "correctness"),
    "typed - answer, over all": (("typed", "rlvr"), ("answer", "rlvr"), None),
    "typed, RLVR - SFT": (("typed", "rlvr"), ("typed", "sft"), None),
}


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    [arm] = (arm for arm in ARMS if arm == part)
    rm_r1.run(arm, seed, settings, folder)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured({(arm, stage): rm_r1.read(folder, arm, stage) for arm in ARMS for stage in STAGES})


def measured(runs: Runs) -> Measurement:
    """A pure function of one seed's judgments."""
    return Measurement(
        contrasts={words: _contrast(runs, *cells) for words, cells in CONTRASTS.items()},
        figures={"arms": {arm: {stage: _summary(runs[arm, stage]) for stage in STAGES} for arm in ARMS}},
    )


def accurate(item: Measured) -> float:
    return float(item.accurate)


def _summary(run: Sequence[Measured]) -> dict[str, float]:
    def mean(value: Callable[[Measured], float], domain: Domain | None = None) -> float:
        return fmean(value(item) for item in select(run, domain))

    return {
        "all": mean(accurate),
        **{domain: mean(accurate, domain) for domain in DOMAINS},
        "typed_right": mean(lambda item: float(item.matches)),
        "readable": mean(lambda item: float(item.readable)),
        "tokens": mean(lambda item: float(item.tokens)),
    }


def _contrast(runs: Runs, plus: Cell, minus: Cell, domain: Domain | None = None) -> float:
    return fmean(map(accurate, select(runs[plus], domain))) - fmean(map(accurate, select(runs[minus], domain)))


# The page -------------------------------------------------------------------------------------------------------------


def ceiling(arm: Arm, domain: Domain) -> float:
    """The best accuracy of a reader who sees what the arm's chain shows and no more, from the world's definition.

    An answer alone shows nothing, but its writer sees the whole prompt: 1.0, as for anyone who could solve without
    writing.
    """
    if arm == "answer":
        return 1.0
    shown: dict[Arm, tuple[world.Style, ...]] = {"chat": ("breadth",), "reasoning": ("depth",)}
    return float(max(world.ceiling(style, domain) for style in shown.get(arm, ("breadth", "depth"))))


CEILING = {arm: {domain: ceiling(arm, domain) for domain in DOMAINS} for arm in ARMS}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy by domain and arm."""
    panels: dict[str, dict[str, list[Interval]]] = {
        domain: {arm: [found["arms"][arm][stage][domain].bar for stage in STAGES] for arm in ARMS} for domain in DOMAINS
    }
    grouped_bars(
        panels,
        ("after SFT", "after RLVR"),
        folder / "rm-r1",
        marks={domain: {arm: CEILING[arm][domain] for arm in ARMS} for domain in DOMAINS},
        legend="best possible with such chains",
    )


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=ARMS,
    run=run,
    measure=measure,
    tables=lambda _: {"ceiling": CEILING},
    figures=figures,
    recipes=arms.recipes_used,
    inputs=[base.PATH],
)
