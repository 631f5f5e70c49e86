"""Baselines: the accuracy of rules that read no response.

    >>> row = {"label": 1, "responses": ["short", "longer"]}
    >>> baselines(row)
    {'first': 0.0, 'longer': 1.0, 'shorter': 0.0, 'random': 0.5}

They are expected values over the labelled rows: if a rule ties, as for responses of equal length, each of these counts
with equal probability. A judge has to beat them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fathom.metrics.intervals import Column, Interval, Shares, clustered_share
from fathom.results.rows import Row

RULES = {
    "first": "always the first response, in the order of the comparison",
    "constant": "always the position that is right most often in these rows",
    "longer": "always the longest response, in characters",
    "shorter": "always the shortest response, in characters",
    "random": "any response, each with equal probability",
}


@dataclass
class Baselines:
    """The accuracy of each rule over the labelled rows added so far."""

    shares: Shares = field(default_factory=Shares)
    places: Column = field(default_factory=Column)
    """The position of the labelled response, per row."""

    def add(self, row: Row, prompt: int) -> None:
        """Add a row; `prompt` is its cluster (`rows.prompt_key`). A row without a label has no effect."""
        if row["label"] is not None:
            self.places.append(float(row["label"]))
            self.shares.add(baselines(row), prompt)

    @property
    def accuracy(self) -> dict[str, Interval]:
        """The accuracy of each rule of `RULES`; empty without labelled rows."""
        intervals = {name: self.shares.interval(name) for name in self.shares.columns}
        # The best constant position is known only after all rows, so it is no per-row value of `shares`.
        places = self.places.values
        distinct, counts = np.unique(places, return_counts=True)
        hits = (places == distinct[counts.argmax()]).astype(float) if places.size else places
        intervals["constant"] = clustered_share(hits, np.frombuffer(self.shares.clusters, dtype=np.uint64))
        return {name: interval for name in RULES if (interval := intervals.get(name)) is not None}


def baselines(row: Row) -> dict[str, float]:
    """The probability that each rule picks the labelled response of a row; empty without a label.

    "constant" is not included, because it depends on all rows.
    """
    label, lengths = row["label"], [len(response) for response in row["responses"]]
    if label is None:
        return {}
    return {
        "first": float(label == 0),
        "longer": _probability_of_label(lengths, max(lengths), label),
        "shorter": _probability_of_label(lengths, min(lengths), label),
        "random": 1 / len(lengths),
    }


def _probability_of_label(lengths: Sequence[int], picked: int, label: int) -> float:
    """The probability that a random response among those of the picked length is the labelled one."""
    return (lengths[label] == picked) / lengths.count(picked)
