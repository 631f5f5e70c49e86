"""Metrics of rankings: best-of-n accuracy, and the rank correlation with the label.

    tallies = tally(rows)                  # rows as `fathom rank` writes them
    tallies["all"].best_of_n               # Interval(mean=0.71, low=..., high=...)

Best-of-n accuracy counts a ranking as right only if the labelled best response is alone at the top. Ties and rankings
without a parsed pair are wrong. The parse rate is a metric of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fathom.engines.usage import Usage
from fathom.metrics.baselines import Baselines
from fathom.metrics.intervals import Interval, Share
from fathom.results.rows import RankingRow, prompt_key, reported, usage


@dataclass
class RankingTally:
    """Counts over rankings. Metrics that need labels are None without labelled rows."""

    rows: int = 0
    labelled: int = 0
    """Rows whose label names one best response."""
    correct: int = 0
    tied: int = 0
    """Rows in which several responses share the highest score."""
    pairs: int = 0
    missing: int = 0
    """Pairs without a verdict."""
    best: Share = field(default_factory=Share)
    """Whether the best response was found, per labelled row, clustered by prompt."""
    read: Share = field(default_factory=Share)
    """Whether each pair has a verdict, clustered by prompt."""
    taus: Share = field(default_factory=Share)
    """Kendall's tau of each row that has one, mapped from [-1, 1] to [0, 1]."""
    usage: Usage = field(default_factory=Usage)
    baselines: Baselines = field(default_factory=Baselines)

    def add(self, row: RankingRow) -> None:
        prompt = prompt_key(row)
        self.rows += 1
        self.labelled += row["label"] is not None
        self.correct += bool(row["correct"])
        self.tied += bool(row["order"]) and row["winner"] is None
        self.pairs += len(row["pairs"])
        self.missing += len(row["missing"])
        if row["label"] is not None:
            self.best.add(float(bool(row["correct"])), prompt)
        for parsed, count in ((1.0, len(row["pairs"]) - len(row["missing"])), (0.0, len(row["missing"]))):
            for _ in range(count):
                self.read.add(parsed, prompt)
        if row["kendall_tau"] is not None:
            self.taus.add((row["kendall_tau"] + 1) / 2, prompt)
        self.usage += usage(row)
        self.baselines.add(row, prompt)

    @property
    def best_of_n(self) -> Interval | None:
        """The share of labelled rows whose labelled response alone ranks first."""
        return self.best.interval

    @property
    def parse_rate(self) -> Interval | None:
        """The share of pairs with a verdict."""
        return self.read.interval

    @property
    def tau(self) -> Interval | None:
        """The mean of Kendall's tau; None for fewer than two rows that have a tau."""
        found = self.taus.interval
        return Interval(*(2 * share - 1 for share in found)) if found and len(self.taus) > 1 else None


def tally(rows: Iterable[RankingRow]) -> dict[str, RankingTally]:
    """Tally all rows, under "all", and the rows of each domain."""
    tallies: dict[str, RankingTally] = {"all": RankingTally()}
    for row in rows:
        count(row, tallies)
    return tallies


def count(row: RankingRow, tallies: dict[str, RankingTally]) -> None:
    """Add one row to the tallies, for callers that process rows one at a time."""
    for group in dict.fromkeys(("all", row["domain"] or "all")):
        tallies.setdefault(group, RankingTally()).add(row)


def summary(tallies: Mapping[str, RankingTally]) -> dict[str, Any]:
    """The tallies as plain JSON. Intervals are [mean, low, high] at 95 %; `taus` is the number of rows with a tau."""
    return {
        group: {name: value for name, value in vars(tallied).items() if isinstance(value, int)}
        | reported(tallied.usage)
        | {
            "taus": len(tallied.taus),
            "best_of_n": tallied.best_of_n,
            "parse_rate": tallied.parse_rate,
            "kendall_tau": tallied.tau,
            "baselines": tallied.baselines.accuracy,
        }
        for group, tallied in tallies.items()
    }
