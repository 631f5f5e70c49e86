"""Which errors labels can show: values (chances of success) against correctness, by PRMBench's kind of error.

Solutions of chains of arithmetic (`fathom.lab.chains`) have one planted error each: a wrong value, a wrong value that a
later step repairs, a step that states another operation than the one it performs, or a step that only restates a value.
The last two leave the state from which a rollout continues as it would be without them. The labelers are those of
`fathom label`; the model of steps is a table (`fathom.lab.step_table`), scored by PRMBench's own code.
prmbench_blindness.yaml states the claims.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from fathom.bench import Benchmark, prmbench
from fathom.data.records import Comparison, Label
from fathom.judges import Rule, Vote
from fathom.lab import step_table
from fathom.lab.chains import CONSTANTS, MODULUS, SIGNS, KnownRollouts, Operation, Problem, problems
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.step_table import Kind, Table
from fathom.labelers import Cost, Labels, Tools, make_labeler
from fathom.metrics.separation import auc
from fathom.rationale import Status
from fathom.report.figures import lines
from fathom.results.provenance import write_json
from fathom.results.rows import to_row

CLASSES = ("wrong value", "repaired value", "wrong reason", "redundancy")
"""The kinds of errors. The last two do not change the state."""
STATELESS = CLASSES[2:]
LABELERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "hard 8": ("monte-carlo", {"rollouts": 8}),
    "soft 8": ("monte-carlo", {"rollouts": 8, "soft": True}),
    "rpe 64": ("rpe", {"rollouts": 64, "epsilon": 0.8}),
    "consensus": ("consensus", {"rollouts": 8, "against": "given"}),
}
"""The labelers with rollouts: method and options. Consensus compares with labels that are always right."""
VALUES = ("hard 8", "soft 8", "rpe 64")
"""The labelers that use nothing but values."""
ARMS = (*LABELERS, "correctness")
ROLLOUTS = (8, 32, 128, 512)
"""Rollouts per prefix from which the progress of a step is estimated."""
SOLVED = (0.2, 0.95)
"""The range of the policy's chance to solve a problem. Where it never errs, no step makes progress."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int
    """Operations per problem."""
    training: int
    """Training solutions of each class of errors, one per problem."""
    test: int
    """Test solutions of each class."""


class Planted(NamedTuple):
    """A solution with one planted error."""

    id: str
    problem: Problem
    error: str
    """Its class."""
    steps: tuple[str, ...]
    kinds: tuple[Kind, ...]
    right: tuple[bool, ...]
    """Whether each step is right. A step that follows from a wrong value is."""
    values: tuple[int, ...]
    """The values that the steps write, one per operation; a restating step writes none."""
    done: tuple[int, ...]
    """How many operations are done after each step."""

    @property
    def first(self) -> int:
        """The index of the first wrong step."""
        return self.right.index(False)

    @property
    def correctness(self) -> Labels:
        return tuple(map(float, self.right))

    def comparison(self) -> Comparison:
        return Comparison(
            id=self.id,
            prompt=self.problem.prompt,
            responses=("".join(self.steps),),
            steps=(self.steps,),
            reference=" ".join(map(str, self.problem.answer)),
            label=Label(steps=(self.correctness,)),
            metadata={"subset": self.error},
        )

    def success(self) -> list[float]:
        """The exact chance of success of the bare problem, and after each step."""
        return [self.problem.success(self.values[:done]) for done in (0, *self.done)]


# Solutions ------------------------------------------------------------------------------------------------------------


def planted(count: int, *, seed: int, steps: int, name: str) -> list[Planted]:
    """Solutions without errors but the planted one, `count` of each class."""
    rng = random.Random(f"prmbench-blindness/{name}/{seed}")
    chains = iter(problems(2 * count * len(CLASSES), seed=seed, steps=steps, name=name, solved=SOLVED))
    return [_planted(chains, error, f"{error}/{number}", rng) for error in CLASSES for number in range(count)]


