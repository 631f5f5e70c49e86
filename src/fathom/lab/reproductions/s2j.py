"""S2J in the small world: does a reward for the judge's own solution narrow the gap between solving and judging?

The claims are those of "S2J" (arXiv 2509.22099), as directions, and some of ours; s2j.yaml states them. One judge per
seed is fine-tuned, and then reinforced with three rewards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.lab import base, s2j
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.s2j import REWARDS, SFT, Measured, Settings, gap
from fathom.report.figures import grouped_bars
from fathom.train import recipes

NAMES: Mapping[str, str] = {
    SFT: "before RLVR",
    "verdict": "reward for the verdict",
    "both": "reward for verdict and solution",
    "solution": "reward for the solution",
}
Runs = Mapping[str, Sequence[Measured]]
"""One seed: the judge before RLVR and after each reward, on the same held-out items in the same order."""


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured({name: s2j.read_measured(folder / f"{name}.jsonl") for name in NAMES})


def measured(runs: Runs) -> Measurement:
    """A pure function of one seed's judgments."""
    judges = {name: summary(run) for name, run in runs.items()}

    def difference(figure: str, plus: str, minus: str) -> float:
        return judges[plus][figure] - judges[minus][figure]

    return Measurement(
        contrasts={
            "gap, before - both": difference("gap", SFT, "both"),
            "verdicts right, both - before": difference("judged", "both", SFT),
            "gap, verdict - both": difference("gap", "verdict", "both"),
            "verdicts right, both - verdict": difference("judged", "both", "verdict"),
            "solutions right, both - verdict": difference("solved", "both", "verdict"),
            "gap, solution - both": difference("gap", "solution", "both"),
        },
        figures={"judges": judges},
    )


def summary(run: Sequence[Measured]) -> dict[str, float]:
    """Shares of all judgments, but for the gap."""
    return {
        "solved": fmean(item.solved for item in run),
        "worked": fmean(item.worked for item in run),
        "other": fmean(item.other for item in run),
        "judged": fmean(item.accurate for item in run),
        "gap": gap(run),
        "by_looks": fmean(item.by_looks for item in run),
        "readable": fmean(item.readable for item in run),
        "tokens": fmean(item.tokens for item in run),
    }


# The page -------------------------------------------------------------------------------------------------------------


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"names": NAMES, "expected_gap": s2j.expected_gap(EXPERIMENT.settings)}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Solutions right, verdicts right and the gap, before RLVR and after it with each reward."""
    titles = {"solved": "solutions right", "judged": "verdicts right", "gap": "wrong verdicts after right solutions"}
    panels = {
        title: {words: [found["judges"][name][figure].bar] for name, words in NAMES.items()}
        for figure, title in titles.items()
    }
    grouped_bars(panels, ["mean over seeds"], folder / "s2j")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=REWARDS,
    prepare=s2j.prepare,
    run=s2j.run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=partial(recipes.contents, "mini_sft", "mini_rlvr"),
    inputs=[base.PATH],
)
