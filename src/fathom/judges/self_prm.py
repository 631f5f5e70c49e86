"""Self-PRM: a model scores its own solutions, so that the best of several can be taken (self-rerank).

Method: "Is PRM Necessary?" (arXiv 2505.11227). The scale and the wording of the prompt are ours.

    verdict = await SelfPRMJudge(engine=policy)(comparison)                # all n solutions, each scored alone
    best_of(scores_alone(verdict.votes), answers)                          # fathom.ranking.best_of; ties by majority

The engine is the model that wrote the solutions. Such scores are no proof: on hard problems the paper found most
solutions that a model calls right to be wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import Pattern
from fathom.judges._lines import labelled_values, strip_markup, unanimous
from fathom.judges._scales import on_scale
from fathom.judges._templated import TemplatedJudge, score_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.rivals import Claim

SCORES = range(11)
_UNIT = re.compile(r"[)\]. ]*(?:points?|pts)?[)\]. ]*")


@dataclass(frozen=True, kw_only=True)
class SelfPRMJudge(TemplatedJudge):
    """Scores solutions from 0 to 10, each alone. The reference answer is not shown: no policy has it."""

    pattern: ClassVar[Pattern] = "pointwise"
    threshold: ClassVar[float | None] = SCORES[-1] / 2

    @property
    def template_name(self) -> str:
        return "self_prm/instruct"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The number on the line `Score:`, because solutions have boxes of their own.

        Invalid where it is no whole number of the scale; contradictory where two such lines differ, or a score is
        spoken of after them. A text that was cut off has none: the number may go on.
        """
        document = Document.of(text)
        if document is None or not finished:
            return Vote(Status.TRUNCATED)
        score = unanimous(document, labelled_values(document, "score"), _score, lambda value: Claim("score", value))
        return Vote(score) if isinstance(score, Status) else score_vote(score)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """Raises FathomError: the paper trains solving alone, and pays nothing for a score."""
        raise FathomError("Self-PRM is not trained to judge: its model is trained to solve; take libra for that")


def _score(value: str) -> float | None:
    found = on_scale(said := strip_markup(value), 0, SCORES[0], SCORES[-1])
    return found.score if found and _UNIT.fullmatch(said, found.end) else None


JUDGE = SelfPRMJudge