def _planted(chains: Iterator[Problem], error: str, id: str, rng: random.Random) -> Planted:
    """A solution of the next problem in which there is a place for this error: a repair needs a later step."""
    for problem in chains:
        places = [
            place
            for place in range(len(problem.operations) - 1)
            if error != "repaired value" or _repair(problem, place)
        ]
        if places:
            return _with_error(problem, error, rng.choice(places), id, rng)
    raise AssertionError("half of the problems have a place for every error")


def _repair(problem: Problem, place: int) -> int | None:
    """The next step on the same register."""
    register = problem.operations[place].register
    later = range(place + 1, len(problem.operations))
    return next((step for step in later if problem.operations[step].register == register), None)


def _with_error(problem: Problem, error: str, place: int, id: str, rng: random.Random) -> Planted:
    wrong = {place, _repair(problem, place)} if error == "repaired value" else {place}
    stated = list(problem.operations)
    if error == "wrong reason":
        stated[place] = _other(stated[place], rng)
    values = _values(problem, error, place, rng)
    texts: list[str] = []
    kinds: list[Kind] = []
    right: list[bool] = []
    done: list[int] = []
    for step, (operation, value) in enumerate(zip(stated, values, strict=True)):
        texts.append(f"{operation.register} {operation.sign} {operation.constant} = {value}\n\n")
        kinds.append((problem.operations[step][1:], operation[1:], problem.before(values, step), value))
        right.append(error == "redundancy" or step not in wrong)
        done.append(step + 1)
        if error == "redundancy" and step == place:
            texts.append(f"{operation.register} is {value} again\n\n")
            kinds.append(("restated", value))
            right.append(False)
            done.append(step + 1)
    return Planted(id, problem, error, tuple(texts), tuple(kinds), tuple(right), tuple(values), tuple(done))


def _other(operation: Operation, rng: random.Random) -> Operation:
    """Another operation on the same register."""
    all_operations = [Operation(operation.register, sign, constant) for sign in SIGNS for constant in CONSTANTS]
    return rng.choice([each for each in all_operations if each != operation])


def _values(problem: Problem, error: str, place: int, rng: random.Random) -> list[int]:
    """The written values: right ones, but for the planted error and what follows from it."""
    values: list[int] = []
    for step, operation in enumerate(problem.operations):
        right = operation(problem.before(values, step))
        if step == place and error in ("wrong value", "repaired value"):
            right = rng.choice([value for value in range(MODULUS) if value != right])
        values.append(right)
    if error == "repaired value":
        repair = _repair(problem, place)
        return _values(problem, "", place, rng)[:place] + _repaired(problem, values, place, repair)
    return values


def _repaired(problem: Problem, values: Sequence[int], place: int, repair: int | None) -> list[int]:
    """The values from the wrong one on, with the right ones again from the repair on."""
    right = _values(problem, "", place, random.Random())
    return [*values[place:repair], *right[repair:]]


# Labels ---------------------------------------------------------------------------------------------------------------


def labelled(arm: str, solutions: Sequence[Planted], seed: int) -> list[tuple[Planted, Labels]]:
    """The solutions that an arm keeps, with their labels."""
    if arm == "correctness":
        return [(each, each.correctness) for each in solutions]
    method, options = LABELERS[arm]
    labeler = make_labeler(method, **options)
    tools = Tools(KnownRollouts([each.problem for each in solutions], seed=seed, cost=Cost()))
    found = [(each, asyncio.run(labeler.label(each.comparison(), tools))[0]) for each in solutions]
    return [(each, result.labels) for each, result in found if result.rejected is None]


def of_labels(items: Sequence[tuple[Planted, Labels]], offered: int) -> dict[str, dict[str, float]]:
    """For each class: the share of solutions that an arm keeps, and the mean label of their first wrong step."""
    found = {}
    for error in CLASSES:
        kept = [labels[each.first] for each, labels in items if each.error == error]
        known = [label for label in kept if label is not None]
        found[error] = {"kept": len(kept) / offered} | ({"label": fmean(known)} if known else {})
    right = [label for each, labels in items for label in labels[: each.first] if label is not None]
    return {**found, "right steps": {"label": fmean(right)}}


# Scores ---------------------------------------------------------------------------------------------------------------


