"""Backward likelihood: the log-probability of the real request when the model infers it from the response.

    (await BackwardReward(engine=engine)(comparison)).scores            # nats per token of the request

The graded form of `flip`, which samples one inferred request and counts shared words. Nothing is sampled here, so a
request that the model would have phrased differently still has a score. Backward inference is from arXiv 2602.13551;
the score by log-probability and the wording of the prompt are ours.

The prompt shows the response and the turns before the last user turn. That user turn, the request, is scored as the
model's answer: it is tokenized separately, and follows the template's header of an assistant turn. Its end token is
scored only with `end`. The scored tokens are the same for all responses to one prompt, so `reduce` changes the scale
but no ranking, and the score depends on the response's length only through the model.

It is blind to everything that the request does not mention: a false answer names the task as well as a true one. A
response that repeats its request gains most (`fathom probe --probe echo`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import Likelihood, LikelihoodRequest
from fathom.judges import Vote
from fathom.rewards import without_request
from fathom.rewards._likelihood import LikelihoodReward, Reduce, reduced, summary


@dataclass(frozen=True, kw_only=True)
class BackwardReward(LikelihoodReward):
    """Scores log p(x | y), where x is the last user turn."""

    reduce: Reduce = "mean"
    end: bool = False

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        (response,) = comparison.responses
        text = prompts.render("backward", context=comparison.context, response=response)
        return (LikelihoodRequest(({"role": "user", "content": text},), comparison.request, end=self.end),)

    def decided(self, comparison: Comparison) -> Vote | None:
        """A response or a request without text is invalid."""
        return super().decided(comparison) or without_request(comparison)

    def score(self, readings: Sequence[Likelihood]) -> float:
        return reduced(readings[0], self.reduce)

    def describe(self, readings: Sequence[Likelihood], comparison: Comparison) -> str:
        return f"of the request: {summary(readings[0], comparison.request)}"


JUDGE = BackwardReward
