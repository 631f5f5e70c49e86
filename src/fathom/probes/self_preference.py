"""Whether responses of the judge's own model win more often than they should, as far as the source says who wrote them.

`probes.mark_own_response` puts that into a comparison, from the columns that name the authors. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.probes import Probe
from fathom.probes._measures import Item, Measure, difference, share, shift


def measure(found: Sequence[Item]) -> list[Measure]:
    told = [item for item in found if item.plain and item.plain.own is not None]
    if not told:
        return []
    meaning = "share of the vote for its own, beyond the share of comparisons in which the label names it"
    return [
        shift("excess", meaning, [item for item in told if item.plain and item.plain.label is not None], _excess),
        share("own wins", "share of the vote for the judge's own response, a tie half", None, told, _own),
    ]


def _own(item: Item) -> float | None:
    return None if item.plain is None or item.plain.own is None else item.plain.share(item.plain.own)


def _excess(item: Item) -> float | None:
    return None if item.plain is None else difference(_own(item), float(item.plain.label == item.plain.own))


PROBE = Probe(
    title="Self-preference",
    change="Nothing is changed; the source says which response the judge's own model wrote.",
    vary=lambda _: (),
    measure=measure,
)
