"""Auto-J's critique, which ends with "So, the final decision is Response 1", "Response 2" or "Tie".

Rule: Auto-J (arXiv 2310.05470), the pairwise reader of its repository.

    AutoJJudge().read("... So, the final decision is Tie.", comparison).winner       # None, with status ok
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges._probabilities import Choices
from fathom.judges._published import PublishedJudge, pair_claim
from fathom.judges._templated import choice_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document

BEFORE = "final decision is "
DECISIONS: Mapping[str, int | None] = {"response 1": 0, "response 2": 1, "tie": None}


@dataclass(frozen=True, kw_only=True)
class AutoJJudge(PublishedJudge):
    """Judges pairs."""

    gives_scores: ClassVar[bool] = False
    choices: ClassVar[Choices] = {"1": 0, "2": 1, "Tie": None, "tie": None}

    @property
    def template_name(self) -> str:
        return "autoj"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The text after the last `final decision is ` must begin with a decision, in any letter case."""
        document = Document.of(text)
        at = -1 if document is None else document.text.rfind(BEFORE)
        if document is None or at < 0:
            return unreadable_vote(finished=finished and document is not None)
        start = at + len(BEFORE)
        rest = document.text[start:].strip().lower()
        decisions = [decision for decision in DECISIONS if rest.startswith(decision)]
        if not decisions:
            return Vote(Status.INVALID)
        winner = DECISIONS[decisions[0]]
        end = document.folded.index(decisions[0], start) + len(decisions[0])
        problem = self.disqualification(document, [(at, end)], pair_claim(winner))
        return choice_vote(winner) if problem is None else Vote(problem)


JUDGE = AutoJJudge
