"""Endogenous reward: the reward under which a language model is an optimal policy, computed from its logits.

Method: "Generalist Reward Models: Found Inside Large Language Models" (EndoRM, arXiv 2506.23235).

    (await EndogenousReward(engine=engine)(comparison)).scores          # summed over the response, in units of alpha

Derivation. With V(s) = alpha log sum_b exp(Q(s, b) / alpha), training on next tokens maximizes the mean of
Q(s, a) - V(s), the objective of offline inverse reinforcement learning. Its solution is Q = alpha * logits, and the
policy softmax(Q / alpha) is the model. Inverting the soft Bellman equation gives the reward of token a_h in state s_h:

    r_h = Q(s_h, a_h) - V(s_{h+1}) = alpha (log p(a_h | s_h) + v_h - v_{h+1}),     v = logsumexp(logits)

so the sum over a response telescopes to alpha (log p(y | x) + v_1 - v_end), and alpha is only a unit.

The value at the end of a response is a choice. `end_state="zero"` sets v_end = 0, because a finished episode has no
future reward; v_1 is the same for all responses to a prompt, so the sum then ranks exactly as `forward` with
reduce="sum", with its preference for short responses. `end_state="value"` subtracts the model's v_end, after the last
scored token. With reduce="mean" the sum is divided by the number of tokens: v_1 is then divided too, so the ranking
differs from `forward` with reduce="mean".

The reward of single tokens is not identified: adding any number c(s) to all logits of a state changes no probability of
the model, but changes r_h by c(s_h) - c(s_{h+1}). In the sum, only the c of the first and of the last state
remain. So the rewards of single tokens depend on an arbitrary offset of the logits, and the vote has the sum only.

Prompt and response are tokenized separately, and the response follows the template's header of an assistant turn. The
end token is scored only with `end`. This reward is blind to what `forward` is blind to. It needs logits, so a local
engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from fathom.data.records import Comparison
from fathom.engines import Capability, Likelihood, LikelihoodRequest
from fathom.errors import FathomError
from fathom.rewards import conversation
from fathom.rewards._likelihood import LikelihoodReward, Reduce

EndState = Literal["zero", "value"]


@dataclass(frozen=True, kw_only=True)
class EndogenousReward(LikelihoodReward):
    """Scores the sum, or the mean per token, of the rewards of tokens."""

    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    end_state: EndState = "zero"
    reduce: Reduce = "sum"
    end: bool = False

    @property
    def needs(self) -> frozenset[Capability]:
        return super().needs | {"soft_values"}

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        (response,) = comparison.responses
        return (LikelihoodRequest(conversation(comparison), response, end=self.end, soft_values=1.0),)

    def score(self, readings: Sequence[Likelihood]) -> float:
        rewards = token_rewards(readings[0], alpha=self.alpha, end_state=self.end_state)
        return sum(rewards) / (len(rewards) if self.reduce == "mean" else 1)


def token_rewards(likelihood: Likelihood, *, alpha: float = 1.0, end_state: EndState = "zero") -> tuple[float, ...]:
    """The reward of each token. Their sum is alpha (log p + v_1 - v_end), up to rounding.

    `likelihood` was requested with soft_values=1.0, so it has v at the states before and after each token. Raises
    FathomError without them.
    """
    if likelihood.soft_values is None:
        raise FathomError("the likelihood has no soft values; request it with soft_values=1.0, from a local engine")
    values = list(likelihood.soft_values)
    if end_state == "zero":
        values[-1] = 0.0
    return tuple(
        alpha * (logprob + before - after)
        for logprob, (before, after) in zip(likelihood.logprobs, pairwise(values), strict=True)
    )


JUDGE = EndogenousReward
