"""Base class of rewards that score a response by log-probabilities of given texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from fathom.data.records import Comparison
from fathom.engines import Answer, Capability, Likelihood, LikelihoodRequest
from fathom.engines.usage import Usage
from fathom.judges import Arity, EngineRewardModel, Vote, without_text
from fathom.rationale import Status

Reduce = Literal["sum", "mean"]
"""sum: nats of the whole text. mean: nats per token."""


@dataclass(frozen=True, kw_only=True)
class LikelihoodReward(EngineRewardModel):
    """Scores each response alone. Subclasses define `requests` and `score`, and may describe the score in `describe`.

    A response that is empty or white space, or a score that is not finite, gives a vote with status `invalid`; a text
    longer than the model's context gives one with status `failed`.
    """

    arity: ClassVar[Arity] = "pointwise"

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"likelihood"})

    @abstractmethod
    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[LikelihoodRequest, ...]:
        """The texts whose log-probabilities the score needs."""

    @abstractmethod
    def score(self, readings: Sequence[Likelihood]) -> float:
        """The score, from the answers to `requests`."""

    def describe(self, readings: Sequence[Likelihood], comparison: Comparison) -> str:
        """The `text` of the vote: the measured values, in several units."""
        return summary(readings[0], comparison.responses[0])

    def decided(self, comparison: Comparison) -> Vote | None:
        return without_text(*comparison.responses)

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        readings = [each for each in answers if isinstance(each, Likelihood)]
        if len(readings) != len(answers):
            raise TypeError(f"{type(self).__name__} reads likelihoods; got {[type(each).__name__ for each in answers]}")
        usage, order = sum((each.usage for each in readings), Usage()), (0,)
        if not all(each.logprobs for each in readings):
            return Vote(Status.INVALID, order=order, usage=usage, error="a text to score has no tokens")
        score, text = self.score(readings), self.describe(readings, comparison)
        return Vote(Status.OK, scores=(score,), order=order, usage=usage, text=text)


def reduced(likelihood: Likelihood, reduce: Reduce) -> float:
    return likelihood.total if reduce == "sum" else likelihood.mean


def summary(likelihood: Likelihood, text: str) -> str:
    """Log-probability in nats, in nats per token and as code length in bits per byte of UTF-8, in one line.

    Only bits per byte can be compared between tokenizers. A scored end token counts in all three.
    """
    return (
        f"log p {likelihood.total:.3f} nats, {likelihood.mean:.4f} nats a token ({len(likelihood.logprobs)} tokens), "
        f"{likelihood.bits_per_byte(text):.4f} bits a byte"
    )
