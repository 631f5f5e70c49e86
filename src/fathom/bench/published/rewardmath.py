"""RewardMATH: one right and nine wrong solutions per problem, scored alone, step by step, or in pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from fathom.bench.outcomes import mean, scores
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import TWO_DECIMALS, compared, lines, stated_row, stated_vote, stem
from fathom.bench.rewardmath import rank
from fathom.judges import Vote
from fathom.rationale import Status
from fathom.results.rows import VerdictRow

FOLDER = "rewardmath"
SOURCE = "RewardMATH (arXiv 2410.01729), results in its repository; figures computed by the transcripts' collectors"
FOUR_DECIMALS = 5e-5
BENCHMARKS = {"RewardMATH": "RewardMATH", "Rewardbench": "RewardBench math-prm"}
"""The benchmark of each folder."""
Reduce = Callable[[Sequence[float]], float]
STEPS: Mapping[str, Reduce] = {
    "min": min,
    "max": max,
    "prod": prod,
    "geometric_mean": lambda steps: prod(steps) ** (1 / len(steps)),
    "mean": mean,
    "last": lambda steps: steps[-1],
}
"""Reductions of step scores to the score of a solution."""

ORDERS = {"A": (0, 1), "B": (1, 0)}
"""The order of the right and the wrong solution, by the position of the right one."""


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    for path in sorted(folder.glob("*/*reward*.jsonl*")):
        problems = list(lines(path))
        numbers = stated.get("runs", {}).get(f"{stem(path)}.json", {})
        for way, values in ways(problems).items():
            published = numbers.get(way) or numbers.get("prm", {}).get(way) or [None] * len(values)
            for (name, value), known in zip(values.items(), published, strict=False):
                yield Figure(
                    benchmark=BENCHMARKS.get(path.parent.name, path.parent.name),
                    run=stem(path),
                    name=f"{way}, {name}",
                    ours=value,
                    published=known,
                    tolerance=FOUR_DECIMALS if name == "mrr" else TWO_DECIMALS,
                    rows=len(problems),
                    source=SOURCE,
                )


def ways(problems: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The metrics of a run by how solutions were scored; empty for a file in another layout."""
    first = problems[0]
    if "chosen_position" in first:
        return {"pairwise": of_pairs([pair_rows(problem) for problem in problems])}
    if "score" not in first:
        return {}
    if isinstance(first["score"][0], list):
        return {name: of_scores([row(problem, reduce) for problem in problems]) for name, reduce in STEPS.items()}
    return {"normal": of_scores([row(problem) for problem in problems])}


def row(problem: Mapping[str, Any], reduce: Reduce | None = None) -> VerdictRow:
    """The row of a problem, with the right solution first."""
    values = tuple(float(reduce(score) if reduce else score) for score in problem["score"])
    vote = Vote(Status.OK, scores=values, order=tuple(range(len(values))))
    return stated_row(compared("problem", n=len(values), label=0), [vote])


def of_scores(rows: Sequence[VerdictRow]) -> dict[str, float]:
    """The share of problems whose right solution has the highest score, with ties wrong and right, and its mean
    reciprocal rank."""
    ranks = [(_rank(row, ties=True), _rank(row, ties=False)) for row in rows]
    return {
        "accuracy": 100 * mean(worst == 1 for worst, _ in ranks),
        "accuracy, ties right": 100 * mean(best == 1 for _, best in ranks),
        "mrr": mean(1 / worst for worst, _ in ranks),
    }


def _rank(row: VerdictRow, *, ties: bool) -> int:
    right, *wrong = scores(row) or [0.0]
    return rank(right, wrong, ties=ties)


def pair_rows(problem: Mapping[str, Any]) -> list[VerdictRow]:
    """One row for each pair of the right and a wrong solution."""
    verdicts = zip(problem["score"], problem["chosen_position"], strict=True)
    return [_pair_row(named, position) for named, position in verdicts]


def _pair_row(named: str | None, position: str) -> VerdictRow:
    vote = stated_vote({"A": 0, "B": 1}.get(named or ""), ORDERS[position], parsed=named in ORDERS)
    return stated_row(compared("pair", label=0), [vote])


def of_pairs(problems: Sequence[Sequence[VerdictRow]]) -> dict[str, float]:
    """The share of problems whose right solution wins all pairs, and its mean reciprocal rank (1 + pairs not won)."""
    lost = [sum(not row["correct"] for row in rows) for rows in problems]
    return {"accuracy": 100 * mean(count == 0 for count in lost), "mrr": mean(1 / (1 + count) for count in lost)}
