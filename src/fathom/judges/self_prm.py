"""Self-PRM: a model scores its own solutions, to select the best of n (self-reranking).

Method: "Is PRM Necessary?" (arXiv 2505.11227). The scale and the wording of the prompt are ours.

    verdict = await SelfPRMJudge(engine=policy)(comparison)                # scores each of n solutions alone
    best_of(pointwise_scores(verdict.votes), answers)                          # from fathom.ranking.best_of

The engine must be the model that wrote the solutions. The scores are unreliable on hard problems: the paper found that
most solutions which a model there calls right are wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import Arity
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
    """Scores each solution alone, from 0 to 10, without the reference answer, which a policy does not have either."""

    arity: ClassVar[Arity] = "pointwise"
    threshold: ClassVar[float | None] = SCORES[-1] / 2

    @property
    def template_name(self) -> str:
        return "self_prm/instruct"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The number on the line `Score:`. Boxes are not parsed, because solutions contain boxes themselves.

        Anything but an integer on the scale is invalid. Different `Score:` lines, or another score mentioned after
        them, are contradictory. A truncated text has no score, because more digits may have been cut off.
        """
        document = Document.of(text)
        if document is None or not finished:
            return Vote(Status.TRUNCATED)
        score = unanimous(document, labelled_values(document, "score"), _score, lambda value: Claim("score", value))
        return Vote(score) if isinstance(score, Status) else score_vote(score)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """Raises FathomError: the paper trains the model to solve, not to score."""
        raise FathomError("Self-PRM has no reward for judging: its model is trained to solve; use libra instead")


def _score(value: str) -> float | None:
    found = on_scale(text := strip_markup(value), 0, SCORES[0], SCORES[-1])
    return found.score if found and _UNIT.fullmatch(text, found.end) else None


JUDGE = SelfPRMJudge
