"""Accuracy and parse rate on the original comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.probes import Probe
from fathom.probes._measures import Item, Measure, share


def _right(item: Item) -> float | None:
    if item.plain is None or item.plain.label is None:
        return None
    return item.plain.share(item.plain.label)


def _parsed(item: Item) -> float:
    return float(item.plain is not None and item.plain.parsed)


def measure(items: Sequence[Item]) -> list[Measure]:
    return [
        share("accuracy", "share of the vote for the response that the label names, a tie half", None, items, _right),
        share("parsed", "share of comparisons with a verdict", 1.0, items, _parsed),
    ]


PROBE = Probe(title="Baseline", change="The comparison is unchanged.", vary=lambda _: (), measure=measure)
