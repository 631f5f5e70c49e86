"""Uncertainty heads: a small classifier of steps on what a frozen language model computes when it reads them.

    head = await fit(solutions, engine, layer=20)                        # fathom.train.uheads, on labelled steps
    Path("head.json").write_text(head.model_dump_json())
    fathom judge solutions.jsonl --judge uheads --judge-option head=head.json --model smollm2 --out verdicts.jsonl

Idea: UHeads (arXiv 2511.06209), which we know from descriptions. The features of a step are the hidden state at its
last token, the mean and the minimum of its tokens' log-probabilities, and the logarithm of their number. The head is a
logistic regression on standardized features. The paper's is a small transformer on all tokens of a step: on their
states, or on attention weights and the probabilities of the likeliest tokens.

    P(step is right) = logistic(<weights, (features - means) / scales> + bias)

A head belongs to one model. With other weights its scores mean nothing, so it is refused. Nothing is generated; a
solution of T steps takes T + 1 readings. Compare it with the last three features alone (`fit(..., states=False)`): a
head that is no better has learned lengths and log-probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import exp, isfinite, log
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fathom.data.records import Comparison
from fathom.data.steps import parts_of
from fathom.engines import Answer, AnyRequest, Capability, Likelihood, LikelihoodRequest, States, StatesRequest
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Arity, EngineRewardModel, Rule, Vote, scored_by_steps, without_text
from fathom.rationale import Status
from fathom.rewards import conversation
from fathom.rewards.implicit import token_steps
from fathom.settings import Splitter

STATISTICS = 3
"""The number of features that come from log-probabilities; they are the last ones."""


class Head(BaseModel):
    """A fitted head, as JSON in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    """The identity of the engine whose readings it was fitted to, with the fingerprint of the weights."""
    layer: int = Field(ge=0)
    """The layer after which states are read; 0 is the embedding."""
    weights: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    bias: float
    steps: int
    """The number of steps that it was fitted to."""

    def probability(self, features: Sequence[float]) -> float:
        """The probability that a step is right. Raises FathomError for another number of features."""
        if len(features) != len(self.weights):
            raise FathomError(
                f"the head has {len(self.weights)} features, the readings give {len(features)}; fit a head to the model"
            )
        units = ((x - mean) / scale for x, mean, scale in zip(features, self.means, self.scales, strict=True))
        score = self.bias + sum(weight * unit for weight, unit in zip(self.weights, units, strict=True))
        return 1 / (1 + exp(-score)) if score >= 0 else exp(score) / (1 + exp(score))


def read_head(path: Path) -> Head:
    """The head in a file. Raises FathomError for a file that does not exist or holds none."""
    try:
        return Head.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FathomError(f"head={path}: {error.strerror}; give a file with a head of fathom.train.uheads") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise FathomError(f"head={path}: {where}: {problem['msg']}; give a head of fathom.train.uheads") from None


@dataclass(frozen=True, kw_only=True)
class UncertaintyHeads(EngineRewardModel):
    """Scores the steps of each solution alone.

    An empty response and a response beyond the model's context give a vote without a score.
    """

    head: Path | None = None
    split: Splitter = "paragraphs"
    """How to split responses without steps."""
    arity: ClassVar[Arity] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    scores_steps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.head is not None:
            _ = self.loaded  # a missing file must not be found only after the model is loaded

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean", steps="min")

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"hidden_states", "likelihood"})

    @cached_property
    def loaded(self) -> Head:
        if self.head is None:
            raise FathomError(
                "the judge 'uheads' needs a head; fit one with fathom.train.uheads.fit, and give "
                "--judge-option head=FILE"
            )
        return read_head(self.head)

    def steps(self, comparison: Comparison) -> tuple[str, ...]:
        """The steps of a single response as parts of one text."""
        return parts_of(comparison, self.split)

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        """Raises FathomError for an engine with other weights than the head's."""
        head = self.loaded
        # An identity ends with the fingerprint of the weights; the folder before it may be spelled in several ways.
        if self.engine is not None and head.model.rpartition(":")[2] not in self.engine.identity:
            raise FathomError(
                f"head={self.head} was fitted to {head.model}; the engine is {self.engine.identity}. Give that model, "
                "or fit a head to this one"
            )
        return step_requests(comparison, self.steps(comparison), head.layer)

    def decided(self, comparison: Comparison) -> Vote | None:
        return without_text("".join(self.steps(comparison)))

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        usage = sum((each.usage for each in answers), Usage())
        try:
            features = step_features(answers, self.steps(comparison))
        except ValueError as error:
            return Vote(Status.INVALID, order=(0,), usage=usage, error=str(error))
        scores = tuple(map(self.loaded.probability, features))
        if not all(map(isfinite, scores)):
            return Vote(Status.INVALID, order=(0,), usage=usage, error=f"the scores are {list(scores)}")
        vote = Vote(Status.OK, order=(0,), step_scores=(scores,), usage=usage)
        return scored_by_steps(vote, self.rule.steps)


def step_requests(comparison: Comparison, steps: Sequence[str], layer: int) -> tuple[AnyRequest, ...]:
    """The state at the end of each step, and the log-probabilities of the whole solution."""
    messages = conversation(comparison)
    ends = [text.rstrip() for text in accumulate(steps)]
    states = (StatesRequest(messages, text, (layer,), "last") for text in ends)
    return (*states, LikelihoodRequest(messages, "".join(steps)))


def step_features(answers: Sequence[Answer], steps: Sequence[str]) -> list[list[float]]:
    """The features of each step, from the answers to `step_requests`. Raises ValueError if tokens cannot be aligned."""
    *states, likelihood = answers
    if not isinstance(likelihood, Likelihood) or not all(isinstance(each, States) for each in states):
        raise TypeError(f"expected states and a likelihood; got {[type(each).__name__ for each in answers]}")
    logprobs: list[list[float]] = [[] for _ in steps]
    for place, logprob in zip(token_steps(likelihood.tokens, steps), likelihood.logprobs, strict=True):
        logprobs[place].append(logprob)
    vectors = [each.vectors[0] for each in states if isinstance(each, States)]
    return [[*vector, *_statistics(found)] for vector, found in zip(vectors, logprobs, strict=True)]


def _statistics(logprobs: Sequence[float]) -> tuple[float, float, float]:
    # A step without a token of its own, such as an empty one, has the features of a token of probability 1.
    return (sum(logprobs) / len(logprobs), min(logprobs), log(len(logprobs))) if logprobs else (0.0, 0.0, 0.0)


JUDGE = UncertaintyHeads
