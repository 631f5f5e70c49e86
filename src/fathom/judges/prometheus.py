"""Feedback and a score from 1 to 5, as Prometheus writes them: `Feedback: ... [RESULT] 4`.

Form: Prometheus 2 (arXiv 2405.01535), its absolute grading.

    PrometheusJudge().read("Feedback: it is brief. [RESULT] 4", comparison).scores   # (4.0,)

The parser of its library also takes numbers after words such as "score of", and the first of all: of 960 feedbacks by
GPT-4 that mention scores it would read 2 wrongly. Here the form that was asked for counts alone.

Without a rubric of your own it asks for correctness and helpfulness; a template of yours can hold any rubric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges import Pattern
from fathom.judges._published import PublishedJudge
from fathom.judges._scales import is_of_another_scale, on_scale
from fathom.judges._templated import score_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.sentences import around

MARK = "[RESULT]"
SCALE = (1, 5)


@dataclass(frozen=True, kw_only=True)
class PrometheusJudge(PublishedJudge):
    """Scores responses, each alone."""

    pattern: ClassVar[Pattern] = "pointwise"

    @property
    def template_name(self) -> str:
        return "prometheus"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """What follows the last `[RESULT]` must be a whole number from 1 to 5, on no other scale than that."""
        document = Document.of(text)
        at = -1 if document is None else document.text.rfind(MARK)
        if document is None or at < 0:
            return unreadable_vote(finished=finished and document is not None)
        found = on_scale(document.folded, at + len(MARK), *SCALE)
        if not finished and not document.folded[found.end if found else at + len(MARK) :].strip():
            return unreadable_vote(finished=False)  # the number may go on
        before, _ = around(document.folded, at, at + len(MARK))
        if found is None or is_of_another_scale(before, SCALE[1]):
            return Vote(Status.INVALID)
        problem = self.disqualification(document, [(at, found.end)], Claim("score", found.score))
        return score_vote(found.score) if problem is None else Vote(problem)


JUDGE = PrometheusJudge
