"""Accuracy and parse rate on the original comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.probes import Probe
from fathom.probes._measures import Item, Measure, share


def _right(item: Item) -> float | None:
    plain = item.plain
    if plain is None:
        return None
    if plain.label is None:  # a single response
        return None if plain.truth is None or plain.called_right is None else float(plain.truth == plain.called_right)
    return plain.share(plain.label)


def _parsed(item: Item) -> float:
    return float(item.plain is not None and item.plain.parsed)


def measure(items: Sequence[Item]) -> list[Measure]:
    right = (
        "share of the vote for the response that the label names, a tie half; or of right verdicts on single responses"
    )
    return [
        share("accuracy", right, None, items, _right),
        share("parsed", "share of comparisons with a verdict", 1.0, items, _parsed),
    ]


PROBE = Probe(title="Baseline", change="The comparison is unchanged.", vary=lambda _: (), measure=measure)
