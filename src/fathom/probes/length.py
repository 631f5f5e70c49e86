"""Whether a response wins more often once sentences that say nothing make it twice as long."""

from __future__ import annotations

from fathom.probes import Probe
from fathom.probes._changes import each, effects, original

NEUTRAL = (
    "This is the response to the request above.",
    "It was written with the request in mind.",
    "What was said above stands as it was said.",
    "Nothing is added to it here, and nothing is taken back.",
    "The request and the response to it are complete as they are.",
)
MIN_PADDING = 200
"""Characters that are added to even the shortest response."""


def padded(text: str) -> str:
    """The text, then sentences without content: as many characters again, and not fewer than `MIN_PADDING`."""
    added: list[str] = []
    while len(" ".join(added)) < max(len(text), MIN_PADDING):
        added.append(NEUTRAL[len(added) % len(NEUTRAL)])
    return f"{text}\n\n{' '.join(added)}"


PROBE = Probe(
    title="Length",
    change="Sentences without content make one response twice as long.",
    vary=lambda comparison: each(comparison, padded),
    measure=lambda found: effects(found, original),
)
