"""Dimension-level reward: the confidence, relevance and coherence of a response's reasoning, as a weighted mean.

    fathom judge responses.jsonl --judge drm --model ./policy --judge-option reranker=./reranker \\
        --judge-option reward_model=./reward-model --out verdicts.jsonl

Method: "From <Answer> to <Think>" (arXiv 2510.11457), known from its abstract and from reviews; its code is not
released. A response has reasoning R and an answer A. Three models that were trained for something else score it:

    confidence = exp(mean log p(R tokens) + sum log p(A tokens))       by the policy; the paper takes its logarithm
    relevance  = (s(reranker(question, R)) + s(reranker(R, A))) / 2    by a classifier of pairs of texts
    coherence  = s(reward_model(question, R))                          by a scalar reward model

    score = weighted mean of the three, with the weights `confidence`, `relevance` and `coherence`

where s is the logistic function. The paper finds weights by a grid search, which we do not know: the shipped ones are
equal, and s and exp, which bring the three to one scale, are ours. Choose weights on labelled responses of your own. A
dimension with the weight 0 is not computed.

The reasoning is the text up to `</think>`, or else all steps but the last one, which is the answer. A response without
one of them is invalid. Confidence is the policy's own opinion: a model that is sure of its errors scores them high, and
a long answer is improbable. No dimension checks whether a step is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, fsum
from typing import Annotated, ClassVar

from pydantic import Field

from fathom.data.records import Comparison
from fathom.data.steps import joined, split, thought_and_answer
from fathom.engines import (
    Answer,
    AnyRequest,
    Capability,
    Classification,
    ClassifyRequest,
    Engine,
    Likelihood,
    LikelihoodRequest,
)
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Arity, EngineRewardModel, Vote, bounded_gather
from fathom.rationale import Status
from fathom.rewards import conversation
from fathom.rewards._beside import opened_beside
from fathom.rewards.implicit import token_steps
from fathom.settings import Splitter

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class DimensionReward(EngineRewardModel):
    """Scores each response alone, from 0 to 1. Raises FathomError if all weights are 0, or if a model is missing."""

    reranker: str = ""
    """A sequence classifier with one output for two texts: a folder, or a name of a model hub."""
    reward_model: str = ""
    """A sequence classifier with one output for a prompt and a response."""
    confidence: Weight = 1.0
    relevance: Weight = 1.0
    coherence: Weight = 1.0
    split: Splitter = "paragraphs"
    """How to split responses without steps and without a thought."""
    arity: ClassVar[Arity] = "pointwise"

    def __post_init__(self) -> None:
        if not any(self.weights.values()):
            raise FathomError(
                "the judge 'drm' has the weight 0 for all dimensions; expected one of confidence, relevance and "
                "coherence above 0"
            )

    @property
    def weights(self) -> dict[str, float]:
        return {"confidence": self.confidence, "relevance": self.relevance, "coherence": self.coherence}

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"likelihood"})

    @cached_property
    def reranker_engine(self) -> Engine:
        return self._opened("reranker", self.reranker, "relevance")

    @cached_property
    def reward_engine(self) -> Engine:
        return self._opened("reward_model", self.reward_model, "coherence")

    def _opened(self, option: str, model: str, dimension: str) -> Engine:
        if not model:
            raise FathomError(
                f"the judge 'drm' measures {dimension} by another model; give --judge-option {option}=MODEL, or leave "
                f"the dimension out by --judge-option {dimension}=0"
            )
        return opened_beside(self.engine, model)

    # The text ---------------------------------------------------------------------------------------------------------

    def parts(self, comparison: Comparison) -> tuple[str, str]:
        """The reasoning and the answer of a single response, which concatenate to the text that is read."""
        response = comparison.responses[0]
        thought, answer = thought_and_answer(response)
        if thought:
            return thought, answer
        given = comparison.steps
        steps = split(response, self.split) if given is None else joined(given[0], response)
        return "".join(steps[:-1]), "".join(steps[-1:])

    def decided(self, comparison: Comparison) -> Vote | None:
        if all(part.strip() for part in self.parts(comparison)):
            return None
        error = "the response has no reasoning apart from an answer, so it has no score"
        return Vote(Status.INVALID, error=error)

    # The readings -----------------------------------------------------------------------------------------------------

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        """The reading of the policy."""
        return (
            (LikelihoodRequest(conversation(comparison), "".join(self.parts(comparison))),) if self.confidence else ()
        )

    def classifications(self, comparison: Comparison) -> list[tuple[Engine, ClassifyRequest]]:
        """The readings of the other models: two of the reranker, then one of the reward model."""
        reasoning, answer = (part.strip() for part in self.parts(comparison))
        question = conversation(comparison)
        asked: list[tuple[Engine, ClassifyRequest]] = []
        if self.relevance:
            about: tuple[ClassifyRequest, ...] = (
                ClassifyRequest(question, reasoning),
                ClassifyRequest(({"role": "user", "content": reasoning},), answer),
            )
            asked += [(self.reranker_engine, request) for request in about]
        if self.coherence:
            asked.append((self.reward_engine, ClassifyRequest(question, reasoning)))
        return asked

    async def more_answers(self, answers: Sequence[Answer], comparison: Comparison) -> tuple[Answer, ...]:
        async def read(asked: tuple[Engine, ClassifyRequest]) -> Answer:
            return await asked[0].classify(asked[1])

        return tuple(await bounded_gather(read, self.classifications(comparison)))

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        """The vote, whose text lists the dimensions. Raises FathomError for a classifier with several outputs."""
        usage = sum((each.usage for each in answers), Usage())
        values = [squashed(each) for each in answers if isinstance(each, Classification)]
        found: dict[str, float] = {}
        try:
            if self.confidence:
                found["confidence"] = confidence(answers[0], *self.parts(comparison))
        except ValueError as error:
            return Vote(Status.INVALID, usage=usage, error=str(error))
        if self.relevance:
            found["relevance"] = (values[0] + values[1]) / 2
        if self.coherence:
            found["coherence"] = values[-1]
        text = "; ".join(f"{name} {value:.4f}" for name, value in found.items())
        score = weighted(found, self.weights)
        return Vote(Status.OK, order=(0,), scores=(score,), usage=usage, text=text)


def confidence(reading: Answer, reasoning: str, answer: str) -> float:
    """exp(mean log-probability of the reasoning's tokens + sum of those of the answer's), 0 to 1.

    Raises ValueError if the tokens do not spell the text, or if one part has no token of its own, and TypeError for
    another reading than a likelihood.
    """
    if not isinstance(reading, Likelihood):
        raise TypeError(f"confidence is computed from a likelihood; got {type(reading).__name__}")
    places = token_steps(reading.tokens, (reasoning, answer))
    parts: tuple[list[float], list[float]] = ([], [])
    for place, logprob in zip(places, reading.logprobs, strict=True):
        parts[place].append(logprob)
    if not all(parts):
        raise ValueError("the reasoning and the answer each need a token of their own, and one of them has none")
    return exp(fsum(parts[0]) / len(parts[0]) + fsum(parts[1]))


def squashed(reading: Classification) -> float:
    """The logistic function of a classifier's only output. Raises FathomError for several outputs."""
    if len(reading.logits) != 1:
        raise FathomError(
            f"the judge 'drm' got {len(reading.logits)} outputs of a classifier; expected a model with one output; "
            "name others with --judge-option reranker=MODEL and reward_model=MODEL"
        )
    (value,) = reading.logits
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))


def weighted(values: dict[str, float], weights: dict[str, float]) -> float:
    """The mean of the dimensions by their weights. A dimension without a value does not count."""
    return fsum(weights[name] * value for name, value in values.items()) / fsum(weights[name] for name in values)


JUDGE = DimensionReward
