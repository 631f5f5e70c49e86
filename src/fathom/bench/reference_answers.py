"""Solutions to problems with a reference answer (MATH, GSM8K): can the judge pick the right ones?

    score.figures["best-of-n"], score.figures["auc"], score.figures["weighted vote"]

Labels are computed by math-verify when the file is loaded: a solution is right if its final answer equals the
reference. A solution whose check fails or times out is left out; metadata["left out"] counts these. RLHFlow's best-of-n
sets have labels instead of a reference, and these are used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fathom.bench import Benchmark
from fathom.bench.files import comparison, each, found, placed
from fathom.bench.outcomes import mean, scores, source_first
from fathom.bench.rules import BASELINES
from fathom.data.conversations import BadRowError
from fathom.data.layouts import Schema, SourceRow, detect
from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.judges import Rule, Vote, unique_argmax
from fathom.metrics.answers import Verifier, spelling
from fathom.metrics.separation import auc
from fathom.rationale import Status
from fathom.results.rows import Row, to_comparison, to_row

FILES = ("*solutions*",)
_FINAL = re.compile(r".*(?:####|\bA:)(.*)", re.DOTALL)
_CALCULATOR = re.compile(r"<<.*?>>")


def load(folder: Path) -> Iterator[Comparison]:
    paths = found(folder, *FILES)
    with Verifier() as verifier:
        for path in paths:
            yield from each(path, (), partial(_solved, verifier=verifier))


def _solved(row: SourceRow, line: int, verifier: Verifier) -> Iterator[Comparison]:
    if "answers" in row and "solutions" not in row:
        return _labelled(row, line)
    return _question(row, line, verifier)


def _labelled(row: SourceRow, line: int) -> Iterator[Comparison]:
    """A question of RLHFlow's best-of-n sets, with the steps of its solutions."""
    schema = Schema()
    schema.add(row)
    try:
        layout, _ = detect(schema, {})
    except FathomError as error:
        raise BadRowError("answers", str(error)) from None
    for given in layout.read(row, str(line), seed=0):
        label = given.label
        if label is None or label.scores is None or not set(label.scores) <= {0.0, 1.0}:
            raise BadRowError("label", f"got {row.get('label', row.get('labels'))!r}, expected 0 or 1 for each answer")
        sure = list(zip(given.responses, map(bool, label.scores), strict=True))
        if len(sure) > 1:
            made = _comparison(line, given.prompt_text, None, sure, 0)
            yield placed(made.model_copy(update={"steps": given.steps}))


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


def _comparison(
    line: int, prompt: str, reference: str | None, sure: Sequence[tuple[str, bool]], left_out: int
) -> Comparison:
    right = [correct for _, correct in sure]
    counts: dict[str, Any] = {"left out": left_out, "answers": groups(sure)}
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


def groups(solutions: Sequence[tuple[str, bool]]) -> list[int]:
    """A number for the final answer of each solution; right ones are equal, and wrong ones that are spelled alike."""
    names = [None if right else spelling(final_answer(solution)) for solution, right in solutions]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


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
    """Best-of-n, AUC and weighted vote of a question with right and wrong solutions, and what holds for any question.

    Without a verdict all solutions have the same score, so that the figures are at chance.
    """
    right, answers = row["metadata"]["right"], row["metadata"].get("answers")
    ranked = source_first(row, scores(row) or [0.0] * len(right))
    values = list(zip(ranked, right, strict=True))
    valued = Valued(tuple(value for value, is_right in values if is_right), tuple(v for v, ok in values if not ok))
    area = auc(valued.right, valued.wrong)
    picked = float(any(right)) if area is None else _picked(valued)
    found = [] if area is None else [("best-of-n", picked), ("auc", area)]
    if answers is None:  # rows of version 0.1
        return found
    if area is not None and min(ranked) >= 0:
        found.append(("weighted vote", voted(ranked, answers, right)))
    return [*found, ("best-of-n of all questions", picked), ("pass@n of all questions", float(any(right)))]


def voted(weights: Sequence[float], answers: Sequence[int], right: Sequence[bool]) -> float:
    """The share of right answers among those with the largest total weight, which must not be negative.

    With equal weights this is the vote of the majority.
    """
    totals: dict[int, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        totals[answer] = totals.get(answer, 0.0) + weight
    most = max(totals.values())
    correct = {answer for answer, is_right in zip(answers, right, strict=True) if is_right}
    return mean(answer in correct for answer, total in totals.items() if total == most)


def figures(means: Mapping[str, float]) -> Mapping[str, float]:
    return {name: means[name] for name in FIGURES if name in means}


FIGURES = ("best-of-n", "auc", "weighted vote", "best-of-n of all questions", "pass@n of all questions")


def _picked(valued: Valued) -> float:
    """The share of right solutions among those with the highest score."""
    top = max(*valued.right, *valued.wrong)
    return valued.right.count(top) / (valued.right.count(top) + valued.wrong.count(top))


def majority(row: Row) -> Row:
    """The row as if each solution scored the number of solutions with its answer."""
    answers = row["metadata"].get("answers") or [0] * len(row["responses"])
    return _scored(row, [float(answers.count(answers[place])) for place in _places(row)])


def random(row: Row) -> Row:
    """The row as if all solutions had the same score."""
    return _scored(row, [0.0] * len(row["responses"]))


def _places(row: Row) -> Sequence[int]:
    """The place of each response in the source."""
    return row["source_order"] or range(len(row["responses"]))


def _scored(row: Row, values: Sequence[float]) -> Row:
    vote = Vote(Status.OK, unique_argmax(values), tuple(values), tuple(range(len(values))))
    return to_row(to_comparison(row), Rule(aggregate="mean")([vote]))


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
        " with {solution}; checked with 953 questions of GSM8K. Or RLHFlow's best-of-n sets: prompt, answers (texts)"
        " and label or labels (0 or 1 each); checked with this layout only, not with the real files."
    ),
    official=(
        "There is no official score for judges. Best-of-n is the share of questions whose highest-scored solution is"
        " right; if several solutions share the highest score, the share of right ones among them counts. AUC is the"
        " share of pairs of a right and a wrong solution to the same question in which the right one has the higher"
        " score; equal scores count 1/2. Weighted vote is the share of questions whose answer with the largest sum of"
        " scores is right, for scores from 0 up. These count questions with both right and wrong solutions only. In a"
        " row without a verdict, all scores are equal. Best-of-n of all questions and pass@n, the share of questions"
        " with a right solution, count every question. A solution is right if math-verify finds its answer equal to the"
        " reference, or if RLHFlow's label says so; wrong answers are equal if they are spelled alike. The baseline"
        " majority votes with equal weights, and random has pass@1 as its best-of-n."
    ),
    domains={"solutions": "correctness"},
    load=load,
    item=item,
    figures=figures,
    baselines={**BASELINES, "random": random, "majority": majority},
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
