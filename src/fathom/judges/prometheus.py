"""Feedback and a score from 1 to 5, as Prometheus writes them: `Feedback: ... [RESULT] 4`.

Rule: Prometheus 2 (arXiv 2405.01535), the absolute parser of its library, which takes other marks than `[RESULT]` too.

    PrometheusJudge().read("Feedback: it is brief. [RESULT] 4", comparison).scores   # (4.0,)

Without a rubric of your own it asks for correctness and helpfulness; a template of yours can hold any rubric.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.judges import Pattern
from fathom.judges._templated import TemplatedJudge, absent, scored
from fathom.rationale import Status
from fathom.records import Comparison
from fathom.verdict import Vote

_RESULT = re.compile(
    r"(?:\[RESULT\]:?|\[SCORE\]|score:?|result:?|score\s+of)"
    r"\s*(?:[(\[]\s*)*(\d+)(?:[)\]\s]|$|/\s*5|\s*out\s*of\s*5)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class PrometheusJudge(TemplatedJudge):
    """Scores responses, each alone."""

    pattern: ClassVar[Pattern] = "pointwise"

    @property
    def own_template(self) -> str:
        return "prometheus"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The first mark with a number after it decides, as in the library; a number that is not 1 to 5 is invalid."""
        match = _RESULT.search(text)
        if match is None:
            return absent(text, finished=finished)
        digits = match[1].lstrip("0")
        return scored(float(digits), text) if digits in set("12345") else Vote(Status.INVALID, text=text)


JUDGE = PrometheusJudge
