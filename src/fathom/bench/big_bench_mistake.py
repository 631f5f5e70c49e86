"""BIG-Bench Mistake: does a reward model find the first mistake of a chain of thought?

    score.figures["average"], score.figures["word_sorting"]

Critics and process reward models are scored alike: the first error that most votes name, at a threshold of 0.5.
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
from fathom.metrics.steps import labelled_first_error, step_scores, voted_first_error
from fathom.results.rows import Row

TASKS = ("dyck_languages", "logical_deduction", "multistep_arithmetic", "tracking_shuffled_objects", "word_sorting")
FILES = tuple(f"{task}*" for task in TASKS)
COLUMNS = ("input", "steps", "target", "answer", "mistake_index")
DOMAINS: Mapping[str, Domain | None] = dict.fromkeys(TASKS, "correctness")


def load(folder: Path) -> Iterator[Comparison]:
    for task, pattern in zip(TASKS, FILES, strict=True):
        for path in found(folder, pattern):
            yield from each(path, COLUMNS, partial(_trace, task=task, file=path.name))


def _trace(row: SourceRow, line: int, task: str, file: str) -> Iterator[Comparison]:
    steps, first = row["steps"], row["mistake_index"]
    if first is not None and not 0 <= first < len(steps):
        raise ValueError(f"mistake_index: got {first}, expected null or the index of one of {len(steps)} steps, from 0")
    wrong = len(steps) if first is None else int(first)
    labels = tuple(1.0 if place < wrong else 0.0 if place == wrong else None for place in range(len(steps)))
    built = comparison(
        "big_bench_mistake",
        f"{file.split('.')[0]}/{line}",
        row["input"],
        ["\n\n".join(steps)],
        Label(steps=(labels,)),
        subset=task,
        domain="correctness",
        final_answer_correct=row["answer"] == row["target"],
    )
    yield built.model_copy(update={"steps": (tuple(steps),)})


def item(row: Row) -> list[tuple[str, float]]:
    named = voted_first_error(votes) if (votes := step_scores(row)) else None
    return [(row["metadata"]["subset"], float(named is not None and named[0] == labelled_first_error(row)))]


def figures(cells: Mapping[str, float]) -> Mapping[str, float]:
    return {"average": mean(cells.values()), **cells}


BENCHMARK = Benchmark(
    name="big_bench_mistake",
    title="BIG-Bench Mistake",
    source=(
        "Tyen et al. 2024, LLMs cannot find reasoning errors, but can correct them given the error location (arXiv"
        " 2311.08516); github.com/WHGTyen/BIG-Bench-Mistake; Apache-2.0."
    ),
    files=FILES,
    size="2,186 chains of thought with steps: 986 of dyck_languages and 300 of each other task",
    layout=(
        "input, steps, target, answer, and mistake_index: the index of the first mistake, from 0, or null. Checked with"
        " 1,646 rows of all tasks."
    ),
    official=(
        "The share of chains whose first mistake is named, or which are called right if they have none, for each task;"
        " the average is the mean of the five tasks. With several votes, the first error that most of them name counts;"
        " of several, the one named first. A chain without a parsed vote is wrong."
    ),
    domains=DOMAINS,
    load=load,
    item=item,
    figures=figures,
    scores_steps=True,
    baselines=baselines(random, longest, outcome),
    example={
        f"{task}.jsonl": [
            {
                "input": f"{number} + 1 + 1?",
                "steps": [f"{number} + 1 = {number + 1}", f"{number + 1} + 1 = {number + 2 + wrong}"],
                "target": str(number + 2),
                "answer": str(number + 2 + wrong),
                "mistake_index": 1 if wrong else None,
            }
            for number, wrong in ((1, 0), (2, 1))
        ]
        for task in TASKS
    },
)
