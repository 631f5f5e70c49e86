"""Solutions to problems with a reference answer (MATH, GSM8K): can the judge pick the right ones?

    score.figures["best-of-n"], score.figures["auc"]

Labels are computed by math-verify when the file is loaded: a solution is right if its final answer equals the
reference. A solution whose check fails or times out is left out; metadata["left out"] counts these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found, placed
from fathom.bench.outcomes import scores, source_first
from fathom.data.conversations import BadRowError
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Label
from fathom.metrics.answers import Verifier
from fathom.metrics.separation import auc
from fathom.results.rows import Row

FILES = ("*solutions*",)
_FINAL = re.compile(r".*(?:####|\bA:)(.*)", re.DOTALL)
_CALCULATOR = re.compile(r"<<.*?>>")


def load(folder: Path) -> Iterator[Comparison]:
    paths = found(folder, *FILES)
    with Verifier() as verifier:
        for path in paths:
            yield from each(path, (), partial(_question, verifier=verifier))


def _question(row: SourceRow, line: int, verifier: Verifier) -> Iterator[Comparison]:
    """A question with fewer than two checked solutions is left out, because there is nothing to compare."""
    prompt, solutions = _column(row, ("problem", "question")), _solutions(row)
    reference = final_answer(_column(row, ("answer", "ground_truth")))
    checks = verifier.checks([final_answer(solution) for solution in solutions], reference)
    if any(checked.reason == "no reference" for checked in checks):
        raise BadRowError(
            "answer", f"got {reference!r}, expected an answer that math-verify can parse, such as a number"
        )
    sure = [
        (solution, bool(checked.equal))
        for solution, checked in zip(solutions, checks, strict=True)
        if checked.reason in ("read", "no answer")
    ]
    if len(sure) > 1:
        yield placed(_comparison(line, prompt, reference, sure, len(solutions) - len(sure)))


def _comparison(line: int, prompt: str, reference: str, sure: Sequence[tuple[str, bool]], left_out: int) -> Comparison:
    right = [correct for _, correct in sure]
    counts: dict[str, Any] = {"left out": left_out}
    return comparison(
        "reference_answers",
        str(line),
        prompt,
        [solution for solution, _ in sure],
        Label(scores=tuple(map(float, right))),
        subset="solutions",
        domain="correctness",
        reference=reference,
        right=right,
        **counts,
    )


def _column(row: SourceRow, columns: Sequence[str]) -> str:
    for column in columns:
        if row.get(column) is not None:
            return str(row[column])
    raise BadRowError(columns[0], f"lacks the column {' or '.join(columns)}; its columns are {', '.join(row)}")


def _solutions(row: SourceRow) -> list[str]:
    """The solutions: a list of texts, or, as in the authors' GSM8K files, one column per model with a `solution`."""
    listed: list[Any] | None = row.get("solutions")
    if listed is not None:
        return [str(solution) for solution in listed]
    by_model = [value["solution"] for value in row.values() if isinstance(value, Mapping) and "solution" in value]
    if not by_model:
        raise BadRowError("solutions", f"lacks the column solutions; its columns are {', '.join(row)}")
    return by_model


def final_answer(text: str) -> str:
    """The text after the last `####` or `A:`, which mark answers in GSM8K, or else the whole text.

    GSM8K's calculator annotations (`<<2+3=5>>`) are removed.
    """
    match = _FINAL.fullmatch(text)
    return _CALCULATOR.sub("", match[1].strip() if match else text)


class Valued(NamedTuple):
    """The scores of right and of wrong solutions."""

    right: tuple[float, ...]
    wrong: tuple[float, ...]


def item(row: Row) -> list[tuple[str, float]]:
    """Best-of-n and AUC of a question; empty if its solutions are all right or all wrong.

    Without a verdict all solutions have the same score, so that both are at chance.
    """
    right = row["metadata"]["right"]
    values = list(zip(source_first(row, scores(row) or [0.0] * len(right)), right, strict=True))
    valued = Valued(tuple(value for value, is_right in values if is_right), tuple(v for v, ok in values if not ok))
    area = auc(valued.right, valued.wrong)
    return [] if area is None else [("best-of-n", _picked(valued)), ("auc", area)]


def _picked(valued: Valued) -> float:
    """The share of right solutions among those with the highest score."""
    top = max(*valued.right, *valued.wrong)
    return valued.right.count(top) / (valued.right.count(top) + valued.wrong.count(top))


BENCHMARK = Benchmark(
    name="reference_answers",
    title="Reference answers (MATH, GSM8K)",
    source=(
        "Cobbe et al. 2021, GSM8K (arXiv 2110.14168); github.com/openai/grade-school-math,"
        " data/example_model_solutions.jsonl, MIT; or solutions of your own."
    ),
    files=FILES,
    size="1,319 questions of GSM8K with 4 solutions each, or any number of your own",
    layout=(
        "problem or question, answer or ground_truth, and either solutions (a list of texts) or one column per model"
        " with {solution}; checked with 953 questions of GSM8K."
    ),
    official=(
        "There is no official score for judges. Best-of-n is the share of questions whose highest-scored solution is"
        " right; if several solutions share the highest score, the share of right ones among them counts. AUC is the"
        " share of pairs of a right and a wrong solution to the same question in which the right one has the higher"
        " score; equal scores count 1/2. Only questions with both right and wrong solutions count. In a row without a"
        " verdict, all scores are equal. A solution is right if math-verify finds its answer equal to the reference."
    ),
    domains={"solutions": "correctness"},
    load=load,
    item=item,
    # All solutions tie after both orders, and one of four is right.
    always_first=0.25,
    example={
        "solutions.jsonl": [
            {
                "problem": f"What is 1/2 + {number}?",
                "answer": rf"\frac{{{2 * number + 1}}}{{2}}",
                "solutions": [
                    rf"It is $\frac{{{2 * number}}}{{2}} + \frac{{1}}{{2}} = \boxed{{{number}.5}}$.",
                    rf"The sum is $\boxed{{{number}}}$.",
                    rf"The sum is $\boxed{{{number + 2}}}$.",
                    "I do not know.",
                ],
            }
            for number in (3, 4)
        ]
    },
)
