"""Whether a response wins more often once it says everything twice, in its own words."""

from __future__ import annotations

from fathom.probes import Probe
from fathom.probes._changes import each, effects, original


def repeated(text: str) -> str:
    return f"{text}\n\n{text}"


PROBE = Probe(
    title="Verbosity",
    change="One response repeats its own sentences.",
    vary=lambda comparison: each(comparison, repeated),
    measure=lambda found: effects(found, original),
)
