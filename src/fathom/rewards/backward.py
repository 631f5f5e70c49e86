"""Backward likelihood: the log-probability of the real request when the model infers it from the response.

    (await BackwardReward(engine=engine)(comparison)).scores            # nats per token of the request

The graded form of `flip`, which samples one inferred request and counts shared words: here nothing is sampled, so a
request that the model would have put in other words is not lost. Source of backward inference: arXiv 2602.13551; the
score by log-probability and the wording of the prompt are ours.

The prompt shows the response and the turns before the last user turn; that turn is scored as the model's answer. The
two are tokenized apart; before the request stands what the chat template writes before an assistant turn. The end of
the turn is scored only with `end`. All responses to one prompt are scored by the same tokens, so `reduce` changes the
scale and no ranking, and length of the response enters only through the model.

It is blind to everything that the request does not mention: a false answer names the task as well as a true one. A
response that repeats its request gains most (`fathom probe --probe echo`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import Likelihood, LikelihoodRequest
from fathom.errors import FathomError
from fathom.rewards._likelihood import LikelihoodReward, Reduce, reduced, summary


@dataclass(frozen=True, kw_only=True)
class BackwardReward(LikelihoodReward):
    """Scores log p(x | y), where x is the last user turn."""

    reduce: Reduce = "mean"
    end: bool = False

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        """Raises FathomError for a conversation without a user turn."""
        if not comparison.request.strip():
            raise FathomError(f"comparison {comparison.id!r} has no user turn with text, so there is none to infer")
        (response,) = comparison.responses
        text = prompts.render("backward", context=comparison.context, response=response)
        return (LikelihoodRequest(({"role": "user", "content": text},), comparison.request, end=self.end),)

    def score(self, readings: Sequence[Likelihood]) -> float:
        return reduced(readings[0], self.reduce)

    def describe(self, readings: Sequence[Likelihood], comparison: Comparison) -> str:
        return f"of the request: {summary(readings[0], comparison.request)}"


JUDGE = BackwardReward