def by_class(solutions: Sequence[Planted], scores: Sequence[Sequence[float]]) -> dict[str, float]:
    """The AUC of each class: right steps before the first wrong one against that step. Later steps are left out."""
    found = {}
    for error in CLASSES:
        pairs = [(each, given) for each, given in zip(solutions, scores, strict=True) if each.error == error]
        right = [score for each, given in pairs for score in given[: each.first]]
        area = auc(right, [given[each.first] for each, given in pairs])
        assert area is not None
        found[error] = area
    return found


def benchmark() -> Benchmark:
    """PRMBench with the classes of this experiment."""
    return replace(
        prmbench.BENCHMARK,
        domains=dict.fromkeys(CLASSES, "correctness"),
        figures=partial(prmbench.figures_of, classes=CLASSES),
    )


def of_model(table: Table, solutions: Sequence[Planted]) -> dict[str, Any]:
    """The AUC and the PRMScore of each class."""
    scores = [[table[kind] for kind in each.kinds] for each in solutions]
    rule = Rule(aggregate="mean")
    votes = [Vote(Status.OK, step_scores=(tuple(given),), order=(0,)) for given in scores]
    rows = (to_row(each.comparison(), rule([vote], threshold=0.5)) for each, vote in zip(solutions, votes, strict=True))
    return {"auc": by_class(solutions, scores), "prm score": dict(benchmark().point(rows))}


def progress(solutions: Sequence[Planted], rollouts: int | None, seed: int) -> dict[str, float]:
    """The AUC of the change of the chance of success: exact for None, else of as many rollouts per prefix."""
    rng = random.Random(f"progress/{rollouts}/{seed}")

    def estimated(chance: float) -> float:
        return chance if rollouts is None else sum(rng.random() < chance for _ in range(rollouts)) / rollouts

    def changes(each: Planted) -> list[float]:
        # A restated prefix is another text, so its rollouts are drawn again.
        return [after - before for before, after in pairwise(map(estimated, each.success()))]

    return by_class(solutions, [changes(each) for each in solutions])


# The experiment -------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    path = out / f"{part}.json"
    if path.exists():
        return
    make = partial(planted, seed=seed, steps=settings.steps)
    training, test = make(settings.training, name="train"), make(settings.test, name="test")
    found: dict[str, Any] = {"labels": {}, "models": {}}
    for arm in ARMS:
        items = labelled(arm, training, seed)
        found["labels"][arm] = of_labels(items, settings.training)
        found["models"][arm] = of_model(step_table.fitted((each.kinds, labels) for each, labels in items), test)
    found["progress"] = {str(count): progress(test, count, seed) for count in ROLLOUTS}
    found["progress"]["exact"] = progress(test, None, seed)
    write_json(path, found)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(json.loads((folder / "all.json").read_text(encoding="utf-8")))


def measured(found: Mapping[str, Any]) -> Measurement:
    """The contrasts of one seed: AUCs, one minus them where they must be low, and differences."""
    areas = {arm: found["models"][arm]["auc"] for arm in ARMS}
    score = found["models"]["hard 8"]["prm score"]
    kept = found["labels"]["consensus"]
    return Measurement(
        contrasts={
            "PRMScore, hard 8, wrong value - redundancy": score["wrong value"] - score["redundancy"],
            **{f"1 - AUC, {arm}, {error}": 1 - areas[arm][error] for arm in VALUES for error in STATELESS},
            **{f"AUC, hard 8, {error}": areas["hard 8"][error] for error in CLASSES if error not in STATELESS},
            **{f"AUC, correctness, {error}": areas["correctness"][error] for error in STATELESS},
            **{f"1 - kept by consensus, {error}": 1 - kept[error]["kept"] for error in STATELESS},
            "1 - AUC, progress of 8, redundancy": 1 - found["progress"]["8"]["redundancy"],
        },
        figures=found,
    )


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"arms": ARMS, "classes": CLASSES, "rollouts": [*map(str, ROLLOUTS), "exact"]}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """The AUC of progress by the number of rollouts."""
    panel = {error: [(n, found["progress"][str(n)][error].bar) for n in ROLLOUTS] for error in CLASSES}
    path = folder / "prmbench-blindness"
    lines({"progress of a step": panel}, path, across="rollouts per prefix", up="AUC of right against wrong steps")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("all",),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
