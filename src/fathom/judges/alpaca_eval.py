"""AlpacaEval 2's weighted preference: how probable the first token makes the output `M` over the output `m`.

Rule: AlpacaEval (arXiv 2404.04475), weighted_alpaca_eval_gpt4_turbo of its repository.

    vote = AlpacaEvalJudge().read_completion(completion, comparison)
    vote.scores                                                                      # (0.04, 0.96): m, M

The preference of AlpacaEval is 1 plus the second score. It needs log-probabilities, so the rule counts probabilities,
for which `fathom judge` asks engines; without them a vote names a response and weighs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.engines import Completion
from fathom.judges._probabilities import Choices
from fathom.judges._published import visible_text
from fathom.judges._templated import TemplatedJudge, choice_vote, unreadable_vote
from fathom.judges._verdict import Rule, Vote
from fathom.rationale import Status

NAMES = ("m", "M")
"""Of the outputs, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class AlpacaEvalJudge(TemplatedJudge):
    """Judges pairs by one token."""

    choices: ClassVar[Choices] = {"m": 0, "M": 1}

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="probability")

    @property
    def template_name(self) -> str:
        return "alpaca_eval/weighted"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The text must be the name of an output; one token is cut off by its limit as a rule."""
        said = visible_text(text)
        if said in NAMES:
            return choice_vote(NAMES.index(said))
        return Vote(Status.INVALID) if said else unreadable_vote(finished=finished and said is not None)

    def read_completion(self, completion: Completion, comparison: Comparison) -> Vote:
        """The likely tokens in the first place decide, whichever was drawn; what is not among them has no probability.

        Scores are shares of what the two names have together, probabilities are what each has.
        """
        vote = super().read_completion(completion, comparison)
        top = completion.logprobs[0].top if completion.logprobs else ()
        masses = tuple(sum(math.exp(logprob) for token, logprob in top if token == name) for name in NAMES)
        if vote.status is Status.REFUSED or not sum(masses):
            return vote
        scores = tuple(mass / sum(masses) for mass in masses)
        winner = None if scores[0] == scores[1] else scores.index(max(scores))
        return replace(
            vote,
            status=Status.OK,
            winner=winner,
            scores=scores,
            probabilities=masses,
            missing_mass=max(0.0, 1 - sum(masses)),
            error=None,
        )


JUDGE = AlpacaEvalJudge
