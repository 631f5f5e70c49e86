"""Every figure of a run from its rows alone: the tallies that `fathom judge` and `rank` show, and official scores.

    scored = score(runs.open("verdicts.jsonl").rows())
    scored.verdicts["all"].accuracy            # Interval(mean=0.71, low=..., high=...)
    scored.benchmarks["judgebench"].figures    # where the rows are those of a benchmark

No model, no journal and no source is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from fathom import bench
from fathom.metrics import rankings, verdicts
from fathom.metrics.annotators import People
from fathom.results.rows import Row


@dataclass
class Scored:
    """What is empty had no rows."""

    verdicts: dict[str, verdicts.Tally] = field(default_factory=dict)
    """Of all rows, under "all", and of each domain; as those of `rankings`."""
    rankings: dict[str, rankings.RankingTally] = field(default_factory=dict)
    people: People = field(default_factory=People)
    """Agreement of verdicts with labels and annotators; that of rankings is best-of-n accuracy and Kendall's tau."""
    benchmarks: dict[str, bench.Score] = field(default_factory=dict)
    """By name, where rows say metadata["benchmark"] and there is one of that name."""


def score(rows: Iterable[Row]) -> Scored:
    scored = Scored()
    tallies: dict[str, bench.BenchmarkTally] = {}
    names = set(bench.names())
    for row in rows:
        _count(row, scored)
        if (name := row["metadata"].get("benchmark")) in names:
            tallies.setdefault(name, bench.BenchmarkTally(bench.find(name))).add(row)
    scored.benchmarks = {name: tally.score() for name, tally in tallies.items()}
    return scored


def _count(row: Row, scored: Scored) -> None:
    if "pairs" in row:
        rankings.count(row, scored.rankings)
    else:
        verdicts.count(row, scored.verdicts)
        scored.people.add(row)


def summary(scored: Scored) -> dict[str, Any]:
    """As plain JSON. Intervals are [mean, low, high] at 95 %."""
    return {
        "verdicts": verdicts.summary(scored.verdicts),
        "rankings": rankings.summary(scored.rankings),
        "agreement": asdict(scored.people.agreement) if scored.verdicts else None,
        "benchmarks": {name: asdict(found) for name, found in scored.benchmarks.items()},
    }
