"""Prometheus' absolute grading: feedback, then a score from 1 to 5, as in `Feedback: ... [RESULT] 4`.

Format: Prometheus 2 (arXiv 2405.01535), absolute grading.

    PrometheusJudge().read("Feedback: it is brief. [RESULT] 4", comparison).scores   # (4.0,)

The parser of the Prometheus library also accepts a number after words such as "score of", and takes the first match. It
misreads 2 of 960 feedbacks by GPT-4 that mention scores. Here only the requested format counts.

The shipped prompt has a rubric for correctness and completeness; your own template can have any rubric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges import Arity
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
    """Scores each response alone, from 1 to 5."""

    arity: ClassVar[Arity] = "pointwise"

    @property
    def template_name(self) -> str:
        return "prometheus"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The last `[RESULT]` must be followed by an integer from 1 to 5, not stated to be on another scale."""
        document = Document.of(text)
        at = -1 if document is None else document.text.rfind(MARK)
        if document is None or at < 0:
            return unreadable_vote(finished=finished and document is not None)
        match = on_scale(document.folded, at + len(MARK), *SCALE)
        if not finished and not document.folded[match.end if match else at + len(MARK) :].strip():
            return unreadable_vote(finished=False)  # more digits may have been cut off
        before, _ = around(document.folded, at, at + len(MARK))
        if match is None or is_of_another_scale(before, SCALE[1]):
            return Vote(Status.INVALID)
        problem = self.disqualification(document, [(at, match.end)], Claim("score", match.score))
        return score_vote(match.score) if problem is None else Vote(problem)


JUDGE = PrometheusJudge
