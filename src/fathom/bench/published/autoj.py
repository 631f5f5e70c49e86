"""Auto-J on its pairwise test set: the verdicts that its authors parsed from its texts, in both orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fathom.bench import autoj
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import (
    BOTH_ORDERS,
    TWO_DECIMALS,
    compared,
    lines,
    official,
    stated_row,
    stated_vote,
)
from fathom.data.labels import FROM_ZERO_2_IS_TIE, outcome
from fathom.judges import Vote
from fathom.results.rows import VerdictRow

FOLDER = "autoj_pairwise"
SOURCE = "Auto-J (arXiv 2310.05470), codes/leaderboard/README.md of its repository"
STATED = {"agreement": "pairwise_agreement", "consistency": "consistency", "single": "single_agreement"}
NO_VERDICT = -1


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    groups = stated.get("groups", {})
    for path in sorted(folder.glob("*outputs*.jsonl*")):
        rows = [row(pair) for pair in lines(path)]
        for name, value in official(autoj.BENCHMARK, rows).items():
            *group, figure = name.rsplit(" ", 1)
            yield Figure(
                benchmark="Auto-J pairwise",
                run="Auto-J",
                name=name,
                ours=100 * value,
                published=groups.get(*group or ["Overall"], {}).get(STATED[figure]),
                tolerance=TWO_DECIMALS,
                rows=sum(not group or row["metadata"]["subset"] == group[0] for row in rows),
                source=SOURCE,
            )


def row(pair: Mapping[str, Any]) -> VerdictRow:
    gold = outcome(pair["label"], FROM_ZERO_2_IS_TIE)
    subset = autoj.group(pair["scenario"])
    comparison = compared(str(pair["_index"]), subset=subset, label=gold, gold=gold)
    outputs = zip((pair["output"], pair["output_exchange"]), BOTH_ORDERS, strict=True)
    return stated_row(comparison, [_vote(output, order) for output, order in outputs])


def _vote(output: int, order: tuple[int, ...]) -> Vote:
    parsed = output != NO_VERDICT
    return stated_vote(outcome(output, FROM_ZERO_2_IS_TIE) if parsed else None, order, parsed=parsed)
