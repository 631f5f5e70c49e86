"""Length bias: whether a response wins more often if sentences without content double its length."""

from __future__ import annotations

from fathom.probes import Probe
from fathom.probes._changes import each, effects, original_outcome

NEUTRAL = (
    "This is the response to the request above.",
    "It was written with the request in mind.",
    "What was said above stands as it was said.",
    "Nothing is added to it here, and nothing is taken back.",
    "The request and the response to it are complete as they are.",
)
MIN_PADDING = 200
"""Minimum number of characters to add."""


def padded(text: str) -> str:
    """Append sentences without content: as many characters as the text has, and at least `MIN_PADDING`."""
    added: list[str] = []
    while len(" ".join(added)) < max(len(text), MIN_PADDING):
        added.append(NEUTRAL[len(added) % len(NEUTRAL)])
    return f"{text}\n\n{' '.join(added)}"


PROBE = Probe(
    title="Length",
    change="Sentences without content double the length of one response.",
    vary=lambda comparison: each(comparison, padded),
    measure=lambda items: effects(items, original_outcome),
)
