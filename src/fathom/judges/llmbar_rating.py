"""Ratings of one response alone by a whole number and nothing else, as LLMBar's rating evaluators give them.

Rule: LLMBar (arXiv 2310.07641), its rating evaluators: the completion must be a number to Python's `int`.

    LLMBarRatingJudge().read("7", comparison).scores                                 # (7.0,)

Published figures count a tie for the response in the second place and a pair of which one rating cannot be read for the
one in the first, in both orders. Here these are a tie and no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges import Pattern
from fathom.judges._templated import TemplatedJudge, score_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document

SCORES = range(11)


@dataclass(frozen=True, kw_only=True)
class LLMBarRatingJudge(TemplatedJudge):
    """Rates responses from 0 to 10, each alone."""

    pattern: ClassVar[Pattern] = "pointwise"

    @property
    def template_name(self) -> str:
        return "llmbar/rating"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """Invalid where it is another than those from 0 to 10."""
        document = Document.of(text)
        said = "" if document is None else document.text.strip()
        if not said:
            return unreadable_vote(finished=finished and document is not None)
        try:
            score = int(said)
        except ValueError:
            return Vote(Status.INVALID)
        return score_vote(float(score)) if score in SCORES else Vote(Status.INVALID)


JUDGE = LLMBarRatingJudge
