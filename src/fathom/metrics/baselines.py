"""What no judge is needed for: the accuracy of rules that never read a response.

    >>> row = {"label": 1, "responses": ["short", "longer"]}
    >>> baselines(row)
    {'first': 0.0, 'longer': 1.0, 'shorter': 0.0, 'random': 0.5}

Computed from the labelled rows themselves, as expected values: where a rule has a tie, as between responses of equal
length, each is taken with equal probability, and nothing is drawn. A judge that does not beat them has shown nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fathom.metrics.intervals import Interval, Shares, wilson
from fathom.results.rows import Row

RULES = {
    "first": "always the response in the first place, as the judge was given them",
    "constant": "always the place that is right most often in these rows",
    "longer": "always the longest response, in characters",
    "shorter": "always the shortest response, in characters",
    "random": "any response, each with equal probability",
}


@dataclass
class Baselines:
    """Counts over labelled rows."""

    shares: Shares = field(default_factory=Shares)
    places: Counter[int] = field(default_factory=Counter)
    """How often the label names the response in each place."""

    def add(self, row: Row, prompt: int) -> None:
        """`prompt` numbers the row's prompt, as `rows.prompt_key` does. Rows without a label are left out."""
        if row["label"] is not None:
            self.places[row["label"]] += 1
            self.shares.add(baselines(row), prompt)

    @property
    def accuracy(self) -> dict[str, Interval]:
        """By the names in `RULES`; empty where no row has a label."""
        found = {name: self.shares.interval(name) for name in self.shares.columns}
        constant = wilson(max(self.places.values(), default=0), self.places.total())
        return {name: value for name in RULES if (value := (found | {"constant": constant}).get(name)) is not None}


def baselines(row: Row) -> dict[str, float]:
    """The probability that each rule names the label of a row; empty without a label. That of "constant" takes all rows
    to know."""
    label, lengths = row["label"], [len(response) for response in row["responses"]]
    if label is None:
        return {}
    return {
        "first": float(label == 0),
        "longer": _expected(lengths, max(lengths), label),
        "shorter": _expected(lengths, min(lengths), label),
        "random": 1 / len(lengths),
    }


def _expected(lengths: Sequence[int], taken: int, label: int) -> float:
    return (lengths[label] == taken) / lengths.count(taken)
