"""WildBench's individual scores: a JSON object with strengths, weaknesses and a score from 1 to 10.

Rule: WildBench (arXiv 2406.04770), individual score: the number in `score`.

    WildBenchJudge().read('{"strengths": "", "weaknesses": "", "score": "7"}', comparison).scores      # (7.0,)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from fathom.data.records import Comparison
from fathom.judges import Arity
from fathom.judges._published import strings_after, visible_text
from fathom.judges._templated import TemplatedJudge, json_object, score_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.withdrawals import takes_back

SCALE = (1, 10)


@dataclass(frozen=True, kw_only=True)
class WildBenchJudge(TemplatedJudge):
    """Scores each response alone, from 1 to 10."""

    arity: ClassVar[Arity] = "pointwise"

    @property
    def template_name(self) -> str:
        return "wildbench"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The whole reply must be the JSON object. A score off the scale is invalid."""
        reply = visible_text(text)
        if not reply:
            return unreadable_vote(finished=finished and reply is not None)
        table = json_object(reply)
        if table is None:
            return Vote(Status.INVALID if finished else Status.TRUNCATED)
        score = _number(table.get("score"))
        if score is None or not SCALE[0] <= score <= SCALE[1]:
            return Vote(Status.INVALID)
        is_taken_back = takes_back(strings_after(table, "score"), Claim("score", score))
        return Vote(Status.CONTRADICTORY) if is_taken_back else score_vote(score)


def _number(value: Any) -> float | None:
    """A finite number, or a string that contains one; None for anything else, including booleans."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


JUDGE = WildBenchJudge
