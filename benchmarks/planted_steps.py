"""What the formulas of judges of steps add, on planted noise with known truth. No model is run.

    python benchmarks/planted_steps.py hrm reasonflux drm tools

hrm: solutions of 8 steps, each wrong with probability 0.1. The next step repairs a wrong one with probability
`repairs`, and an error without repair makes the solution wrong. A simulated model scores each step and each pair of
steps: sigmoid(z), where z is normal with mean 2 if the unit is right (a pair whose second step repairs the first is
right), mean -2 if it is wrong, and standard deviation `noise`, independent between units. A solution has its lowest
score. The control reads each single step twice, with independent noise, and takes the higher score. Printed is
the AUC of right against wrong solutions: mean and range over seeds.

reasonflux: responses with a thought of 20 steps and an answer of 4. A response is wrong if a step of its answer is,
each with probability 0.1. A step of a thought is wrong with probability 0.4, whatever the response is. Steps are scored
as above, and so is the whole response, as one more unit.

drm: responses are right with probability 0.5. Each dimension is sigmoid(z), where z is normal with standard deviation 1
and mean `signal` if the response is right, 0 if it is wrong. The best weights of a grid (0, 1, 2 per dimension) are
chosen on 200 further responses.

tools: solutions of 6 steps, each a product. A step is miscalculated with probability 0.1, or multiplies a wrong number
rightly with probability 0.1. A simulated judge says that a right equation is wrong, and the reverse, with probability
0.2; with the calculator, it believes the result. Printed are the shares of right steps, of miscalculated steps and of
steps with a wrong number that are called wrong, among steps before the first that is called wrong, and that one.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from math import exp
from statistics import fmean
from typing import NamedTuple

from scipy.stats import rankdata

from fathom.data.records import Comparison
from fathom.engines import Request
from fathom.engines.scripted import ScriptedEngine
from fathom.process.calculator import calculate
from fathom.rewards.drm import weighted
from fathom.rewards.grounded_prm import GroundedPRM
from fathom.rewards.hrm import forgiven
from fathom.rewards.reasonflux import combined

SEEDS = range(5)
SOLUTIONS, STEPS = 1000, 8


def shown(name: str, figures: list[float]) -> str:
    return f"  {name:<36}{fmean(figures):.3f} [{min(figures):.3f}, {max(figures):.3f}]"


def noisy(rng: random.Random, right: bool, noise: float) -> float:
    """The score of a unit by a simulated model."""
    return 1 / (1 + exp(-rng.gauss(2 if right else -2, noise)))


def auc(scores: Sequence[float], right: Sequence[bool]) -> float:
    """The probability that a right solution scores higher than a wrong one; ties count half."""
    ranks = rankdata(scores)
    count = sum(right)
    above = sum(rank for rank, is_right in zip(ranks, right, strict=True) if is_right) - count * (count + 1) / 2
    return float(above / (count * (len(right) - count)))


# Hierarchical reward model --------------------------------------------------------------------------------------------


class Solution(NamedTuple):
    right: bool
    single: list[float]
    """The scores of its steps."""
    again: list[float]
    """The scores of its steps, read a second time."""
    pairs: list[float]


def solution(rng: random.Random, repairs: float, noise: float) -> Solution:
    wrong = [rng.random() < 0.1 for _ in range(STEPS)]
    repaired = [rng.random() < repairs and not later for later in wrong[1:]] + [False]
    right = all(mended or not step for step, mended in zip(wrong, repaired, strict=True))
    pairs = [(not wrong[k] or repaired[k]) and not wrong[k + 1] for k in range(STEPS - 1)]
    units = ([not step for step in wrong], [not step for step in wrong], pairs)
    return Solution(right, *([noisy(rng, unit, noise) for unit in read] for read in units))


WAYS: dict[str, Callable[[Solution], float]] = {
    "single steps (process)": lambda each: min(each.single),
    "control: single steps, read twice": lambda each: min(map(max, each.single, each.again)),
    "steps and pairs (hrm)": lambda each: min(forgiven(each.single, each.pairs)),
}


def hrm() -> None:
    for repairs in (0.0, 0.3, 0.9):
        for noise in (1.0, 2.0):
            print(f"hrm: repairs {repairs}, noise {noise}")
            rngs = [random.Random(f"{seed}/{repairs}/{noise}") for seed in SEEDS]
            drawn = [[solution(rng, repairs, noise) for _ in range(SOLUTIONS)] for rng in rngs]
            for name, score in WAYS.items():
                figures = [auc([score(each) for each in group], [each.right for each in group]) for group in drawn]
                print(shown(name, figures))


# ReasonFlux-PRM -------------------------------------------------------------------------------------------------------


class Response(NamedTuple):
    right: bool
    thought: list[float]
    answer: list[float]
    whole: float


def response(rng: random.Random, noise: float) -> Response:
    wrong = [rng.random() < 0.1 for _ in range(4)]
    thought = [noisy(rng, rng.random() >= 0.4, noise) for _ in range(20)]
    right = not any(wrong)
    return Response(right, thought, [noisy(rng, not step, noise) for step in wrong], noisy(rng, right, noise))


FORMULAS: dict[str, Callable[[Response], float]] = {
    "lowest score of all steps": lambda each: min(*each.thought, *each.answer),
    "mean of all steps": lambda each: fmean([*each.thought, *each.answer]),
    "the parts apart, alpha 0": lambda each: combined(each.thought, each.answer, 0, thinking=0.5, alpha=0),
    "the same, alpha 1 (reasonflux)": lambda each: combined(*each[1:], thinking=0.5, alpha=1),
    "control: the whole response alone": lambda each: each.whole,
    "control: mean of the answer's steps": lambda each: fmean(each.answer),
}


def reasonflux() -> None:
    for noise in (1.0, 2.0):
        print(f"reasonflux: noise {noise}")
        rngs = [random.Random(f"{seed}/{noise}") for seed in SEEDS]
        drawn = [[response(rng, noise) for _ in range(SOLUTIONS)] for rng in rngs]
        for name, score in FORMULAS.items():
            figures = [auc([score(each) for each in group], [each.right for each in group]) for group in drawn]
            print(shown(name, figures))


# Dimension-level reward -----------------------------------------------------------------------------------------------

Dimensions = tuple[dict[str, float], bool]
"""The value of each dimension, and whether the response is right."""


def measured(rng: random.Random, signals: Mapping[str, float]) -> Dimensions:
    right = rng.random() < 0.5
    return {name: 1 / (1 + exp(-rng.gauss(signal * right, 1))) for name, signal in signals.items()}, right


def weighted_auc(drawn: Sequence[Dimensions], weights: Mapping[str, float]) -> float:
    return auc([weighted(values, weights) for values, _ in drawn], [right for _, right in drawn])


def drm() -> None:
    for signals in ((1.0, 1.0, 1.0), (1.5, 1.0, 0.0), (1.5, 0.0, 0.0)):
        named = dict(zip(("confidence", "relevance", "coherence"), signals, strict=True))
        print(f"drm: signals {named}")
        figures: dict[str, list[float]] = {}
        for seed in SEEDS:
            rng = random.Random(f"{seed}/{signals}")
            drawn = [measured(rng, named) for _ in range(SOLUTIONS)]
            labelled = [measured(rng, named) for _ in range(200)]
            grid = [dict(zip(named, each, strict=True)) for each in product((0, 1, 2), repeat=3) if any(each)]
            ways = {name: {name: 1.0} | dict.fromkeys(named.keys() - {name}, 0.0) for name in named}
            ways["equal weights"] = dict.fromkeys(named, 1.0)
            ways["weights of the grid"] = max(grid, key=partial(weighted_auc, labelled))
            for name, weights in ways.items():
                figures.setdefault(name, []).append(weighted_auc(drawn, weights))
        for name, found in figures.items():
            print(shown(name, found))


# Calls of a calculator ------------------------------------------------------------------------------------------------

KINDS = ("right", "miscalculated", "wrong number")


def products(rng: random.Random, number: int) -> tuple[Comparison, list[str]]:
    """A solution of products, and the kind of each step."""
    kinds = rng.choices(KINDS, (0.8, 0.1, 0.1), k=6)
    steps = []
    for kind in kinds:
        left, right = rng.randrange(11, 100), rng.randrange(11, 100)
        steps.append(f"{left} * {right} = {left * right + (10 if kind == 'miscalculated' else 0)}")
    solution = Comparison(id=str(number), prompt="Compute the products.", responses=("\n\n".join(steps),))
    return solution.model_copy(update={"steps": (tuple(steps),)}), kinds


def simulated_judge(rng: random.Random) -> Callable[[Request], str]:
    def reply(request: Request) -> str:
        prompt = str(request.messages[0]["content"]).split("The step to check")[1]
        equation = prompt.split("```")[1].strip()
        result = prompt.rpartition(f"<calculator>{equation}</calculator>\n[calculator: ")[2]
        if "To call a tool" in prompt and not result.startswith(("true]", "false]")):
            return f"<calculator>{equation}</calculator>"
        known = calculate(equation) == "true" if rng.random() >= 0.2 else calculate(equation) != "true"
        correct = result.startswith("true]") if result.startswith(("true]", "false]")) else known
        return f"\\boxed{{{'correct' if correct else 'incorrect'}}}"

    return reply


def called_wrong(seed: int, calls: int) -> dict[str, float]:
    rng = random.Random(seed)
    drawn = [products(rng, number) for number in range(200)]
    judge = GroundedPRM(engine=ScriptedEngine(simulated_judge(rng)), calls=calls)
    counts: Counter[tuple[str, float]] = Counter()
    for (_, kinds), (_, verdict) in zip(drawn, judge.run([solution for solution, _ in drawn]), strict=True):
        scores = (verdict.votes[0].step_scores or ((),))[0]
        counts.update((kind, score) for kind, score in zip(kinds, scores, strict=True) if score is not None)
    return {kind: counts[kind, 0.0] / (counts[kind, 0.0] + counts[kind, 1.0]) for kind in KINDS}


def tools() -> None:
    for name, calls in (("no calls", 0), ("calculator", 4)):
        found = [called_wrong(seed, calls) for seed in SEEDS]
        print(f"tools: {name}")
        for kind in KINDS:
            print(shown(f"called wrong: {kind}", [each[kind] for each in found]))


METHODS = {"hrm": hrm, "reasonflux": reasonflux, "drm": drm, "tools": tools}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    for name in parser.parse_args().methods:
        METHODS[name]()


if __name__ == "__main__":
    main()
