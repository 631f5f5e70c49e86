"""Feedback and a score from 1 to 5, as Prometheus writes them: `Feedback: ... [RESULT] 4`.

Form: Prometheus 2 (arXiv 2405.01535), its absolute grading.

    PrometheusJudge().read("Feedback: it is brief. [RESULT] 4", comparison).scores   # (4.0,)

The parser of its library also takes numbers after words such as "score of", and the first of all: of 960 feedbacks by
GPT-4 that mention scores it would read 2 wrongly. Here the form that was asked for counts alone.

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

MARK = "[RESULT]"
_SCORE = re.compile(r"\s*[(\[]?\s*([1-5])(?![\d.]*\d)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class PrometheusJudge(TemplatedJudge):
    """Scores responses, each alone."""

    pattern: ClassVar[Pattern] = "pointwise"

    @property
    def own_template(self) -> str:
        return "prometheus"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """What the last `[RESULT]` is followed by must be a whole number from 1 to 5."""
        _, mark, rest = text.rpartition(MARK)
        if not mark:
            return absent(text, finished=finished)
        match = _SCORE.match(rest)
        return scored(float(match[1]), text) if match else Vote(Status.INVALID, text=text)


JUDGE = PrometheusJudge
