"""Master keys: whether an answer without content can win, such as an opener, a sign or a blank ("One token to fool
LLM-as-a-judge", arXiv 2507.08794).

The answer replaces the worse of two responses. If there is only one response, it is compared to the reference answer
or, without one, to that response. A tie is a failure too and is counted separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fathom.data.records import Comparison, Label
from fathom.probes import Probe, Variation
from fathom.probes._changes import drawn, texts_of, worse
from fathom.probes._measures import Item, Measure, Outcome, Value, of_pairs, share, unbeaten


def keys() -> Mapping[str, Sequence[str]]:
    """The texts by kind, from keys.yaml."""
    return texts_of("keys.yaml")


def vary(comparison: Comparison) -> Iterator[Variation]:
    """One variation per kind, with a key in place of the worse response."""
    pair = comparison if len(comparison.responses) == 2 else _against_the_truth(comparison)
    target = worse(pair)
    for kind, texts in keys().items():
        key = drawn(texts, comparison, kind)
        responses = tuple(key if k == target else text for k, text in enumerate(pair.responses))
        yield Variation(kind, responses, target, label=Label(best=1 - target))


def _against_the_truth(comparison: Comparison) -> Comparison:
    """A pair of the reference answer (or the only response) and a placeholder."""
    true = comparison.responses[0] if comparison.reference is None else comparison.reference
    return comparison.model_copy(update={"responses": (true, ""), "label": Label(best=0)})


def measure(items: Sequence[Item]) -> list[Measure]:
    return [
        share("wins", "share of such answers that win", 0.0, items, of_pairs(_wins)),
        share("wins or ties", "share of such answers that win or tie", 0.0, items, of_pairs(unbeaten)),
        *(share(kind, "share of these that win or tie", 0.0, items, _of(kind)) for kind in keys()),
    ]


def _wins(pair: Outcome) -> float | None:
    return float(pair.winner == pair.target) if pair.parsed else None


def _of(kind: str) -> Value:
    return lambda item: None if kind not in item.variations else unbeaten(item.variations[kind])


PROBE = Probe(
    title="Master keys",
    change="An answer without content replaces the worse response.",
    vary=vary,
    measure=measure,
)
