"""Comparisons: a prompt, its responses and, if known, a label that says which response is better.

    >>> Comparison(id="1", prompt="2 + 2?", responses=("4", "5"), label=Label(best=0)).label.winner
    0

`fathom.data.reading` reads them from files of any layout. Labels are for training and metrics only: no judge puts them
into a prompt.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)

Domain = Literal["preference", "correctness"]


class Record(BaseModel):
    """Base of all records: frozen, rejects unknown keys. JSON holds bytes (in metadata) as base64."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64")


class TextPart(Record):
    type: Literal["text"] = "text"
    text: str


class ImagePart(Record):
    type: Literal["image"] = "image"
    image: str | bytes
    """An address, a path, or the image itself."""


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]
_PARTS: TypeAdapter[tuple[TextPart | ImagePart, ...]] = TypeAdapter(tuple[Part, ...])


def _text_of(content: Any) -> Any:
    """The text of parts. Raises ValueError for an image, because judges are asked with text."""
    if not isinstance(content, list | tuple):
        return content
    parts = _PARTS.validate_python(content)
    if any(isinstance(part, ImagePart) for part in parts):
        raise ValueError("got an image, which Fathom cannot show to a judge yet; expected text")
    return "\n\n".join(part.text for part in parts if isinstance(part, TextPart))


Content = Annotated[str, BeforeValidator(_text_of)]
"""A text, given as text or as parts: `[{"type": "text", "text": "..."}]`. Images are refused."""


class Message(Record):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content


