"""RewardMATH: is the right one of ten solutions to a problem scored above the nine wrong ones?

    score.figures["accuracy"], score.figures["mrr"]

Solutions are lists of steps, so a process reward model scores them as they are; `--step-reduction` chooses how.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found, placed
from fathom.bench.outcomes import scores, source_first
from fathom.data.conversations import BadRowError
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.results.rows import Row

FILES = ("*RewardMATH_direct*",)
COLUMNS = ("problem", "eval_solution", "solution_type", "problem_id")
KINDS = ("chosen", "rejected")
STEP = "\n\n"


def load(folder: Path) -> Iterator[Comparison]:
    """One comparison per problem, whose solutions are consecutive rows."""
    for path in found(folder, *FILES):
        rows = each(path, COLUMNS, _solution)
        for id, solutions in groupby(rows, key=lambda solution: solution.metadata["problem_id"]):
            yield placed(_problem(path, id, list(solutions)))


def _solution(row: SourceRow, line: int) -> Iterator[Comparison]:
    steps, kind = row["eval_solution"], row["solution_type"]
    if kind not in KINDS:
        raise BadRowError("solution_type", f"got {kind!r}, expected one of {', '.join(KINDS)}")
    given = comparison(
        "rewardmath",
        str(line),
        row["problem"],
        [STEP.join(steps)],
        None,
        subset="RewardMATH",
        domain="correctness",
        problem_id=row["problem_id"],
        right=kind == "chosen",
    )
    yield given.model_copy(update={"steps": (tuple(steps),)})


def _problem(path: Path, id: int | str, solutions: Sequence[Comparison]) -> Comparison:
    """The comparison of the solutions to a problem. Raises FathomError unless exactly one of several is right."""
    right = [solution.metadata["right"] for solution in solutions]
    if right.count(True) != 1 or len(right) < 2:
        raise FathomError(
            f"{path}: problem_id {id}: got {len(right)} solutions, {right.count(True)} of them chosen; expected one "
            "chosen and at least one rejected solution, in consecutive rows"
        )
    whole = comparison(
        "rewardmath",
        str(id),
        solutions[0].prompt,
        [solution.responses[0] for solution in solutions],
        Label(best=right.index(True)),
        subset="RewardMATH",
        domain="correctness",
        right=right,
    )
    return whole.model_copy(update={"steps": tuple(steps for solution in solutions for steps in solution.steps or ())})


def item(row: Row) -> list[tuple[str, float]]:
    """Without a verdict, all solutions have the same score."""
    right = row["metadata"]["right"]
    ranked = source_first(row, scores(row) or [0.0] * len(right))
    place = right.index(True)
    others = [score for other, score in enumerate(ranked) if other != place]
    worst, best = rank(ranked[place], others, ties=True), rank(ranked[place], others, ties=False)
    return [("accuracy", float(worst == 1)), ("accuracy, ties right", float(best == 1)), ("mrr", 1 / worst)]


def rank(right: float, wrong: Sequence[float], *, ties: bool) -> int:
    """The rank of the right solution among the wrong ones, from 1; with `ties`, equal scores rank above it."""
    return 1 + sum(score > right or (ties and score == right) for score in wrong)


BENCHMARK = Benchmark(
    name="rewardmath",
    title="RewardMATH",
    source="Kim et al. 2024, RewardMATH (arXiv 2410.01729); github.com/kimsh0507/RewardMATH_official, MIT.",
    files=FILES,
    size="483 problems with one right and nine wrong solutions each",
    layout=(
        "One row per solution: problem, eval_solution (steps), solution_type (chosen, rejected), problem_id. Checked"
        " with the 20 rows in the repository; the full data are on the hub as RewardMATH/RewardMATH."
    ),
    official=(
        "Accuracy is the share of problems whose right solution scores above all wrong ones; a tie is wrong, and an"
        " unparsed verdict ties all solutions. MRR is the mean reciprocal rank of the right solution, with ties ranked"
        " above it. A random order of ten has an accuracy of 0.100 and an MRR of 0.293."
    ),
    domains={"RewardMATH": "correctness"},
    load=load,
    item=item,
    # The first response and, in the other order, the last one share the top; the right one may be among them, as a tie.
    always_first=0.0,
    example={
        "RewardMATH_direct.jsonl": [
            {
                "problem": f"1 + 1 + {number}?",
                "answer": str(number + 2),
                "eval_solution": ["1 + 1 = 2", f"2 + {number} = {number + 2 + wrong}"],
                "solution_reference": "human",
                "solution_type": "rejected" if wrong else "chosen",
                "problem_id": number,
                "id": 10 * number + wrong,
            }
            for number in (3, 4)
            for wrong in range(4)
        ]
    },
)
