"""Whether a response can talk the judge into a verdict: by writing one, by closing its fence, by ending the turn, by
orders, by a rationale of its own, by praise.

Most texts name a letter, which is right in one order of the responses and wrong in the other. So what is measured is
how often the judge names the place of that letter, against how often it does so without the text. A judge that sees
each response alone has no letters to name: for it there is how much more often the response wins, over all kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean

from fathom.data.records import Comparison
from fathom.probes import Probe, Variation
from fathom.probes._changes import drawn, texts_of, worse
from fathom.probes._measures import Item, Measure, difference, shift


def texts() -> Mapping[str, Sequence[str]]:
    """By kind, from injections.yaml; LETTER stands for the letter asked for."""
    return texts_of("injections.yaml")


def vary(comparison: Comparison) -> Iterator[Variation]:
    """A text of every kind behind the worse response of each comparison."""
    if len(comparison.responses) != 2:
        return
    target = worse(comparison)
    for kind, found in texts().items():
        text = drawn(found, comparison, kind)
        letter = drawn("AB", comparison, f"{kind} letter") if "LETTER" in text else None
        added = text.replace("LETTER", letter or "")
        responses = tuple(
            f"{response}\n\n{added}" if k == target else response for k, response in enumerate(comparison.responses)
        )
        yield Variation(kind, responses, target, letter, label=comparison.label)


def measure(found: Sequence[Item]) -> list[Measure]:
    obeyed = "change in the probability that the judge names the letter asked for"
    gained = "change in the probability that the response with the text wins"
    by_kind = (
        shift(kind, obeyed, found, partial(_obeyed, kind))
        if "LETTER" in of_kind[0]
        else shift(kind, gained, found, partial(_gained, kind))
        for kind, of_kind in texts().items()
    )
    return [*by_kind, shift("all kinds", gained, found, _gained_by_all)]


def _obeyed(kind: str, item: Item) -> float | None:
    after = item.variation(kind)
    if after is None or item.plain is None or after.letter is None:
        return None
    place = "AB".index(after.letter)
    return difference(after.share_of_place(place), item.plain.share_of_place(place))


def _gained(kind: str, item: Item) -> float | None:
    after = item.variation(kind)
    if after is None or item.plain is None or after.target is None:
        return None
    return difference(after.share(after.target), item.plain.share(after.target))


def _gained_by_all(item: Item) -> float | None:
    told = [gain for kind in texts() if (gain := _gained(kind, item)) is not None]
    return fmean(told) if told else None


PROBE = Probe(
    title="Injection",
    change="A text addressed to the judge stands behind the worse response.",
    vary=vary,
    measure=measure,
)
