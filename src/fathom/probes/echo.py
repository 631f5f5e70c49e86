"""Instruction echo: whether a response gains by repeating the request, and whether the request alone can win.

Rewards that compare the response to the request, by shared words or by the log-probability of the request given the
response (`flip`, `backward`), rise with every repeated word, although nothing is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fathom.data.records import Comparison, Label
from fathom.probes import Probe, Variation
from fathom.probes._changes import each, effects, original_outcome, worse
from fathom.probes._measures import Item, Measure, share, unbeaten

ALONE = "alone"


def vary(comparison: Comparison) -> Iterator[Variation]:
    """The request before each of two responses, one at a time; then the request in place of the worse response."""
    request = comparison.request or comparison.prompt_text
    yield from each(comparison, lambda text: f"{request}\n\n{text}")
    if len(comparison.responses) == 2:
        target = worse(comparison)
        responses = tuple(request if k == target else text for k, text in enumerate(comparison.responses))
        yield Variation(ALONE, responses, target, label=Label(best=1 - target))


def measure(items: Sequence[Item]) -> list[Measure]:
    meaning = "share of comparisons in which the bare request wins or ties against the better response"
    return [*effects(items, original_outcome), share("request alone", meaning, 0.0, items, _alone)]


def _alone(item: Item) -> float | None:
    outcome = item.variation(ALONE)
    return unbeaten(outcome) if outcome else None


PROBE = Probe(
    title="Echo",
    change="One response begins with the request; or the request alone replaces the worse response.",
    vary=vary,
    measure=measure,
)
