"""LLMBar: completions of judges under up to fifteen ways to ask, in both orders, with the statistics of its authors."""

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
"""Asked for reasons and read without them, as the authors' configuration of this evaluator has it."""
SHOWN = tuple(zip(("swap = False", "swap = True"), BOTH_ORDERS, strict=True))
_COUNT = re.compile(r"(?:(\d+) / \d+ = )?([\d.]+)%")


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    published = {
        (told["_subset"], told["_evaluator"]): told
        for path in sorted(folder.glob("*statistics*.jsonl*"))
        for told in lines(path)
    }
    for (subset, evaluator), rows in runs(folder):
        told = published.get((subset, evaluator), {})
        for name, value in statistics(rows).items():
            yield Figure(
                benchmark="LLMBar",
                run=f"{evaluator}, {subset}",
                name=name,
                ours=value,
                published=_number(told.get(name)),
                tolerance=EXACT,
                rows=len(rows),
                source=SOURCE,
                group=evaluator.split("/")[0],
            )


def _number(told: Any) -> float | None:
    """A count is told as "33 / 92 = 35.87%"; kappa as a number."""
    if not isinstance(told, str):
        return None if told is None else float(told)
    match = _COUNT.fullmatch(told)
    return None if match is None else float(match[1] or match[2])


def runs(folder: Path) -> Iterator[tuple[tuple[str, str], list[VerdictRow]]]:
    """The rows of each run, by its subset and evaluator."""
    found: dict[tuple[str, str], list[VerdictRow]] = {}
    for path in sorted(folder.glob("runs/*.jsonl*")):
        for instance in lines(path):
            found.setdefault((instance["_subset"], instance["_evaluator"]), []).append(row(instance))
    yield from found.items()


def row(instance: Mapping[str, Any]) -> VerdictRow:
    """The last result is the judgement; those before it are metrics, references and first opinions."""
    result, subset = instance["results"][-1], instance["_subset"]
    id = f"{subset}/{instance['_index']}"
    comparison = compared(id, subset=subset.split("/")[-1], label=int(instance["label"]) - 1)
    judge = judge_of(instance["_evaluator"], result)
    if judge.arity == "pointwise":
        return read_row(judge, comparison, [(order, _completion(result[name])) for name, order in RATED])
    return read_row(judge, comparison, [(order, _completion(result[name]["completion"])) for name, order in SHOWN])


def _completion(told: Sequence[str | None] | None) -> Completion | None:
    """Of its text and why it ended."""
    return written(told[0]) if told else None


def judge_of(evaluator: str, result: Mapping[str, Any]) -> Judge:
    """Which judge reads the completions of an evaluator.

    Where two opinions conflict, Swap asks again, with both in the prompt, which is recorded then; this answer is plain.
    """
    if "score_1" in result:
        return LLMBarRatingJudge()
    again = "prompt" in result["swap = False"]
    reasons = "CoT" in evaluator or (evaluator.endswith("Swap") and not again)
    return LLMBarJudge(as_published=True, style="cot" if reasons and evaluator not in PLAIN_ALL_THE_SAME else "plain")


def statistics(rows: Sequence[VerdictRow]) -> dict[str, float]:
    """Those of the authors: counts of right and of equal verdicts, and kappas.

    Kappas are of 1 for the first output and 0 for anything else, held against labels that are 1 and 2: the authors'
    code has it so. Only the agreement of both orders is what kappa usually says.
    """
    labels = [row["label"] for row in rows]
    straight, swapped = zip(*map(named, rows), strict=True)
    right = [sum(map(_equal, labels, said)) for said in (straight, swapped)]
    first = [[int(winner == 0) for winner in said] for said in (straight, swapped)]
    kappas = [kappa(said, [label + 1 for label in labels if label is not None]) for said in first]
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
    """What was named in each order. Two ratings have none: a tie is for the second in the first order, and turned
    around in the other; ratings that cannot be read are for the first."""
    if len(row["votes"]) == len(BOTH_ORDERS):
        straight, swapped = row["votes"]
        return straight["winner"], swapped["winner"]
    if row["status"] != "ok":
        return BOTH_ORDERS[0]
    return (1, 0) if row["winner"] is None else (row["winner"], row["winner"])


def kappa(one: Sequence[int], other: Sequence[int]) -> float:
    """Cohen's, of two raters; not a number where both always say the same one thing."""
    n = len(one)
    agreed = sum(map(_equal, one, other)) / n
    ones, others = Counter(one), Counter(other)
    by_chance = sum(ones[value] * others[value] for value in ones) / n**2
    return (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else nan
