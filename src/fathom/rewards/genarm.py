"""GenARM: the sum of a language model's log-probabilities, which were trained to be rewards of tokens.

Method: "GenARM" (arXiv 2410.08193; github.com/Yuancheng-Xu/GenARM).

    r(x, y) = sum_t log p_r(y_t | x, y_<t)

`fathom.train.genarm` trains such a model on pairs, and this reward scores with it: give the trained checkpoint as
`--model`. `fathom.engines.guiding` guides the decoding of another model by the same checkpoint. The rewards of tokens
are the `Likelihood.logprobs` of the response, also of an unfinished one. The score is that of `forward` with
reduce="sum" and end=True; only the training differs.

Prompt and response are tokenized separately, and the response follows the template's header of an assistant turn. The
loss depends on sums only, so it does not determine the rewards of single tokens. The sum falls with every token;
training on pairs of different lengths can reduce or increase this bias.
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
    """Scores log p_r(y | x). `end`: whether the tokenizer's end token is scored too, as in training."""

    end: bool = True

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        (response,) = comparison.responses
        return (LikelihoodRequest(conversation(comparison), response, end=self.end),)

    def score(self, readings: Sequence[Likelihood]) -> float:
        return readings[0].total


JUDGE = GenARMReward
