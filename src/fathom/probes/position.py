"""Position bias: whether the place in which a response is shown affects the verdict. Needs votes in both orders."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.probes import Probe
from fathom.probes._measures import Item, Measure, share


def measure(items: Sequence[Item]) -> list[Measure]:
    """No measures for single responses, which have no order."""
    if items and not any(len(vote.order) > 1 for item in items if item.plain for vote in item.plain.votes):
        return []
    return [
        share("first shown", "share of the vote for the response shown first; ties count half", 0.5, items, _first),
        share("flip rate", "share of votes whose outcome changes with the order", 0.0, items, _flips),
    ]


def _first(item: Item) -> float | None:
    return item.plain.share_of_place(0) if item.plain else None


def _flips(item: Item) -> float | None:
    return item.plain.flip_rate if item.plain else None


PROBE = Probe(
    title="Position",
    change="The two responses swap places.",
    vary=lambda _: (),
    measure=measure,
)
