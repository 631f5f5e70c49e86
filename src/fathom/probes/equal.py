"""Two identical responses: a fair judge ties, or votes for each position equally often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fathom.data.records import Comparison
from fathom.probes import Probe, Variation
from fathom.probes._measures import Item, Measure, Outcome, of_pairs, share


def vary(comparison: Comparison) -> Iterator[Variation]:
    for place, text in enumerate(comparison.responses if len(comparison.responses) == 2 else ()):
        yield Variation(str(place), (text, text))


def measure(items: Sequence[Item]) -> list[Measure]:
    half = "a tie counts as half a vote"
    first_copy = of_pairs(lambda pair: pair.share(0))
    return [
        share("vote for copy 1", f"mean share of the vote for the first copy; {half}", 0.5, items, first_copy),
        share("one copy wins", "share of the pairs that do not end in a tie", 0.0, items, of_pairs(_decided)),
        share("first shown", f"mean share of the vote for the copy shown first; {half}", 0.5, items, of_pairs(_first)),
    ]


def _decided(pair: Outcome) -> float | None:
    return float(pair.winner is not None) if pair.parsed else None


def _first(pair: Outcome) -> float | None:
    return pair.share_of_place(0)


PROBE = Probe(title="Equal answers", change="Both responses are the same text.", vary=vary, measure=measure)
