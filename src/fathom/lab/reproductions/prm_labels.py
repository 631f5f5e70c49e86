"""Step labels compared: what models of steps learn from Monte Carlo, RPE, consensus, SCAN, a judge and a checker.

The labelers are those of `fathom label`, on chains of arithmetic (`fathom.lab.chains`) whose rollouts are drawn with
their exact chances. The model of steps is a table: the smoothed mean label of every combination of the register's
value, the operation and the written value. It has no training noise, so differences are due to labels.

Labels are compared at two costs: the same number of labelled solutions, whatever they cost, and the same number of
rollouts, whatever they label. prm_labels.yaml states the claims.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from fathom.data.records import Comparison
from fathom.data.steps import first_error
from fathom.lab import first_errors, step_table
from fathom.lab.chains import KnownRollouts, Problem, problems
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.first_errors import THRESHOLDS
from fathom.lab.step_table import Kind, Table
from fathom.labelers import Cost, Labels, Tools, make_labeler
from fathom.report.figures import lines
from fathom.results.provenance import write_json

ROLLOUTS = (8, 64)
"""Few and many rollouts per prefix."""
FEW, MANY = ROLLOUTS
JUDGES = ("informed judge", "nearly blind judge", "blind judge")
LABELERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{f"hard {n}": ("monte-carlo", {"rollouts": n}) for n in ROLLOUTS},
    f"soft {FEW}": ("monte-carlo", {"rollouts": FEW, "soft": True}),
    **{f"rpe {n}": ("rpe", {"rollouts": n, "epsilon": 0.8}) for n in ROLLOUTS},
    f"rpe {FEW}, tested": ("rpe", {"rollouts": FEW, "epsilon": 0.8, "test": True}),
    "scan": ("scan", {"rollouts": FEW}),
    "scan, not balanced": ("scan", {"rollouts": FEW}),
    **{f"consensus, {judge}": ("consensus", {"rollouts": FEW, "against": "given"}) for judge in JUDGES},
}
"""The labelers with rollouts: method and options."""
NOT_DRAWN = (f"rpe {FEW}, tested", "scan, not balanced", "consensus, nearly blind judge")
"""Arms that the table alone shows, so that the figure is clear."""
ARMS = (*LABELERS, *JUDGES, "checker", "truth")


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int
    """Steps per solution."""
    solutions: int
    """Labelled solutions at equal size; the budget of rollouts is what `hard 8` takes to label as many."""
    pool: int
    """Solutions that may be labelled, one per problem."""
    held_out: int
    """Solutions that tune the threshold, and as many others that measure F1."""
    flips: float
    """The share of other steps that a judge misjudges at random."""
    accepted: Mapping[str, float]
    """The share of misconceived steps that each judge accepts."""
    translated: float
    """The share of steps on which the checker has a verdict, which is right."""


class Sampled(NamedTuple):
    """A solution of the policy."""

    problem: Problem
    values: tuple[int, ...]
    number: int

    @property
    def error(self) -> int | None:
        return self.problem.first_error(self.values)

    def comparison(self, labels: Labels | None = None) -> Comparison:
        return self.problem.comparison(self.values, str(self.number), labels)


# Labels ---------------------------------------------------------------------------------------------------------------


def sampled(count: int, *, seed: int, steps: int, name: str) -> list[Sampled]:
    rng = random.Random(f"prm-labels/{name}/{seed}")
    chains = problems(count, seed=seed, steps=steps, name=name)
    return [Sampled(chain, chain.sampled(rng), number) for number, chain in enumerate(chains)]


def upto(error: int | None, steps: int) -> Labels:
    """The labels of a solution whose first error is known: none after it."""
    return (1.0,) * steps if error is None else (*(1.0,) * error, 0.0, *(None,) * (steps - error - 1))


def judged(item: Sampled, accepted: float, flips: float, seed: int) -> Labels:
    """The labels of a judge that accepts a share of the misconceived steps, and misjudges a share of the others."""
    rng = random.Random(f"judge/{seed}/{item.number}")
    for step, operation in enumerate(item.problem.operations):
        before, value = item.problem.before(item.values, step), item.values[step]
        right, drawn = value == operation(before), rng.random()
        misconceived = not right and operation.is_misconceived and value == (before + operation.constant) % 7
        if drawn >= accepted if misconceived else right is (drawn < flips):
            return upto(step, len(item.values))
    return upto(None, len(item.values))


def checked(item: Sampled, translated: float, seed: int) -> Labels:
    """The labels of a checker that is right, and says nothing about most or some steps."""
    rng = random.Random(f"checker/{seed}/{item.number}")
    labels = [label if rng.random() < translated else None for label in upto(item.error, len(item.values))]
    return tuple(labels)


class Training(NamedTuple):
    """Labelled solutions and what they cost."""

    items: Sequence[tuple[Sampled, Labels]]
    rollouts: int


def balanced(items: Sequence[tuple[Sampled, Labels]]) -> list[tuple[Sampled, Labels]]:
    """As many solutions whose steps are all labelled right as others, the first of each."""
    right = [(item, labels) for item, labels in items if set(labels) == {1.0}]
    wrong = [(item, labels) for item, labels in items if set(labels) != {1.0}]
    count = min(len(right), len(wrong))
    return right[:count] + wrong[:count]


def by_rollouts(
    arm: str, pool: Sequence[Sampled], settings: Settings, seed: int, *, most: int, budget: float = inf
) -> Training:
    """Label solutions one by one until `most` are labelled or the budget of rollouts is spent."""
    method, options = LABELERS[arm]
    labeler, cost = make_labeler(method, **options), Cost()
    tools = Tools(KnownRollouts([item.problem for item in pool], seed=seed, cost=cost))
    accepted = settings.accepted.get(arm.removeprefix("consensus, "), 0.0)
    usable = balanced if arm == "scan" else list

    async def kept() -> list[tuple[Sampled, Labels]]:
        items: list[tuple[Sampled, Labels]] = []
        for item in pool:
            if cost.completions >= budget:
                break
            given = judged(item, accepted, settings.flips, seed)
            [labelled] = await labeler.label(item.comparison(given), tools)
            if labelled.rejected is None:
                items.append((item, labelled.labels))
                if len(items) >= most and len(usable(items)) >= most:
                    break
        return usable(items)

    return Training(asyncio.run(kept()), cost.completions)


def trainings(settings: Settings, seed: int) -> dict[str, dict[str, Training]]:
    """The training sets at an equal number of labelled solutions, and at an equal number of rollouts, by arm."""
    pool = sampled(settings.pool, seed=seed, steps=settings.steps, name="train")
    label = partial(by_rollouts, pool=pool, settings=settings, seed=seed)
    equal = {arm: label(arm, most=settings.solutions) for arm in LABELERS}
    first = pool[: settings.solutions]
    for judge in JUDGES:
        labels = [judged(item, settings.accepted[judge], settings.flips, seed) for item in first]
        equal[judge] = Training(list(zip(first, labels, strict=True)), 0)
    equal["checker"] = Training([(item, checked(item, settings.translated, seed)) for item in first], 0)
    equal["truth"] = Training([(item, upto(item.error, settings.steps)) for item in first], 0)
    budget = equal[f"hard {FEW}"].rollouts
    return {"labels": equal, "cost": {arm: label(arm, most=len(pool), budget=budget) for arm in LABELERS}}


# The model ------------------------------------------------------------------------------------------------------------


def combination(item: Sampled, step: int) -> Kind:
    operation = item.problem.operations[step]
    return (item.problem.before(item.values, step), operation.sign, operation.constant, item.values[step])


def combinations(item: Sampled) -> list[Kind]:
    return [combination(item, step) for step in range(len(item.values))]


def fitted(items: Sequence[tuple[Sampled, Labels]]) -> Table:
    return step_table.fitted((combinations(item), labels) for item, labels in items)


def f1(table: Table, items: Sequence[Sampled], threshold: float) -> float:
    """ProcessBench's F1 of the first step that scores below the threshold."""
    return first_errors.f1([([table[kind] for kind in combinations(item)], item.error) for item in items], threshold)


