"""What a file of verdicts amounts to: how often the judge was right, and how much of it could be read.

    tallies = tally(rows)                  # rows as `fathom judge` writes them
    tallies["all"].strict                  # Interval(mean=0.71, low=..., high=...)

Accuracy is told three ways, always together, because each alone can be made to look good: `strict` counts whatever is
not the right verdict as wrong, ties and unreadable texts included; `readable` leaves the unreadable ones out;
`readable_share` says how many those are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fathom.metrics.intervals import Interval, wilson


@dataclass
class Tally:
    """Counts over verdicts. Accuracies are None where no row had both a label and what is needed beside it."""

    rows: int = 0
    labelled: int = 0
    """Rows whose label names one best response; only these have an accuracy."""
    labelled_readable: int = 0
    correct: int = 0
    status: Counter[str] = field(default_factory=Counter)
    structure: Counter[str] = field(default_factory=Counter)
    """Of the readable votes' rationales."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, row: Mapping[str, Any]) -> None:
        readable = row["status"] == "ok"
        labelled = row["label"] is not None
        self.rows += 1
        self.status[row["status"]] += 1
        self.labelled += labelled
        self.labelled_readable += labelled and readable
        self.correct += bool(row["correct"])
        self.structure.update(vote["structure"] for vote in row["votes"] if vote["status"] == "ok")
        self.prompt_tokens += row["tokens"]["prompt"]
        self.completion_tokens += row["tokens"]["completion"]

    @property
    def strict(self) -> Interval | None:
        return wilson(self.correct, self.labelled)

    @property
    def readable(self) -> Interval | None:
        return wilson(self.correct, self.labelled_readable)

    @property
    def readable_share(self) -> Interval | None:
        return wilson(self.status["ok"], self.rows)


def tally(rows: Iterable[Mapping[str, Any]]) -> dict[str, Tally]:
    """Tallies of all rows, under "all", and of each domain that occurs."""
    tallies: dict[str, Tally] = {"all": Tally()}
    for row in rows:
        count(row, tallies)
    return tallies


def count(row: Mapping[str, Any], tallies: dict[str, Tally]) -> None:
    """Adds one row, for those who see rows one at a time."""
    for group in dict.fromkeys(("all", row["domain"] or "all")):
        tallies.setdefault(group, Tally()).add(row)


def summary(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """The tallies as plain JSON. An accuracy is [mean, low, high] with its Wilson interval at 95 %."""
    return {
        group: vars(tallied)
        | {
            "strict": tallied.strict,
            "readable": tallied.readable,
            "readable_share": tallied.readable_share,
        }
        for group, tallied in tallies.items()
    }
