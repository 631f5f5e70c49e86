"""What labelers of steps find, on planted errors and noise with known truth. No model is run.

    python benchmarks/planted_labels.py spark aurora psgpo hnc grounded

spark: solutions of 8 steps, each wrong with probability 0.1. Every vote judges each step rightly with probability
`accuracy`, independently. Printed is the share of solutions whose first wrong step (or none) is named, by one vote and
by the majority of 15: of all votes for each step, or of those that share the majority's opinion on the solution.

aurora: solutions of 6 steps; half of them have a wrong one, and a wrong answer. Three prompts name the first wrong step
(or none). Each is wrong with probability 0.3, and then names another step, or none, at random; with probability
`shared`, all three make the same error. Printed is the share of labelled solutions whose first wrong step (or none) is
right: for one prompt, for the majority of three, and with `check_outcome`, which rejects wrong answers without a wrong
step; and the share that it rejects.

psgpo: programs of 6 lines; the first wrong line is known. A completion of a right prefix is right with probability 0.5,
and one of a wrong prefix never is. Programs run against unit tests in the sandbox. Printed is in how many programs the
first wrong line is found, by bisection and by completions of every prefix, with 4 completions each, and the completions
that were used.

hnc: solutions of 8 steps, each wrong with probability 0.1; the next step repairs it with probability 0.3, and one that
is not repaired makes the solution wrong. The label of a step is whether no error before it or in it is left unrepaired,
flipped with probability 0.2. A simulated model knows a unit by the kinds of its steps (right, wrong, repairing), of
which it mistakes each with probability `misread`. Its score is the mean label of the training units of the same kinds;
for pairs that it has not seen, it is the lower one of both steps' scores. Printed is the AUC of right against wrong
solutions by the lowest score.

grounded: chains of 6 additions; a wrong step is miscalculated, or adds the wrong number rightly. Rollouts continue from
the number that the prefix ends with; after a wrong step, they restore the right one with probability `repairs`. Printed
is the share of solutions of each kind whose first wrong step (or none) the labels name, with 4 rollouts per prefix.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from planted_steps import SEEDS, auc

from fathom.data.records import Comparison, Label
from fathom.data.steps import first_error
from fathom.engines import Completion, Request, Sampling
from fathom.engines.cache import CachedEngine
from fathom.engines.scripted import ScriptedEngine
from fathom.judges.processbench import ProcessBenchJudge
from fathom.labelers import Checker, Labels, Result, Rollouts, Tools, answer_checker, make_labeler, run
from fathom.labelers._merging import mergeable, merged
from fathom.labelers.judge import majority, majority_outcome
from fathom.rewards.hrm import forgiven

Reply = Callable[[Request], str | Completion]


def solution(number: int, prompt: str, steps: Sequence[str], reference: str | None = None) -> Comparison:
    texts = tuple(steps)
    return Comparison(
        id=str(number), prompt=prompt, responses=("\n\n".join(texts),), steps=(texts,), reference=reference
    )


async def labelled(
    rows: Sequence[Comparison],
    reply: Reply,
    check: Checker,
    method: str,
    *,
    splitter: Any = "paragraphs",
    **options: Any,
) -> Result:
    """The labels that a labeler of the library makes with a scripted model as policy and as judge."""
    async with CachedEngine(ScriptedEngine(reply, provides=("text", "prefix")), ":memory:") as engine:
        judge = ProcessBenchJudge(engine=engine)
        tools = Tools(Rollouts(engine, Sampling(temperature=0.7), check), judge=judge, splitter=splitter)
        return await run(rows, make_labeler(method, **options), tools)


def found(result: Result, truth: Sequence[int | None]) -> list[tuple[int, bool]]:
    """Of each labelled solution, its number, and whether its labels name the true first wrong step, or none."""
    numbers = [int(each.solution.comparison.id) for each in result.kept]
    return [
        (number, first_error(each.labels) == truth[number]) for number, each in zip(numbers, result.kept, strict=True)
    ]


# SPARK: votes that are merged by steps or by outcomes -----------------------------------------------------------------


def vote(rng: random.Random, truth: Sequence[float], accuracy: float) -> Labels:
    return tuple(label if rng.random() < accuracy else 1 - label for label in truth)


MERGES: dict[str, Callable[[Sequence[Labels]], Labels]] = {
    "one vote": lambda votes: votes[0],
    "majority of 15, by steps": majority,
    "majority of 15, by outcome": lambda votes: majority(majority_outcome(votes)),
}


def spark(solutions: int = 500) -> dict[tuple[float, str], list[float]]:
    figures = defaultdict(list)
    for accuracy in (0.95, 0.7, 0.55, 0.45):
        for seed in SEEDS:
            rng = random.Random(f"{seed}/{accuracy}")
            truths = [[float(rng.random() >= 0.1) for _ in range(8)] for _ in range(solutions)]
            votes = [[vote(rng, truth, accuracy) for _ in range(15)] for truth in truths]
            for name, merge in MERGES.items():
                named = [
                    first_error(merge(each)) == first_error(truth) for each, truth in zip(votes, truths, strict=True)
                ]
                figures[accuracy, name].append(fmean(named))
    return figures


# AURORA: several prompts, and a check of the outcome ------------------------------------------------------------------

PROMPTS = {"recompute": "work out on your own", "reverse": "Begin at the final answer"}
"""Further prompts, each with words that no other prompt has."""


def critic(truth: Sequence[int | None], shared: float, seed: int) -> Reply:
    def reply(request: Request) -> str:
        prompt = str(request.messages[0]["content"])
        number = int(prompt.split("Problem number ")[1].split(".")[0])
        kind = next((name for name, mark in PROMPTS.items() if mark in prompt), "given")
        common = random.Random(f"{seed}/{number}").random() < shared
        rng = random.Random(f"{seed}/{number}/{'all' if common else kind}")
        others = [place for place in range(-1, 6) if place != (-1 if truth[number] is None else truth[number])]
        right = -1 if truth[number] is None else truth[number]
        return f"\\boxed{{{rng.choice(others) if rng.random() < 0.3 else right}}}"

    return reply


WAYS: dict[str, dict[str, Any]] = {
    "one prompt": {},
    "three prompts": {"prompts": tuple(PROMPTS)},
    "three prompts and check_outcome": {"prompts": tuple(PROMPTS), "check_outcome": True},
}


def aurora(solutions: int = 200) -> dict[tuple[float, str], list[float]]:
    figures = defaultdict(list)
    for shared in (0.0, 0.5, 1.0):
        for seed in SEEDS:
            rng = random.Random(seed)
            truth = [rng.choice([None, rng.randrange(6)]) for _ in range(solutions)]
            rows = [
                solution(
                    number, f"Problem number {number}.", [*"abcde", f"The answer is {first is not None}."], "False"
                )
                for number, first in enumerate(truth)
            ]
            for name, options in WAYS.items():
                with answer_checker("exact") as check:
                    result = asyncio.run(labelled(rows, critic(truth, shared, seed), check, "judge", **options))
                figures[shared, name].append(fmean(right for _, right in found(result, truth)))
                if "check_outcome" in options:
                    figures[shared, "rejected"].append(1 - len(result.kept) / len(rows))
    return figures


# PSGPO: lines of programs ---------------------------------------------------------------------------------------------

HEAD, LINES = "def f(x):\n", 6


def program(rng: random.Random) -> list[str]:
    """Lines that add to x or multiply it, so that a wrong constant is never made up for by the next lines."""
    body = [f"    x = x {rng.choice('+*')} {rng.randrange(2, 9)}\n" for _ in range(LINES - 2)]
    return [HEAD, *body, "    return x"]


def spoiled(line: str) -> str:
    return f"{line.rstrip()[:-1]}{int(line.rstrip()[-1]) + 1}\n"


def value(lines: Sequence[str], x: int) -> int:
    names: dict[str, Any] = {}
    exec("".join(lines), names)  # written above
    return int(names["f"](x))


def coder(programs: Sequence[Sequence[str]], seed: int) -> Reply:
    def reply(request: Request) -> Completion:
        number = int(str(request.messages[0]["content"]).split("Program number ")[1].split(".")[0])
        right, done = programs[number], request.prefix.count("\n")
        rest = list(right[done:])
        if random.Random(f"{seed}/{number}/{done}/{request.sample}").random() < 0.5:
            rest[-1] = "    return x + 1"
        return Completion("".join(rest))

    return reply


def psgpo(programs: int = 20, seeds: Iterable[int] = range(1)) -> dict[tuple[str, str], list[float]]:
    figures = defaultdict(list)
    for seed in seeds:
        rng = random.Random(seed)
        right = [program(rng) for _ in range(programs)]
        truth: list[int | None] = [rng.randrange(1, LINES - 1) for _ in right]
        rows = []
        for number, (lines, first) in enumerate(zip(right, truth, strict=True)):
            assert first is not None
            wrong = [*lines[:first], spoiled(lines[first]), *lines[first + 1 :]]
            tests = f"assert f(1) == {value(lines, 1)}\nassert f(5) == {value(lines, 5)}"
            row = Comparison(
                id=str(number), prompt=f"Program number {number}.", responses=("".join(wrong),), reference=tests
            )
            rows.append(row)
        for method in ("bisection", "monte-carlo"):
            with answer_checker("unit-tests") as check:
                work = labelled(rows, coder(right, seed), check, method, splitter="lines", rollouts=4)
                result = asyncio.run(work)
            figures[method, "found, of all programs"].append(sum(right for _, right in found(result, truth)) / programs)
            figures[method, "completions per program"].append(result.cost.completions / programs)
    return figures


# HNC: merged steps as training data -----------------------------------------------------------------------------------


KINDS = ("right", "wrong", "repair")


def repaired(rng: random.Random, misread: float) -> tuple[Comparison, bool]:
    """A solution whose steps are their kinds as the model sees them, with noisy labels, and whether it is right."""
    kinds: list[str] = []
    for _ in range(8):
        if kinds and kinds[-1] == "wrong" and rng.random() < 0.3:
            kinds.append("repair")
        else:
            kinds.append("wrong" if rng.random() < 0.1 else "right")
    pairs = list(pairwise(kinds))
    lost = [any(kind == "wrong" and after != "repair" for kind, after in pairs[:place]) for place in range(8)]
    reached = [not gone and kind != "wrong" for gone, kind in zip(lost, kinds, strict=True)]
    labels = tuple(float(label != (rng.random() < 0.2)) for label in reached)
    read = [rng.choice(KINDS) if rng.random() < misread else kind for kind in kinds]
    row = solution(rng.randrange(10**9), "?", read).model_copy(update={"label": Label(steps=(labels,))})
    return row, reached[-1]


def table(rows: Iterable[Comparison]) -> dict[str, float]:
    """The mean label of every unit, which is one step or two merged ones."""
    seen = defaultdict(list)
    for row in rows:
        assert row.steps is not None
        assert row.label is not None
        assert row.label.steps is not None
        for unit, label in zip(row.steps[0], row.label.steps[0], strict=True):
            assert label is not None
            seen[unit].append(label)
    return {unit: fmean(labels) for unit, labels in seen.items()}


def lowest(row: Comparison, scores: dict[str, float], *, pairs: bool) -> float:
    assert row.steps is not None
    steps = row.steps[0]
    single = [scores[step] for step in steps]
    if not pairs:
        return min(single)
    units = [f"{step}\n\n{after}" for step, after in pairwise(steps)]
    both = [scores.get(unit, min(single[place : place + 2])) for place, unit in enumerate(units)]
    return min(forgiven(single, both))


def hnc(solutions: int = 1000) -> dict[tuple[float, str], list[float]]:
    figures = defaultdict(list)
    for misread in (0.0, 0.1, 0.3):
        for seed in SEEDS:
            rng = random.Random(f"{seed}/{misread}")
            training = [repaired(rng, misread)[0] for _ in range(solutions)]
            copies = [merged(row, rng.choice(mergeable(row))) for row in training]
            drawn = [repaired(rng, misread) for _ in range(solutions)]
            right = [label for _, label in drawn]
            ways = {
                "single steps (process)": (table(training), False),
                "pairs, no merged data (hrm)": (table(training), True),
                "pairs, with merged data (hrm)": (table([*training, *copies]), True),
            }
            for name, (scores, pairs) in ways.items():
                figures[misread, name].append(auc([lowest(row, scores, pairs=pairs) for row, _ in drawn], right))
    return figures


# GroundedPRM's labels -------------------------------------------------------------------------------------------------

ERRORS = ("none", "miscalculated", "wrong number")


def chain(rng: random.Random, kind: str) -> tuple[list[int], list[str], int | None]:
    """The numbers to add to 0, the steps of a solution, and the index of its wrong step."""
    numbers = [rng.randrange(10, 50) for _ in range(6)]
    wrong = None if kind == "none" else rng.randrange(5)
    total, steps = 0, []
    for place, number in enumerate(numbers):
        added = number + (place == wrong and kind == "wrong number")
        result = total + added + (place == wrong and kind == "miscalculated")
        steps.append(f"{total} + {added} = {result}")
        total = result
    steps[-1] += f"\nThe answer is {total}."
    return numbers, steps, wrong


def adder(repairs: float, seed: int) -> Reply:
    def reply(request: Request) -> Completion:
        prompt = str(request.messages[0]["content"]).split("Add up: ")[1].split(".")[0]
        numbers = [int(each) for each in prompt.split(", ")]
        done = request.prefix.count("=")
        total = int(request.prefix.rstrip().rsplit(" ", 1)[-1]) if done else 0
        if (
            total != sum(numbers[:done])
            and random.Random(f"{seed}/{request.prefix}/{request.sample}").random() < repairs
        ):
            total = sum(numbers[:done])
        steps = []
        for number in numbers[done:]:
            steps.append(f"{total} + {number} = {total + number}")
            total += number
        return Completion("\n\n".join(steps) + f"\nThe answer is {total}.")

    return reply


def grounded(solutions: int = 10, seeds: Iterable[int] = range(3)) -> dict[tuple[float, str, str], list[float]]:
    figures = defaultdict(list)
    for repairs in (0.0, 0.3):
        for seed in seeds:
            rng = random.Random(seed)
            drawn = [(kind, *chain(rng, kind)) for kind in ERRORS for _ in range(solutions)]
            rows = [
                solution(number, f"Add up: {', '.join(map(str, numbers))}.", steps, str(sum(numbers)))
                for number, (_, numbers, steps, _) in enumerate(drawn)
            ]
            truth = [wrong for *_, wrong in drawn]
            for method in ("monte-carlo", "fover", "grounded"):
                with answer_checker("exact") as check:
                    options = {} if method == "fover" else {"rollouts": 4}
                    result = asyncio.run(labelled(rows, adder(repairs, seed), check, method, **options))
                named = Counter(drawn[number][0] for number, right in found(result, truth) if right)
                for kind in ERRORS:
                    figures[repairs, method, kind].append(named[kind] / solutions)
    return figures


METHODS: dict[str, Callable[[], dict[Any, list[float]]]] = {
    "spark": spark,
    "aurora": aurora,
    "psgpo": psgpo,
    "hnc": hnc,
    "grounded": grounded,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    for name in parser.parse_args().methods:
        print(name)
        for key, figures in METHODS[name]().items():
            print(f"  {', '.join(map(str, key)):<40}{fmean(figures):.3f} [{min(figures):.3f}, {max(figures):.3f}]")


if __name__ == "__main__":
    main()
