"""Self-PRM in the small world: does a model choose better among its own solutions by its own scores than by majority?

The claims are those of "Is PRM Necessary?" (arXiv 2505.11227), as directions, and some of ours; self_prm.yaml states
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.lab import base, self_prm
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.self_prm import Measured, Settings, chosen, majority
from fathom.metrics.significance import same_rate_p
from fathom.report.figures import lines
from fathom.train import recipes

COUNTS = (1, 2, 4, 8, 16)
MOST = COUNTS[-1]
EASY, HARD = 0.75, 0.25
DIFFICULTIES: Mapping[str, Callable[[Measured], bool]] = {
    "all": lambda _: True,
    "easy": lambda item: item.rate >= EASY,
    "medium": lambda item: HARD <= item.rate < EASY,
    "hard": lambda item: item.rate < HARD,
}
"""By the share of right answers among solutions that are not chosen from."""
SIGNIFICANT = 0.05
Run = Sequence[Measured]
"""One seed: its held-out tasks."""


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(self_prm.read_measured(folder / "model.jsonl"))


def measured(run: Run) -> Measurement:
    """A pure function of what the model did with one seed's tasks."""
    found = {name: summary([item for item in run if member(item)]) for name, member in DIFFICULTIES.items()}
    every, easy, hard = found["all"], found["easy"], found["hard"]
    contrasts = {
        f"rerank - majority of {MOST}": every["rerank"][str(MOST)] - every["majority"][str(MOST)],
        f"rerank - majority of {MOST}, hard tasks": hard["rerank"][str(MOST)] - hard["majority"][str(MOST)],
        "0.5 - precision, hard tasks": 0.5 - hard["precision"],
        "wrong solutions accepted, hard - easy": hard["accepted_wrong"] - easy["accepted_wrong"],
        "judged right, solved - not solved": dependence([run]),
        "judged right, solved - not solved, within kinds": dependence(kinds(run)),
    }
    return Measurement(contrasts=contrasts, figures={"difficulties": found, "independence": independence(run)})


def summary(run: Run) -> dict[str, Any]:
    """Of the tasks of a difficulty. A share of nothing is 0."""
    own = [pair for item in run for pair in item.own]
    rules: Mapping[str, Callable[[Measured, int], str]] = {
        "rerank": lambda item, count: chosen(item.answers[:count], item.scores[:count]),
        "majority": lambda item, count: majority(item.answers[:count]),
    }
    return {
        "tasks": len(run),
        "one": share(right for right, _ in own),
        "greedy": share(item.solves for item in run),
        **{
            name: {str(count): share(rule(item, count) == item.right for item in run) for count in COUNTS}
            for name, rule in rules.items()
        },
        "both": share(majority([*item.answers, *item.others]) == item.right for item in run),
        "precision": share(right for right, accepted in own if accepted),
        "accepted_right": share(accepted for right, accepted in own if right),
        "accepted_wrong": share(accepted for right, accepted in own if not right),
    }


def share(of: Iterable[bool]) -> float:
    found = list(of)
    return fmean(found) if found else 0.0


def kinds(run: Run) -> list[list[Measured]]:
    """Tasks whose given solutions are alike: right or wrong, with the operands of pretraining or larger ones."""
    pairs = [(right, larger) for right in (True, False) for larger in (True, False)]
    return [[item for item in run if (item.given_right, item.larger) == pair] for pair in pairs]


def dependence(strata: Sequence[Run]) -> float:
    """How much more often given solutions are judged right on tasks that the model solves than on others.

    Over strata, it is the mean of the differences with the weights of Mantel and Haenszel, n m / (n + m) for n solved
    and m other tasks; 0 if no stratum has both.
    """
    total, weights = 0.0, 0.0
    for run in strata:
        solved, others = ([item.judges_right for item in run if item.solves == solves] for solves in (True, False))
        if solved and others:
            weight = len(solved) * len(others) / (len(solved) + len(others))
            total += weight * (fmean(solved) - fmean(others))
            weights += weight
    return total / weights if weights else 0.0


def independence(run: Run) -> dict[str, float]:
    """The shares of given solutions judged right, and whether Fisher's exact test refuses that they are equal."""
    solved, others = ([item.judges_right for item in run if item.solves == solves] for solves in (True, False))
    refused = same_rate_p(solved, others) < SIGNIFICANT
    return {"solved": share(solved), "not_solved": share(others), "refused": float(refused)}


# The page -------------------------------------------------------------------------------------------------------------


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy by the number of solutions, one panel per difficulty."""
    panels = {
        name: {rule: [(int(count), cell.bar) for count, cell in each[rule].items()] for rule in ("rerank", "majority")}
        for name, each in found["difficulties"].items()
    }
    lines(panels, folder / "self-prm", across="solutions", up="accuracy")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("model",),
    run=self_prm.run,
    measure=measure,
    tables=lambda _: {"most": str(MOST), "significant": SIGNIFICANT},
    figures=figures,
    recipes=partial(recipes.contents, "mini_sft"),
    inputs=[base.PATH],
)
