"""Readings: values that a model computes on a given text, such as log-probabilities, without generating any.

    LikelihoodRequest(messages, "Paris.")     -> Likelihood: the log-probability of every token of the answer
    ClassifyRequest(messages, "Paris.")       -> Classification: the raw outputs of a sequence classifier
    StatesRequest(messages, "Paris.", (11,))  -> States: one vector per layer, pooled over the answer
    StepRequest(messages, "", steps, how)     -> StepScores: the scores that a process reward model gives each step
    SlotRequest((), "It is", ("good", "bad")) -> SlotScores: the log-probability of each word in a slot after the text

A reading is a deterministic function of the model and the text, so it has no sample number. The journal stores the
reduced values, never the logits of a whole vocabulary. A request's `VERSION` is part of its journal key: raise it when
the reduction changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import log
from typing import Any, ClassVar, Literal

from fathom.engines.messages import ChatMessage
from fathom.engines.usage import Usage


@dataclass(frozen=True, slots=True)
class ReadingRequest:
    """A text to read: a conversation and the answer to it."""

    messages: tuple[ChatMessage, ...]
    answer: str

    NAME: ClassVar[str] = ""
    """The name of the reduction, which is part of the journal key."""
    VERSION: ClassVar[int] = 1

    @property
    def given(self) -> str:
        """The text that the model reads after the messages."""
        return self.answer

    @property
    def max_new_tokens(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class LikelihoodRequest(ReadingRequest):
    """Asks for the log-probability of every token of `answer`, given `messages`.

    Prompt and answer are tokenized separately: a generated answer never shares a token with its prompt.
    """

    role: str = "assistant"
    """Whose turn the answer is. The header of that turn is part of the prompt."""
    end: bool = False
    """Whether the tokenizer's end token is scored too, as the last token."""
    template: Literal["chat", "plain"] = "chat"
    """plain: the contents of the messages are concatenated without a chat template, after the tokenizer's begin token
    if it has one. `messages` may then be empty."""
    soft_values: float | None = None
    """alpha > 0: also return V(s) = alpha * logsumexp(logits / alpha) at every state. Local engines only."""

    NAME: ClassVar[str] = "likelihood"


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Log-probabilities, in nats, of the n tokens of an answer, each given the prompt and the tokens before it.

    `soft_values`: V at the n + 1 states before and after each token, if requested.
    """

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    soft_values: tuple[float, ...] | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def total(self) -> float:
        """The log-probability of the whole answer, in nats."""
        return sum(self.logprobs)

    @property
    def mean(self) -> float:
        """Nats per token, at most 0; NaN without tokens."""
        return self.total / len(self.logprobs) if self.logprobs else float("nan")

    def bits_per_byte(self, text: str) -> float:
        """The code length of `text` in bits per byte of UTF-8, at least 0; NaN for an empty text.

        Unlike `mean`, it can be compared between tokenizers.
        """
        size = len(text.encode(errors="replace"))
        return -self.total / log(2) / size if size else float("nan")


@dataclass(frozen=True, slots=True)
class ClassifyRequest(ReadingRequest):
    """Asks for the outputs of a sequence classifier on a conversation that ends with `answer`."""

    NAME: ClassVar[str] = "classification"

    @property
    def conversation(self) -> tuple[ChatMessage, ...]:
        """The messages and the answer, as the last turn."""
        return (*self.messages, {"role": "assistant", "content": self.answer})


@dataclass(frozen=True, slots=True)
class Classification:
    """The raw outputs of a sequence classifier, one per label: no sigmoid, no softmax."""

    logits: tuple[float, ...]
    labels: tuple[str, ...] = ()
    """The name of each output, from the model's configuration; empty if the engine does not know them."""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class StatesRequest(ReadingRequest):
    """Asks for hidden states of a conversation that ends with `answer`, pooled over the tokens of the answer."""

    layers: tuple[int, ...] = (-1,)
    """0 is the embedding; -1 is the last layer, after the final normalization."""
    pool: Literal["last", "mean"] = "last"

    NAME: ClassVar[str] = "states"


