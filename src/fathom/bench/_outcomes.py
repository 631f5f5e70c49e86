"""What a row of results says, for scores: verdict rows and ranking rows alike.

    >>> credit({"status": "ok", "winner": 0, "label": 0}, tie=0.5, unreadable=0.0)
    1.0

Nothing here decides what an unreadable verdict counts for. The benchmark does, by its official rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fathom.rationale import Status

Row = Mapping[str, Any]


def status(row: Row) -> str:
    """A verdict's status. A ranking's is `failed` where the engine failed on any of its pairs, and `ok` where it has
    an order; else it is that of its first pair.
    """
    if "pairs" not in row:
        return str(row["status"])
    states = [str(pair["status"]) for pair in row["pairs"]]
    if Status.FAILED in states:
        return str(Status.FAILED)
    return "ok" if row["order"] else states[0]


def credit(row: Row, *, tie: float, unreadable: float) -> float:
    """1 for naming the labelled response alone, 0 for naming another, and what the rule says for the rest."""
    if status(row) != "ok":
        return unreadable
    return tie if row["winner"] is None else float(row["winner"] == row["label"])


def in_order(row: Row, first: int) -> Row | None:
    """The first vote that was shown response `first` in the first place; None where there is none."""
    return next((vote for vote in row["votes"] if list(vote["order"])[:1] == [first]), None)


def mean(values: Iterable[float]) -> float:
    """Raises ZeroDivisionError for no values."""
    found = list(values)
    return sum(found) / len(found)


def by_group(items: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
    """The values of items that are pairs of a group and a value, by group."""
    groups: dict[str, list[float]] = {}
    for group, value in items:
        groups.setdefault(group, []).append(value)
    return groups
