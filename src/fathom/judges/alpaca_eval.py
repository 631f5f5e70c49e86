"""AlpacaEval 2's weighted preference: the probability of `M` over `m` at the first token.

Rule: AlpacaEval (arXiv 2404.04475), weighted_alpaca_eval_gpt4_turbo of its repository.

    vote = AlpacaEvalJudge().read_completion(completion, comparison)
    vote.scores                                                                      # (0.04, 0.96): m, M

AlpacaEval's preference is 1 plus the second score. The judge needs log-probabilities, which `fathom judge` requests
because its rule aggregates probabilities. Without them a vote only names a winner.
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
"""Names of the two outputs, in the order shown."""


@dataclass(frozen=True, kw_only=True)
class AlpacaEvalJudge(TemplatedJudge):
    """Judges pairs by the probabilities of a single token."""

    choices: ClassVar[Choices] = {"m": 0, "M": 1}

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="probability")

    @property
    def template_name(self) -> str:
        return "alpaca_eval/weighted"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The whole text must be the name of an output.

        A name counts even if `finished` is False, because the one-token limit truncates almost every completion.
        """
        answer = visible_text(text)
        if answer in NAMES:
            return choice_vote(NAMES.index(answer))
        return Vote(Status.INVALID) if answer else unreadable_vote(finished=finished and answer is not None)

    def read_completion(self, completion: Completion, comparison: Comparison) -> Vote:
        """The top tokens at the first position decide, whichever token was sampled.

        `probabilities` are the masses of the two names, 0 for a name outside the top tokens; `scores` are the masses
        normalized to sum to 1.
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
            residual_probability=max(0.0, 1 - sum(masses)),
            error=None,
        )


JUDGE = AlpacaEvalJudge
