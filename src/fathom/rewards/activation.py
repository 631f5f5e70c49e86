"""Activation reward: how far a response moves a frozen language model's hidden state along a given direction.

    fathom train activation pairs.jsonl --model smollm2 --out direction.json         # 16 to 80 pairs are enough
    fathom judge test.jsonl --judge activation --judge-option direction=direction.json --model smollm2

    r(x, y) = <direction, state of y after one layer>

Idea: "Activation Reward Models" (arXiv 2507.01368), of which we know the abstract and secondary descriptions: a few
labelled preferences select activations of a frozen model that carry a criterion. The paper adds mean activations of
attention heads to the model, and reads its verdict on a written prompt. Here the residual stream of the plain
conversation is projected on a direction instead, so one forward pass gives the reward, and no verdict is written.
`fathom.train.activation` fits the direction.

It belongs to one model: with other weights, a direction is noise, and is refused. It measures whatever separates the
pairs that it was fitted to, also their lengths. Scores of different prompts have no common zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fathom.data.records import Comparison
from fathom.engines import Answer, AnyRequest, Capability, States, StatesRequest
from fathom.errors import FathomError
from fathom.judges import Arity, EngineRewardModel, Vote, without_text
from fathom.rationale import Status
from fathom.rewards import conversation

Method = Literal["difference", "logistic", "annotators"]
Pool = Literal["last", "mean"]


class Direction(BaseModel):
    """A direction in the hidden states of one model, as `fathom train activation` writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    """The model's name, for people."""
    weights: str
    """The fingerprint of the model's weights (`fathom.engines.checkpoints.fingerprint`)."""
    layer: int = Field(ge=0)
    """The layer after which states are read; 0 is the embedding."""
    pool: Pool
    """The state of the response's last token, or the mean over its tokens."""
    method: Method
    pairs: int
    """The number of pairs that it was fitted to."""
    vector: tuple[float, ...] = Field(min_length=1)
    """One number per dimension of the states, with length 1."""

    def score(self, state: Sequence[float]) -> float:
        """The projection of a state. Raises FathomError for a state of another width."""
        if len(state) != len(self.vector):
            raise FathomError(
                f"the direction has {len(self.vector)} dimensions, the model's states have {len(state)}; give the "
                f"model that it was fitted to: {self.model}"
            )
        return sum(a * b for a, b in zip(self.vector, state, strict=True))


def read_direction(path: Path) -> Direction:
    """The direction in a file. Raises FathomError for a file that does not exist or holds none."""
    try:
        return Direction.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FathomError(f"direction={path}: {error.strerror}; give a file of fathom train activation") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise FathomError(
            f"direction={path}: {where}: {problem['msg']}; give a file of fathom train activation"
        ) from None


@dataclass(frozen=True, kw_only=True)
class ActivationReward(EngineRewardModel):
    """Scores each response alone. `direction`: a file of `fathom train activation`.

    A response that is empty, white space or longer than the context gives a vote without a score.
    """

    arity: ClassVar[Arity] = "pointwise"
    direction: Path | None = None

    def __post_init__(self) -> None:
        if self.direction is not None:
            _ = self.loaded  # a missing file must not be found only after the model is loaded

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"hidden_states"})

    @cached_property
    def loaded(self) -> Direction:
        if self.direction is None:
            raise FathomError(
                "the judge 'activation' needs a direction; fit one with fathom train activation, and give "
                "--judge-option direction=FILE"
            )
        return read_direction(self.direction)

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        """The states of the only response. Raises FathomError for an engine with other weights than the direction's."""
        found = self.loaded
        if self.engine is not None and found.weights not in self.engine.identity:
            raise FathomError(
                f"direction={self.direction} was fitted to {found.model} with the weights {found.weights}; the engine "
                f"is {self.engine.identity}. Give that model, or fit a direction to this one"
            )
        (response,) = comparison.responses
        return (StatesRequest(conversation(comparison), response, (found.layer,), found.pool),)

    def decided(self, comparison: Comparison) -> Vote | None:
        return without_text(*comparison.responses)

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        (result,) = answers
        if not isinstance(result, States):
            raise TypeError(f"{type(self).__name__} reads states; got {type(result).__name__}")
        score = self.loaded.score(result.vectors[0])
        return Vote(Status.OK, order=(0,), scores=(score,), usage=result.usage)


JUDGE = ActivationReward