class Label(Record):
    """Which response is better, in one of four ways: `best` (an index), `ranking` (indices, best first), `scores` or
    `steps`."""

    best: int | None = Field(default=None, ge=0, strict=True)
    ranking: tuple[int, ...] | None = Field(default=None, min_length=1)
    scores: tuple[FiniteFloat, ...] | None = Field(default=None, min_length=1)

    steps: tuple[tuple[FiniteFloat | None, ...], ...] | None = Field(default=None, min_length=1)
    """For each response, the label of each step, 0 (wrong) to 1 (right); None for a step without a label."""

    @model_validator(mode="after")
    def _has_one_form(self) -> Label:
        given = [name for name in ("best", "ranking", "scores", "steps") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of best, ranking, scores, steps; got {', '.join(given) or 'none'}")
        if self.ranking is not None and sorted(self.ranking) != list(range(len(self.ranking))):
            raise ValueError(f"ranking: expected every index from 0 exactly once, got {list(self.ranking)}")
        return self

    @property
    def winner(self) -> int | None:
        """Index of the best response; None if several responses share the best score."""
        if self.ranking is not None:
            return self.ranking[0]
        if (scores := self.response_scores) is not None:
            best = max(scores)
            return scores.index(best) if scores.count(best) == 1 else None
        return self.best

    @property
    def response_scores(self) -> tuple[float, ...] | None:
        """`scores`; with step labels, the lowest of each response, because a solution is as right as its worst step."""
        if self.steps is None:
            return self.scores
        labelled = [[step for step in steps if step is not None] for steps in self.steps]
        return tuple(map(min, labelled)) if all(labelled) else None

    def check_fits(self, n: int) -> None:
        """Raise ValueError if this cannot be a label of n responses. n = 0 means that the number is unknown."""
        named = self.ranking or self.scores or self.steps
        if n and named is not None and len(named) != n:
            raise ValueError(f"labels {len(named)} responses, expected {n}")
        if n and self.best is not None and self.best >= n:
            raise ValueError(f"got best {self.best}, expected 0 to {n - 1}")

    def permuted(self, order: Sequence[int]) -> Label:
        """The same label for permuted responses: `order[k]` is the current index of the response at position k."""
        if self.ranking is not None:
            return Label(ranking=tuple(order.index(i) for i in self.ranking))
        if self.scores is not None:
            return Label(scores=tuple(self.scores[i] for i in order))
        if self.steps is not None:
            return Label(steps=tuple(self.steps[i] for i in order))
        assert self.best is not None
        return Label(best=order.index(self.best))


class Comparison(Record):
    """One prompt and n >= 1 responses to it.

    The default `id` is a hash of the content. An integer as `label` is the index of the best response.
    """

    id: str = ""
    prompt: str | tuple[Message, ...]
    responses: tuple[Content, ...] = Field(min_length=1)
    steps: tuple[tuple[str, ...], ...] | None = None
    """For each response, the steps that it consists of."""
    step_types: tuple[tuple[str | None, ...], ...] | None = None
    """For each response, the type of each step, such as `perception`, `retrieval` or `reasoning`; None if unknown."""
    label: Label | None = None
    reference: str | None = None
    """A reference answer, shown to judges that use one."""
    domain: Domain | None = None
    source_order: tuple[int, ...] | None = None
    """The source's order: `source_order[k]` is the position of response k in the source (0 is `chosen`)."""
    annotations: Mapping[str, Label] | None = None
    """The label of each annotator, by name; `label` aggregates them. A tie is two equal scores."""
    metadata: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _with_id(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        id = given.get("id")
        if id is None:
            content = [given.get(name) for name in ("prompt", "responses", "reference")]
            return {**given, "id": hashlib.sha256(json.dumps(content, default=_plain).encode()).hexdigest()[:16]}
        return {**given, "id": str(id)} if type(id) is int else given

    @field_validator("label", mode="before")
    @classmethod
    def _of_index(cls, label: Any) -> Any:
        return {"best": label} if isinstance(label, int) else label

    @field_validator("prompt")
    @classmethod
    def _asks(cls, prompt: str | tuple[Message, ...]) -> str | tuple[Message, ...]:
        if not prompt:
            raise ValueError("got an empty prompt, expected text or at least one message")
        return prompt

    @field_validator("label")
    @classmethod
    def _fits(cls, label: Label | None, info: ValidationInfo) -> Label | None:
        if label is not None:
            label.check_fits(len(info.data.get("responses", ())))
        return label

    @field_validator("steps")
    @classmethod
    def _one_list_each(
        cls, steps: tuple[tuple[str, ...], ...] | None, info: ValidationInfo
    ) -> tuple[tuple[str, ...], ...] | None:
        n = len(info.data.get("responses", ()))
        if steps is not None and n and (len(steps) != n or not all(steps)):
            raise ValueError(f"got steps of {len(steps)} responses, expected at least one step for each of {n}")
        return steps

    @field_validator("step_types")
    @classmethod
    def _one_type_each(
        cls, types: tuple[tuple[str | None, ...], ...] | None, info: ValidationInfo
    ) -> tuple[tuple[str | None, ...], ...] | None:
        if types is None or "steps" not in info.data:  # steps that are refused say so themselves
            return types
        given, expected = [len(each) for each in types], [len(each) for each in info.data["steps"] or ()]
        if given != expected:
            raise ValueError(f"got types of {given} steps, expected one for each of {expected} steps")
        return types

    @field_validator("annotations")
    @classmethod
    def _fit(cls, annotations: Mapping[str, Label] | None, info: ValidationInfo) -> Mapping[str, Label] | None:
        for label in (annotations or {}).values():
            label.check_fits(len(info.data.get("responses", ())))
        return annotations

    @field_validator("source_order")
    @classmethod
    def _is_an_order(cls, source_order: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
        n = len(info.data.get("responses", ()))
        if source_order is not None and n and sorted(source_order) != list(range(n)):
            raise ValueError(f"got {list(source_order)}, expected a permutation of 0 to {n - 1}")
        return source_order

    @property
    def prompt_text(self) -> str:
        """The prompt as one text. Turns of a conversation begin with their roles."""
        if isinstance(self.prompt, str):
            return self.prompt
        return self.prompt[0].content if len(self.prompt) == 1 else _transcript(self.prompt)

    @property
    def request(self) -> str:
        """The last user turn, or the prompt if it is a text; empty if no turn is a user's."""
        return self.prompt if isinstance(self.prompt, str) else _split(self.prompt)[1]

    @property
    def context(self) -> str:
        """The turns before `request` as one text, each beginning with its role; empty if there are none."""
        return "" if isinstance(self.prompt, str) else _transcript(_split(self.prompt)[0])

    def permuted(self, order: Sequence[int]) -> Comparison:
        """The same comparison with permuted responses: `order[k]` is the current index of the response at place k."""
        if sorted(order) != list(range(len(self.responses))):
            raise ValueError(f"order must name each of {len(self.responses)} responses once, got {list(order)}")
        annotations = self.annotations
        return self.model_copy(
            update={
                "responses": tuple(self.responses[i] for i in order),
                "steps": self.steps and tuple(self.steps[i] for i in order),
                "step_types": self.step_types and tuple(self.step_types[i] for i in order),
                "label": self.label.permuted(order) if self.label else None,
                "annotations": annotations and {name: label.permuted(order) for name, label in annotations.items()},
                "source_order": tuple(self.source_order[i] for i in order) if self.source_order else None,
            }
        )

    def subset(self, chosen: Sequence[int]) -> Comparison:
        """The prompt with the responses at these indices, without label, annotations and source order."""
        return self.model_copy(
            update={
                "id": f"{self.id}/{'-'.join(map(str, chosen))}",
                "responses": tuple(self.responses[i] for i in chosen),
                "steps": self.steps and tuple(self.steps[i] for i in chosen),
                "step_types": self.step_types and tuple(self.step_types[i] for i in chosen),
                "label": None,
                "annotations": None,
                "source_order": None,
            }
        )


def _transcript(messages: Sequence[Message]) -> str:
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in messages)


def _split(messages: Sequence[Message]) -> tuple[Sequence[Message], str]:
    places = [place for place, message in enumerate(messages) if message.role == "user"]
    return (messages[: places[-1]], messages[places[-1]].content) if places else (messages, "")


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else str(value)


def shuffled_order(seed: int, id: str, n: int) -> tuple[int, ...]:
    """The order in which item `id` shows its n responses: uniform over orders, and a pure function of (seed, id, n).

    It depends neither on threads nor on other items, so two runs with the same seed show every item in the same order.
    """
    digest = hashlib.sha256(f"{seed}\x1f{id}".encode()).digest()
    order = list(range(n))
    random.Random(int.from_bytes(digest)).shuffle(order)
    return tuple(order)
