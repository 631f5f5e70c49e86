"""Verbosity bias: whether a response wins more often if it repeats its whole text."""

from __future__ import annotations

from fathom.probes import Probe
from fathom.probes._changes import each, effects, original_outcome


def repeated(text: str) -> str:
    return f"{text}\n\n{text}"


PROBE = Probe(
    title="Verbosity",
    change="One response repeats its whole text.",
    vary=lambda comparison: each(comparison, repeated),
    measure=lambda items: effects(items, original_outcome),
)