@dataclass(frozen=True, slots=True)
class States:
    """One vector per requested layer."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepConvention:
    """How a family of process reward models expects steps to be rendered, and where their scores are read."""

    layout: Literal["text", "answer", "turns"]
    """text: problem and steps without a chat template, after the tokenizer's begin token if it has one. answer: the
    problem is a user turn, and the steps are the assistant's turn. turns: each step is a user turn, the first one
    together with the problem, and the separator is the assistant's answer to each."""
    system: str | None = None
    """A system prompt, for layouts with a chat template."""
    joint: str = ""
    """Text between the problem and the first step."""
    between: str = ""
    """Text between a separator and the next step."""
    apart: bool = False
    """(text) Whether each step is tokenized on its own, without the text before it."""
    separator: str
    """The text whose tokens mark the end of a step."""
    last_token: bool = False
    """Whether only the last token of that text is the separator, as in models whose tokenizer splits a space off."""
    read: Literal["at", "before"] = "at"
    """at: the score is read at the separator's last token. before: at the token before the separator, which predicts
    it."""
    head: Literal["vocabulary", "classes", "value"]
    """vocabulary: softmax over the logits of the tokens `good` and `bad`. classes: softmax over two classes, of which
    the second means right. value: sigmoid of one output."""
    good: str = "+"
    bad: str = "-"


@dataclass(frozen=True, slots=True)
class StepRequest(ReadingRequest):
    """Asks for the score of each step of a solution. `answer` is not read; the problem is the content of `messages`."""

    steps: tuple[str, ...]
    convention: StepConvention

    NAME: ClassVar[str] = "steps"

    @property
    def given(self) -> str:
        return "\n".join(self.steps)


@dataclass(frozen=True, slots=True)
class StepScores:
    """A process reward model's probability that each step is right, 0 to 1.

    One score per step; None for a step beyond the model's context.
    """

    scores: tuple[float | None, ...]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class SlotRequest(ReadingRequest):
    """Asks a masked language model for words in a slot between `answer` and `after`. `messages` are not read."""

    words: tuple[str, ...]
    after: str = "."

    NAME: ClassVar[str] = "slot"


@dataclass(frozen=True, slots=True)
class SlotScores:
    """The log-probability of each word in the slot, in nats. The words share it with the rest of the vocabulary."""

    logprobs: tuple[float, ...]
    usage: Usage = field(default_factory=Usage)


Reading = Likelihood | Classification | States | StepScores | SlotScores


def request_values(request: ReadingRequest) -> dict[str, Any]:
    """Everything that determines a reading except the engine, as JSON values."""
    values = {each.name: getattr(request, each.name) for each in fields(request)}
    values = {name: asdict(value) if isinstance(value, StepConvention) else value for name, value in values.items()}
    return {"reading": request.NAME, "version": request.VERSION, **values}


def encode(reading: Reading) -> dict[str, Any]:
    """A reading as JSON values. Inverse of `decode`."""
    values = {each.name: getattr(reading, each.name) for each in fields(reading)}  # `asdict` copies every float
    return {**values, "usage": asdict(reading.usage)}


def decode(name: str, stored: Mapping[str, Any]) -> Reading:
    """The reading with the reduction `name` from its JSON values."""
    usage = Usage(**stored["usage"])
    if name == LikelihoodRequest.NAME:
        soft = stored["soft_values"]
        return Likelihood(
            tuple(stored["tokens"]), tuple(stored["logprobs"]), None if soft is None else tuple(soft), usage
        )
    if name == ClassifyRequest.NAME:
        return Classification(tuple(stored["logits"]), tuple(stored.get("labels", ())), usage)
    if name == StepRequest.NAME:
        return StepScores(tuple(stored["scores"]), usage)
    if name == SlotRequest.NAME:
        return SlotScores(tuple(stored["logprobs"]), usage)
    return States(tuple(map(tuple, stored["vectors"])), usage)
