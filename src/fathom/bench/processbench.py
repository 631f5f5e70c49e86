"""ProcessBench: does a reward model find the first wrong step of a solution?

    score.figures["average"], score.figures["gsm8k"], score.figures["gsm8k, erroneous"]

Critics and process reward models are scored alike: the first error that most votes name, at a threshold of 0.5. The
threshold of a process reward model may be tuned as its authors do (`fathom.metrics.steps`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found
from fathom.bench.outcomes import mean
from fathom.bench.step_rules import baselines
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain, Label
from fathom.metrics.step_baselines import longest, outcome, random
from fathom.metrics.steps import FirstErrors, labelled_first_error, step_scores, voted_first_error
from fathom.results.rows import Row

SUBSETS = ("gsm8k", "math", "olympiadbench", "omnimath")
FILES = tuple(f"{subset}*" for subset in SUBSETS)
COLUMNS = ("id", "problem", "steps", "label")
DOMAINS: Mapping[str, Domain | None] = dict.fromkeys(SUBSETS, "correctness")

Cell = tuple[str, bool]
"""A subset, and whether the solutions have a wrong step."""


def load(folder: Path) -> Iterator[Comparison]:
    for subset, pattern in zip(SUBSETS, FILES, strict=True):
        for path in found(folder, pattern):
            yield from each(path, COLUMNS, partial(_solution, subset=subset))


def _solution(row: SourceRow, line: int, subset: str) -> Iterator[Comparison]:
    steps, first = row["steps"], row["label"]
    if not -1 <= first < len(steps):
        raise ValueError(f"label: got {first}, expected -1 or the index of one of {len(steps)} steps, from 0")
    labels = [1.0] * len(steps) if first < 0 else [1.0] * first + [0.0] + [None] * (len(steps) - first - 1)
    found = comparison(
        "processbench",
        row["id"],
        row["problem"],
        ["\n\n".join(steps)],
        Label(steps=(tuple(labels),)),
        subset=subset,
        domain="correctness",
        generator=row.get("generator"),
        final_answer_correct=row.get("final_answer_correct"),
    )
    yield found.model_copy(update={"steps": (tuple(steps),)})


def item(row: Row) -> list[tuple[Cell, float]]:
    true = labelled_first_error(row)
    named = voted_first_error(votes) if (votes := step_scores(row)) else None
    return [((row["metadata"]["subset"], true is not None), float(named is not None and named[0] == true))]


def figures(cells: Mapping[Cell, float]) -> Mapping[str, float]:
    by_subset = {
        subset: FirstErrors(cells.get((subset, True)), cells.get((subset, False)))
        for subset in SUBSETS
        if (subset, True) in cells or (subset, False) in cells
    }
    f1 = {subset: accuracy.f1 for subset, accuracy in by_subset.items() if accuracy.f1 is not None}
    parts = {
        f"{subset}, {name}": value
        for subset, accuracy in by_subset.items()
        for name, value in accuracy._asdict().items()
        if value is not None
    }
    return ({"average": mean(f1.values())} if f1 else {}) | f1 | parts


BENCHMARK = Benchmark(
    name="processbench",
    title="ProcessBench",
    source=(
        "Zheng et al. 2024, ProcessBench (arXiv 2412.06559); github.com/QwenLM/ProcessBench; Apache-2.0 on its card."
    ),
    hub="Qwen/ProcessBench",
    files=FILES,
    size="3,400 solutions with steps: 400, 1,000, 1,000 and 1,000",
    layout=(
        "id, generator, problem, steps, final_answer_correct, and label: the index of the first wrong step, from 0, or"
        " -1. Checked with 2,529 rows of all subsets."
    ),
    official=(
        "F1 of a subset: the harmonic mean of two accuracies, on solutions with a wrong step (the first one must be"
        " named) and on solutions without one. The average is the mean of the four subsets. With several votes, the"
        " first error that most of them name counts; of several, the one named first. Unparsed votes do not"
        " count, and a solution without a parsed vote is wrong."
    ),
    domains=DOMAINS,
    load=load,
    item=item,
    figures=figures,
    scores_steps=True,
    baselines=baselines(random, longest, outcome),
    example={
        f"{subset}.json": [
            {
                "id": f"{subset}-{number}",
                "generator": "model",
                "problem": f"{number} + 1 + 1?",
                "steps": [f"{number} + 1 = {number + 1}", f"{number + 1} + 1 = {number + 2 + wrong}"],
                "final_answer_correct": not wrong,
                "label": 1 if wrong else -1,
            }
            for number, wrong in ((1, 0), (2, 1))
        ]
        for subset in SUBSETS
    },
)