def scores(training: Training, tuning: Sequence[Sampled], test: Sequence[Sampled]) -> dict[str, float]:
    """F1 at the threshold 0.5 and at the best one on other solutions, and facts about the training set."""
    table = fitted(training.items)
    best = max(THRESHOLDS, key=lambda threshold: f1(table, tuning, threshold))
    exact = [first_error(labels, 0.5) == item.error for item, labels in training.items]
    return {
        "f1": f1(table, test, 0.5),
        "tuned": f1(table, test, best),
        "threshold": best,
        "solutions": float(len(training.items)),
        "rollouts": float(training.rollouts),
        "exact": sum(exact) / len(exact),
    }


# The experiment -------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    path = out / f"{part}.json"
    if not path.exists():
        tuning, test = (
            sampled(settings.held_out, seed=seed, steps=settings.steps, name=name) for name in ("tune", "test")
        )
        found = {
            cost: {arm: scores(training, tuning, test) for arm, training in arms.items()}
            for cost, arms in trainings(settings, seed).items()
        }
        write_json(path, found)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(json.loads((folder / "all.json").read_text(encoding="utf-8")))


def measured(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Measurement:
    """The contrasts of one seed. Both sides use tuned thresholds, except where the words say 0.5."""
    labels, cost = found["labels"], found["cost"]

    def above(one: str, other: str, at: Mapping[str, Mapping[str, float]] = labels, by: str = "tuned") -> float:
        return at[one][by] - at[other][by]

    return Measurement(
        contrasts={
            f"consensus - hard {FEW}, informed judge": above("consensus, informed judge", f"hard {FEW}"),
            "consensus - judge, informed judge": above("consensus, informed judge", "informed judge"),
            f"hard {FEW} - consensus, blind judge": above(f"hard {FEW}", "consensus, blind judge"),
            f"scan - hard {FEW}": above("scan", f"hard {FEW}"),
            f"scan - hard {FEW}, equal rollouts": above("scan", f"hard {FEW}", cost),
            f"rpe {MANY} - hard {MANY}, at 0.5": above(f"rpe {MANY}", f"hard {MANY}", by="f1"),
            f"hard {FEW} - hard {MANY}, at 0.5": above(f"hard {FEW}", f"hard {MANY}", by="f1"),
        },
        figures=found,
    )


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"arms": ARMS, "labelers": tuple(LABELERS)}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """F1 against the number of rollouts, for equal numbers of labelled solutions."""
    cells = {arm: found["labels"][arm] for arm in LABELERS if arm not in NOT_DRAWN}
    panel = {arm: [(cell["rollouts"].mean, cell["tuned"].bar)] for arm, cell in cells.items()}
    lines(
        {"equal number of labelled solutions": panel},
        folder / "prm-labels",
        across="rollouts",
        up="F1 at the tuned threshold",
    )


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("all",),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
