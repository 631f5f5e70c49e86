"""Scores from 1 to 10 in a JSON object, after strengths and weaknesses, as WildBench asks for them.

Rule: WildBench (arXiv 2406.04770), its individual score: the number in `score`.

    WildBenchJudge().read('{"strengths": "", "weaknesses": "", "score": "7"}', comparison).scores      # (7.0,)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from fathom.data.records import Comparison
from fathom.judges import Pattern
from fathom.judges._published import strings_after, visible_text
from fathom.judges._templated import TemplatedJudge, json_object, score_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.withdrawals import takes_back

SCALE = (1, 10)


@dataclass(frozen=True, kw_only=True)
class WildBenchJudge(TemplatedJudge):
    """Scores responses, each alone."""

    pattern: ClassVar[Pattern] = "pointwise"

    @property
    def template_name(self) -> str:
        return "wildbench"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The whole reply must be the object. Invalid where the score is not on the scale."""
        said = visible_text(text)
        if not said:
            return unreadable_vote(finished=finished and said is not None)
        table = json_object(said)
        if table is None:
            return Vote(Status.INVALID if finished else Status.TRUNCATED)
        score = _number(table.get("score"))
        if score is None or not SCALE[0] <= score <= SCALE[1]:
            return Vote(Status.INVALID)
        is_taken_back = takes_back(strings_after(table, "score"), Claim("score", score))
        return Vote(Status.CONTRADICTORY) if is_taken_back else score_vote(score)


def _number(value: Any) -> float | None:
    """A finite number, or a text that is one."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


JUDGE = WildBenchJudge
