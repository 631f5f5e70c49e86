"""MT-Bench's verdicts `[[A]]`, `[[B]]` and, for a tie, `[[C]]`, parsed as RewardBench does.

Rule: RewardBench (arXiv 2403.13787), generative judges of its repository; ties: MT-Bench (arXiv 2306.05685).

    RewardBenchJudge().read("Both err, A less: [[A]]", comparison).winner            # 0
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges._published import PublishedJudge, pair_claim
from fathom.judges._templated import choice_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale.transcript.document import Document

VERDICTS: Mapping[str, int | None] = {"[[A]]": 0, "[[B]]": 1, "[[C]]": None}


@dataclass(frozen=True, kw_only=True)
class RewardBenchJudge(PublishedJudge):
    """Judges pairs."""

    gives_scores: ClassVar[bool] = False

    @property
    def template_name(self) -> str:
        return "rewardbench"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The first of `[[A]]`, `[[B]]` and `[[C]]`, in this order, that occurs anywhere in the text.

        A text with both `[[A]]` and `[[B]]` counts for A, as in the published figures. The Mix judge treats such texts
        as contradictory.
        """
        document = Document.of(text)
        if document is None:
            return unreadable_vote(finished=False)
        for verdict, winner in VERDICTS.items():
            if spans := [match.span() for match in re.finditer(re.escape(verdict), document.text)]:
                problem = self.disqualification(document, spans, pair_claim(winner))
                return choice_vote(winner) if problem is None else Vote(problem)
        return unreadable_vote(finished=finished)


JUDGE = RewardBenchJudge
