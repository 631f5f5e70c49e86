"""MR-GSM8K: does a critic know whether a solution is right, and which step is the first wrong one?

    score.figures["MR-Score without reasons"], score.figures["MCC"], score.figures["first wrong step"]
    mr_score(0.633, 0.488, 0.463)               # 0.504, with the share of right reasons, which people or a judge grade

Votes have no graded reasons, so the headline has the other two parts of the MR-Score, in their proportions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt
from pathlib import Path

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found
from fathom.bench.step_rules import baselines
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain, Label
from fathom.metrics.step_baselines import longest, outcome, random
from fathom.metrics.steps import labelled_first_error, step_scores, voted_first_error
from fathom.results.rows import Row

FILES = ("*MR-GSM8*|*eval_results*",)
COLUMNS = (
    "uuid",
    "question",
    "model_output_steps",
    "model_output_solution_correctness",
    "model_output_solution_first_error_step",
    "question_type",
)
DOMAINS: Mapping[str, Domain | None] = dict.fromkeys(("original", "POT", "reversed"), "correctness")
KINDS, HITS = ("right", "wrong"), ("known", "missed")
MCC, STEP, REASON = 0.2, 0.3, 0.5
"""The weights of the MR-Score, as in the authors' calculate_mr_score.py."""


def mr_score(mcc: float, step: float, reason: float) -> float:
    """The MR-Score of a correlation, -1 to 1, and the shares of wrong solutions with the right step, and reason."""
    return MCC * max(0.0, mcc) + STEP * step + REASON * reason


def load(folder: Path) -> Iterator[Comparison]:
    """All solutions; files of several critics repeat some, of which the first counts."""
    seen: set[str] = set()
    for path in found(folder, *FILES):
        for solution in each(path, COLUMNS, _solution):
            if solution.id not in seen:
                seen.add(solution.id)
                yield solution


def _solution(row: SourceRow, line: int) -> Iterator[Comparison]:
    steps = row["model_output_steps"]
    labels: tuple[float | None, ...] = (1.0,) * len(steps)
    if row["model_output_solution_correctness"].lower() != "correct":
        first = int(row["model_output_solution_first_error_step"])
        if not 1 <= first <= len(steps):
            raise ValueError(f"got first error step {first}, expected the number of one of {len(steps)} steps, from 1")
        labels = (*labels[: first - 1], 0.0, *(None,) * (len(steps) - first))
    answer = row.get("model_output_answer_correctness")
    built = comparison(
        "mr_gsm8k",
        row["uuid"],
        row["question"],
        ["\n".join(steps)],
        Label(steps=(labels,)),
        subset=row["question_type"],
        domain="correctness",
        final_answer_correct=None if answer is None else answer.lower() == "correct",
    )
    yield built.model_copy(update={"steps": (tuple(steps),)})


def item(row: Row) -> list[tuple[str, float]]:
    """Whether the solution is called right or wrong, by whether it is; and whether the first wrong step is named."""
    true = labelled_first_error(row)
    named = voted_first_error(votes) if (votes := step_scores(row)) else None
    agrees = named is not None and (named[0] is None) == (true is None)
    kind = "right" if true is None else "wrong"
    hit = "known" if agrees else "missed"
    cells = {f"{one} {other}": float((one, other) == (kind, hit)) for one in KINDS for other in HITS}
    step = [] if true is None else [("step", float(named is not None and named[0] == true))]
    return [*cells.items(), *step]


def figures(cells: Mapping[str, float]) -> Mapping[str, float]:
    right, missed, wrong, accepted = (cells[f"{kind} {hit}"] for kind in KINDS for hit in HITS)
    step = {} if "step" not in cells else {"first wrong step": cells["step"]}
    if right + missed and wrong + accepted:
        product = (right + accepted) * (right + missed) * (wrong + accepted) * (wrong + missed)
        # Without a solution that is called right, or wrong, the correlation is undefined; the authors report 0.
        correlation = max(0.0, (right * wrong - accepted * missed) / sqrt(product)) if product else 0.0
        score = mr_score(correlation, cells["step"], 0.0) / (MCC + STEP)
        return {"MR-Score without reasons": score, "MCC": correlation, **step}
    return step


BENCHMARK = Benchmark(
    name="mr_gsm8k",
    title="MR-GSM8K",
    source="Zeng et al. 2023, MR-GSM8K (arXiv 2312.17080); github.com/dvlab-research/MR-GSM8K, dataset/; MIT.",
    files=FILES,
    size="3,000 solutions with steps: 1,427 right and 1,573 wrong ones",
    layout=(
        "uuid, question, model_output_steps, model_output_solution_correctness,"
        " model_output_solution_first_error_step (counted from 1), question_type. Checked with the wrong solutions in"
        " the 525 graded critiques of its repository."
    ),
    official=(
        "MR-Score: 0.2 MCC + 0.3 first wrong step + 0.5 reason. MCC is Matthews' correlation of the verdict and the"
        " truth, at least 0; the others are shares of the wrong solutions. Reasons are graded by people or by a judge,"
        " which rows do not have, so the headline is (0.2 MCC + 0.3 first wrong step) / 0.5, and is no MR-Score;"
        " fathom.bench.mr_gsm8k.mr_score adds graded reasons. An unparsed verdict is wrong."
    ),
    domains=DOMAINS,
    load=load,
    item=item,
    figures=figures,
    scores_steps=True,
    baselines=baselines(random, longest, outcome),
    example={
        "MR-GSM8K.json": [
            {
                "uuid": f"{kind}-{number}",
                "question": f"{number} + 1 + 1?",
                "model_output_steps": [f"Step 1: {number} + 1 = {number + 1}", f"Step 2: it is {number + 2 + wrong}"],
                "model_output_answer_correctness": "wrong" if wrong else "correct",
                "model_output_solution_correctness": "wrong" if wrong else "correct",
                "model_output_solution_first_error_step": 2 if wrong else "N/A",
                "question_type": kind,
            }
            for kind in DOMAINS
            for number, wrong in ((1, 0), (2, 1))
        ]
    },
)
