"""LLMBar: completions of judges with up to fifteen prompting methods, in both orders, and the authors' statistics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from fathom.bench.outcomes import mean
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import BOTH_ORDERS, EXACT, compared, lines, read_row, written
from fathom.engines import Completion
from fathom.judges import Judge
from fathom.judges.llmbar import LLMBarJudge
from fathom.judges.llmbar_rating import LLMBarRatingJudge
from fathom.results.rows import VerdictRow

FOLDER = "llmbar"
SOURCE = "LLMBar (arXiv 2310.07641), statistics.json of each run in its repository"
RATED = (("score_1", (0,)), ("score_2", (1,)))
PLAIN_ALL_THE_SAME = {"PaLM2/CoT"}
"""Evaluators that are asked for reasons but parsed with the plain parser, as in the authors' configuration."""
SHOWN = tuple(zip(("swap = False", "swap = True"), BOTH_ORDERS, strict=True))
_COUNT = re.compile(r"(?:(\d+) / \d+ = )?([\d.]+)%")


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    published = {
        (entry["_subset"], entry["_evaluator"]): entry
        for path in sorted(folder.glob("*statistics*.jsonl*"))
        for entry in lines(path)
    }
    for (subset, evaluator), rows in runs(folder):
        entry = published.get((subset, evaluator), {})
        for name, value in statistics(rows).items():
            yield Figure(
                benchmark="LLMBar",
                run=f"{evaluator}, {subset}",
                name=name,
                ours=value,
                published=_number(entry.get(name)),
                tolerance=EXACT,
                rows=len(rows),
                source=SOURCE,
                group=evaluator.split("/")[0],
            )


def _number(value: Any) -> float | None:
    """Parse a statistic: counts are written as "33 / 92 = 35.87%", kappas as numbers."""
    if not isinstance(value, str):
        return None if value is None else float(value)
    match = _COUNT.fullmatch(value)
    return None if match is None else float(match[1] or match[2])


def runs(folder: Path) -> Iterator[tuple[tuple[str, str], list[VerdictRow]]]:
    """The rows of each run, by subset and evaluator."""
    by_run: dict[tuple[str, str], list[VerdictRow]] = {}
    for path in sorted(folder.glob("runs/*.jsonl*")):
        for instance in lines(path):
            by_run.setdefault((instance["_subset"], instance["_evaluator"]), []).append(row(instance))
    yield from by_run.items()


def row(instance: Mapping[str, Any]) -> VerdictRow:
    """The row of an instance: its last result is the judgment, the others are metrics, references, first opinions."""
    result, subset = instance["results"][-1], instance["_subset"]
    id = f"{subset}/{instance['_index']}"
    comparison = compared(id, subset=subset.split("/")[-1], label=int(instance["label"]) - 1)
    judge = judge_of(instance["_evaluator"], result)
    if judge.arity == "pointwise":
        return read_row(judge, comparison, [(order, _completion(result[name])) for name, order in RATED])
    return read_row(judge, comparison, [(order, _completion(result[name]["completion"])) for name, order in SHOWN])


def _completion(recorded: Sequence[str | None] | None) -> Completion | None:
    """The completion of a recorded pair of text and finish reason."""
    return written(recorded[0]) if recorded else None


def judge_of(evaluator: str, result: Mapping[str, Any]) -> Judge:
    """The judge that parses the completions of an evaluator.

    If two opinions conflict, the evaluator Swap asks again with both in the prompt. The prompt is then recorded, and
    the answer has the plain form.
    """
    if "score_1" in result:
        return LLMBarRatingJudge()
    again = "prompt" in result["swap = False"]
    reasons = "CoT" in evaluator or (evaluator.endswith("Swap") and not again)
    return LLMBarJudge(as_published=True, style="cot" if reasons and evaluator not in PLAIN_ALL_THE_SAME else "plain")


def statistics(rows: Sequence[VerdictRow]) -> dict[str, float]:
    """The authors' statistics: counts of right and of equal verdicts, and kappas.

    As in the authors' code, the kappas with the label compare 1 for the first output and 0 for anything else with
    labels 1 and 2, so they have no usual meaning. Only the kappa between both orders has.
    """
    labels = [row["label"] for row in rows]
    straight, swapped = zip(*map(named, rows), strict=True)
    right = [sum(map(_equal, labels, winners)) for winners in (straight, swapped)]
    first = [[int(winner == 0) for winner in winners] for winners in (straight, swapped)]
    kappas = [kappa(is_first, [label + 1 for label in labels if label is not None]) for is_first in first]
    return {
        "correct_False": right[0],
        "correct_True": right[1],
        "correct_average": 100 * sum(right) / 2 / len(rows),
        "correct_both": sum(a == b == label for a, b, label in zip(straight, swapped, labels, strict=True)),
        "equal": sum(map(_equal, straight, swapped)),
        "kappa_False": kappas[0],
        "kappa_True": kappas[1],
        "kappa_average": mean(kappas),
        "kappa_agreement": kappa(*first),
    }


def _equal(one: int | None, other: int | None) -> bool:
    return one == other


def named(row: VerdictRow) -> tuple[int | None, int | None]:
    """The winner in each order. Ratings have no order; the authors count a tie for the second response in one order and
    for the first in the other, and unparsed ratings the other way round."""
    if len(row["votes"]) == len(BOTH_ORDERS):
        straight, swapped = row["votes"]
        return straight["winner"], swapped["winner"]
    if row["status"] != "ok":
        return BOTH_ORDERS[0]
    return (1, 0) if row["winner"] is None else (row["winner"], row["winner"])


def kappa(one: Sequence[int], other: Sequence[int]) -> float:
    """Cohen's kappa of two raters; NaN if both always give the same single label."""
    n = len(one)
    agreed = sum(map(_equal, one, other)) / n
    ones, others = Counter(one), Counter(other)
    by_chance = sum(ones[value] * others[value] for value in ones) / n**2
    return (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else nan
