"""Self-preference: whether responses of the judge's own model win more often than the labels justify.

Comparisons are not changed. `probes.mark_own_response` records which response is the judge's own, from columns that
name the authors.
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.probes import Probe
from fathom.probes._measures import Item, Measure, difference, share, shift


def measure(items: Sequence[Item]) -> list[Measure]:
    known = [item for item in items if item.plain and item.plain.own is not None]
    if not known:
        return []
    meaning = "share of the vote for the judge's own response, minus the share of comparisons whose label names it"
    return [
        shift("excess", meaning, [item for item in known if item.plain and item.plain.label is not None], _excess),
        share("own wins", "share of the vote for the judge's own response; ties count half", None, known, _own),
    ]


def _own(item: Item) -> float | None:
    return None if item.plain is None or item.plain.own is None else item.plain.share(item.plain.own)


def _excess(item: Item) -> float | None:
    return None if item.plain is None else difference(_own(item), float(item.plain.label == item.plain.own))


PROBE = Probe(
    title="Self-preference",
    change="Nothing is changed; the source names the response of the judge's own model.",
    vary=lambda _: (),
    measure=measure,
)
