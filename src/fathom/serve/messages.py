"""The request and response bodies of Fathom's own protocol, shared by the server and the client.

A score that could not be computed is null, with a status and an error that says why. Numbers are finite.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fathom.data.records import Comparison, Content
from fathom.data.records import Message as PromptMessage
from fathom.engines.usage import Usage
from fathom.rationale import Status
from fathom.serve.identity import RewardIdentity
from fathom.serve.service import Rewarded, Sample

LONGEST = 100_000
"""Hard limit on the length of lists in a body, before the settings' own limits are checked."""


class Body(BaseModel):
    """The body of a request. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


Prompt = Annotated[str, Field(min_length=1)] | Annotated[list[PromptMessage], Field(min_length=1, max_length=LONGEST)]
"""A text, or a conversation of messages with `role` and `content`."""
Id = str | int | None


class Item(Body):
    """A prompt with its responses."""

    id: Id = None
    """Returned unchanged. It does not affect the judgment, except as the seed of random orders."""
    prompt: Prompt
    responses: list[Content] = Field(min_length=1, max_length=LONGEST)
    reference: str | None = None
    """A reference answer, for judges that use one."""
    steps: list[list[str]] | None = Field(default=None, max_length=LONGEST)
    """The steps of each response, for judges that score steps."""
    step_types: list[list[str | None]] | None = Field(default=None, max_length=LONGEST)
    """The type of each of these steps, such as `retrieval` or `reasoning`; null for one whose type is unknown."""

    def comparison(self) -> Comparison:
        """The comparison to judge. Raises ValidationError if steps or their types do not fit the responses."""
        return Comparison.model_validate(self.model_dump(exclude_none=True))


class ComparisonsBody(Body):
    comparisons: list[Item] = Field(max_length=LONGEST)
    reward: str | None = None
    """Pin: the `id` of the reward that is expected. Another one is refused with status 409."""
    texts: bool = False
    """Whether to return the texts of the votes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"comparisons": [{"id": "1", "prompt": "What is 2 + 2?", "responses": ["4", "5"]}]}]
        }
    )


class SampleBody(Body):
    """One response of a policy."""

    id: Id = None
    prompt: Prompt
    response: Content
    reference: str | None = None
    """A reference answer, for judges that use one."""
    baseline: str | None = None
    """A response to compare with, for judges of pairs and lists. The reward is then the share of the votes that prefer
    `response` to it."""
    group: str | None = None
    """The name of a group of responses that are judged together. Default: all responses to the same prompt."""
    steps: list[str] | None = Field(default=None, min_length=1, max_length=LONGEST)
    """The steps of the response, for judges that score steps. Together they must be the response, up to white space.
    Default: the judge splits the response."""
    step_types: list[str | None] | None = Field(default=None, max_length=LONGEST)
    """The type of each of these steps, such as `retrieval` or `reasoning`; null for one whose type is unknown."""

    @model_validator(mode="after")
    def _steps_are_the_response(self) -> Self:
        if self.steps is not None and _dense("".join(self.steps)) != _dense(self.response):
            raise ValueError("steps: together they are not the response; expected its parts, in order")
        return self

    @model_validator(mode="after")
    def _one_type_each(self) -> Self:
        given, steps = len(self.step_types or ()), len(self.steps or ())
        if self.step_types is not None and given != steps:
            raise ValueError(f"step_types: got {given} types of {steps} steps; expected one for each step")
        return self

    def sample(self) -> Sample:
        prompt = self.prompt if isinstance(self.prompt, str) else tuple(self.prompt)
        steps = None if self.steps is None else tuple(self.steps)
        types = None if self.step_types is None else tuple(self.step_types)
        return Sample(prompt, self.response, self.reference, self.baseline, self.group, steps, types)


def _dense(text: str) -> str:
    return "".join(text.split())


class RewardsBody(Body):
    samples: list[SampleBody] = Field(max_length=LONGEST)
    group_size: int | None = Field(default=None, ge=1)
    """The number of responses of a group, over all requests. The group is judged when it is complete."""
    reward: str | None = None
    """Pin: the `id` of the reward that is expected. Another one is refused with status 409."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "samples": [
                        {"id": "1", "prompt": "What is 2 + 2?", "response": "4"},
                        {"id": "2", "prompt": "What is 2 + 2?", "response": "5"},
                    ]
                },
                {
                    "samples": [
                        {
                            "prompt": "What is 2 * (2 + 2)?",
                            "response": "2 + 2 = 4\n\n2 * 4 = 8",
                            "steps": ["2 + 2 = 4\n\n", "2 * 4 = 8"],
                        }
                    ]
                },
            ]
        }
    )


class Answer(BaseModel):
    """Base of the response bodies and their parts."""

    model_config = ConfigDict(allow_inf_nan=False)


class Tokens(Answer):
    prompt: int
    completion: int
    unknown_calls: int = 0

    @classmethod
    def of(cls, usage: Usage) -> Self:
        return cls(prompt=usage.prompt_tokens, completion=usage.completion_tokens, unknown_calls=usage.unknown_calls)


class VoteAnswer(Answer):
    status: Status
    winner: int | None
    scores: list[float] | None
    order: list[int]
    text: str
    rationale: str | None
    error: str | None


class Answered(Answer):
    """Fields that every entry of an answer has."""

    id: Id
    status: Status
    error: str | None
    votes: int
    """The number of votes."""
    votes_read: int
    """The number of votes that could be parsed."""
    cached: bool
    """Whether no call was made: all completions were in the journal."""
    tokens: Tokens


class Judgment(Answered):
    """The verdict on one comparison."""

    winner: int | None
    """The index of the best response; null for a tie, and without a verdict."""
    scores: list[float] | None
    agreement: float | None
    """The share of the votes that agree with the verdict."""
    texts: list[VoteAnswer] | None = None


class RankingAnswer(Answered):
    """The ranking of the responses of one comparison."""

    winner: int | None
    order: list[list[int]]
    """The indices of the responses, best first; those with equal scores together."""
    scores: list[float | None]


class RewardAnswer(Answered):
    """The reward of one response."""

    reward: float | None
    """Null if the response could not be scored."""
    step_rewards: list[float | None] | None = None
    """The score of each step, from a judge that scores steps; null for a step that was not judged."""
    group: int
    """How many responses were judged together."""
    partial: bool
    """Whether the group was judged before it was complete."""

    @classmethod
    def of(cls, id: Id, made: Rewarded) -> Self:
        """The answer for a sample with this id."""
        reward = made.reward
        return cls(
            id=id,
            status=reward.status,
            error=reward.error,
            votes=reward.votes,
            votes_read=reward.votes_read,
            tokens=Tokens.of(reward.usage),
            cached=made.cached,
            reward=reward.value,
            step_rewards=None if reward.steps is None else list(reward.steps),
            group=made.size,
            partial=made.partial,
        )


class JudgmentsAnswer(Answer):
    reward: RewardIdentity
    judgments: list[Judgment]


class RankingsAnswer(Answer):
    reward: RewardIdentity
    rankings: list[RankingAnswer]


class RewardsAnswer(Answer):
    reward: RewardIdentity
    rewards: list[RewardAnswer]


class Model(Answer):
    id: str
    object: str = "model"
    owned_by: str = "fathom"
    root: str | None


class ModelsAnswer(Answer):
    object: str = "list"
    data: list[Model]
    reward: RewardIdentity
