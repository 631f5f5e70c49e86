"""Pointwise mutual information of prompt and response: log p(y | x) - log p(y).

    (await PMIReward(engine=engine)(comparison)).scores                 # nats; with reduce="mean", nats per token

The prior p(y) is the model's probability of the response after an empty user turn, or, with `prior="begin"`, after the
begin token only, if the tokenizer has one. Both terms score the same tokens of the response, which is tokenized
separately from the prompt. It follows the template's header of an assistant turn, except in the second term of
`prior="begin"`. The end token is scored only with `end`, then in both terms.

It removes the prior probability of the response's words, which `forward` includes. It is blind to truth: a false answer
that repeats words of the prompt gains as much as a true one. The sum tends to grow with length; the mean prefers short
responses, whose tokens are all near the prompt. A response that repeats the prompt gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Literal

from fathom.data.records import Comparison
from fathom.engines import ChatMessage, Likelihood, LikelihoodRequest
from fathom.rewards import conversation
from fathom.rewards._likelihood import LikelihoodReward, Reduce, summary

NO_PROMPT: tuple[ChatMessage, ...] = ({"role": "user", "content": ""},)


@dataclass(frozen=True, kw_only=True)
class PMIReward(LikelihoodReward):
    """Scores log p(y | x) - log p(y), with one forward pass for each term."""

    reduce: Reduce = "sum"
    prior: Literal["empty_turn", "begin"] = "empty_turn"
    end: bool = False

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        (response,) = comparison.responses
        given = LikelihoodRequest(conversation(comparison), response, end=self.end)
        if self.prior == "begin":
            return given, LikelihoodRequest((), response, end=self.end, template="plain")
        return given, LikelihoodRequest(NO_PROMPT, response, end=self.end)

    def score(self, readings: Sequence[Likelihood]) -> float:
        given, alone = readings
        return information(given, alone, self.reduce)

    def describe(self, readings: Sequence[Likelihood], comparison: Comparison) -> str:
        given, alone = (summary(each, comparison.responses[0]) for each in readings)
        return f"given the prompt: {given}\nwithout it: {alone}"


def information(given: Likelihood, alone: Likelihood, reduce: Reduce) -> float:
    """The difference in nats, or in nats per token. NaN if the two score different tokens, which cannot be compared."""
    if given.tokens != alone.tokens:
        return nan
    difference = given.total - alone.total
    return difference if reduce == "sum" else difference / len(given.logprobs)


JUDGE = PMIReward
