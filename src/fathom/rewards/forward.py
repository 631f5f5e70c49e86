"""Forward likelihood: the log-probability of the response, given the prompt, under the model. Needs no training.

    verdict = await ForwardReward(engine=engine)(comparison)
    verdict.scores                          # nats per token; with reduce="sum", nats
    verdict.votes[0].per_response[0].text   # "log p -41.2 nats, -1.03 nats a token (40 tokens), 0.33 bits a byte"

Prompt and response are tokenized separately. The response follows the template's header of an assistant turn
(`template="plain"`: no header). The end token is scored only with `end`.

It is blind to truth and usefulness: it prefers what the model itself would write. The sum falls with every token, so it
prefers short responses; the mean prefers long, predictable and repetitive ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fathom.data.records import Comparison
from fathom.engines import Likelihood, LikelihoodRequest
from fathom.rewards import conversation
from fathom.rewards._likelihood import LikelihoodReward, Reduce, reduced


@dataclass(frozen=True, kw_only=True)
class ForwardReward(LikelihoodReward):
    """Scores log p(y | x). `end`: whether the tokenizer's end token is scored too."""

    reduce: Reduce = "mean"
    end: bool = False
    template: Literal["chat", "plain"] = "chat"

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        (response,) = comparison.responses
        return (LikelihoodRequest(conversation(comparison), response, end=self.end, template=self.template),)

    def score(self, readings: Sequence[Likelihood]) -> float:
        return reduced(readings[0], self.reduce)


JUDGE = ForwardReward
