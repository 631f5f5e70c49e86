"""AlpacaEval's ranking with an explanation: a JSON object that ranks the outputs `m` and `M`.

Rule: AlpacaEval (arXiv 2404.04475), alpaca_eval_cot_gpt4_turbo_fn of its repository.

    {"concise_explanation": "...", "ordered_models": [{"model": "M", "rank": 1}, {"model": "m", "rank": 2}]}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fathom.data.records import Comparison
from fathom.judges._probabilities import Choices
from fathom.judges._published import strings_after, visible_text
from fathom.judges._templated import TemplatedJudge, choice_vote, json_object, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.judges.alpaca_eval import NAMES
from fathom.rationale import Status
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.withdrawals import takes_back


@dataclass(frozen=True, kw_only=True)
class AlpacaEvalCoTJudge(TemplatedJudge):
    """Judges pairs."""

    gives_scores: ClassVar[bool] = False
    choices: ClassVar[Choices] = {"m": 0, "M": 1}

    @property
    def template_name(self) -> str:
        return "alpaca_eval/cot"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The output with rank 1 wins. The published rule does not cover two outputs with rank 1: contradictory."""
        reply = visible_text(text)
        if not reply:
            return unreadable_vote(finished=finished and reply is not None)
        table = json_object(reply) or {}
        ranks = _ranks(table.get("ordered_models"))
        if ranks is None:
            return Vote(Status.INVALID if finished else Status.TRUNCATED)
        if ranks == (1, 1) or takes_back(strings_after(table, "ordered_models"), Claim("other")):
            return Vote(Status.CONTRADICTORY)
        return choice_vote(ranks.index(1))


def _ranks(ordered: Any) -> tuple[int, int] | None:
    """The ranks of m and M; None unless both have rank 1 or 2 and at least one has rank 1."""
    if not isinstance(ordered, list) or not all(isinstance(entry, dict) for entry in ordered):
        return None
    found = tuple(next((entry.get("rank") for entry in ordered if entry.get("model") == name), None) for name in NAMES)
    return next((ranks for ranks in ((1, 2), (2, 1), (1, 1)) if found == ranks), None)


JUDGE = AlpacaEvalCoTJudge
