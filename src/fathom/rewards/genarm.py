"""GenARM: a language model whose log-probabilities were trained to be rewards of tokens, and their sum of a response.

Method: "GenARM" (arXiv 2410.08193; github.com/Yuancheng-Xu/GenARM).

    r(x, y) = sum_t log p_r(y_t | x, y_<t)

`fathom.train.genarm` trains such a model on pairs, and this reward scores with it: give the trained checkpoint as
`--model`. `fathom.engines.guiding` guides the decoding of another model by the same checkpoint. The rewards of tokens
are `Likelihood.logprobs` of the reading, also for an unfinished response. The score is that of `forward` with
reduce="sum" and end=True, whatever the model was trained for.

Prompt and response are tokenized apart, with what the chat template writes before an assistant turn between them. The
loss sees sums alone, so how a sum is divided among tokens is the model's choice. The sum falls with every token, a bias
which training on pairs of unlike lengths can correct or strengthen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fathom.data.records import Comparison
from fathom.engines import Likelihood, LikelihoodRequest
from fathom.rewards import conversation
from fathom.rewards._likelihood import LikelihoodReward


@dataclass(frozen=True, kw_only=True)
class GenARMReward(LikelihoodReward):
    """Scores log p_r(y | x). `end`: whether the end of the turn is a token of the response, as in training."""

    end: bool = True

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        (response,) = comparison.responses
        return (LikelihoodRequest(conversation(comparison), response, end=self.end),)

    def score(self, readings: Sequence[Likelihood]) -> float:
        return readings[0].total


JUDGE = GenARMReward
