"""LLMBar's rating evaluators: a single response is rated by an integer and nothing else.

Rule: LLMBar (arXiv 2310.07641): Python's `int` must accept the completion.

    LLMBarRatingJudge().read("7", comparison).scores                                 # (7.0,)

In the published figures, equal ratings count for the second response, and a pair with an unreadable rating counts for
the first, in both orders. Here these cases are a tie and no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges import Arity
from fathom.judges._templated import TemplatedJudge, score_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document

SCORES = range(11)


@dataclass(frozen=True, kw_only=True)
class LLMBarRatingJudge(TemplatedJudge):
    """Rates each response alone, from 0 to 10."""

    arity: ClassVar[Arity] = "pointwise"

    @property
    def template_name(self) -> str:
        return "llmbar/rating"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The whole text must be an integer; anything but 0 to 10 is invalid."""
        document = Document.of(text)
        reply = "" if document is None else document.text.strip()
        if not reply:
            return unreadable_vote(finished=finished and document is not None)
        try:
            score = int(reply)
        except ValueError:
            return Vote(Status.INVALID)
        return score_vote(float(score)) if score in SCORES else Vote(Status.INVALID)


JUDGE = LLMBarRatingJudge
