"""What a judge makes of two responses that are the same, to the letter: a tie, or one vote for each place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fathom.probes import Probe, Variation
from fathom.probes._measures import Item, Measure, Outcome, of_pairs, share
from fathom.records import Comparison


def vary(comparison: Comparison) -> Iterator[Variation]:
    for place, text in enumerate(comparison.responses if len(comparison.responses) == 2 else ()):
        yield Variation(str(place), (text, text))


def measure(found: Sequence[Item]) -> list[Measure]:
    half = "a tie half"
    return [
        share(
            "even", f"share of the vote for one of the two, {half}", 0.5, found, of_pairs(lambda pair: pair.share(0))
        ),
        share("uneven", "share of such pairs of which one wins", 0.0, found, of_pairs(_uneven)),
        share("first shown", f"share of the vote for the one shown first, {half}", 0.5, found, of_pairs(_first)),
    ]


def _uneven(pair: Outcome) -> float | None:
    return float(pair.winner is not None) if pair.readable else None


def _first(pair: Outcome) -> float | None:
    return pair.share_of_place(0)


PROBE = Probe(title="Equal answers", change="Both responses are the same text.", vary=vary, measure=measure)
