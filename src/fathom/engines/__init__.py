"""Engines complete text. They know nothing of judging.

    async def complete(self, request: Request) -> Completion

One request is one sample: `sample` numbers the samples of a prompt, and together with `sampling.seed` it fixes the
random stream, so a completion does not depend on what else is in flight. Engines that run in this process batch
concurrent requests themselves, and compute a prompt that several requests share once.

An engine may have `async close()`, and `stop()`, after which what waits fails, and what is in flight goes on.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol, TypedDict

from fathom.errors import FathomError
from fathom.verdict import Usage

FinishReason = Literal["stop", "length", "content_filter"]


class ChatMessage(TypedDict):
    role: str
    content: str


MOST_TOP_LOGPROBS = 20
"""As many as OpenAI's interface gives, and what servers take that follow it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw text. `temperature` 0 is greedy; `max_tokens` bounds one completion.

    Raises ValueError for more `top_logprobs` than `MOST_TOP_LOGPROBS`.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 2048
    stop: tuple[str, ...] = ()
    seed: int = 0
    logprobs: bool = False
    """Whether to return the log-probability of every token written."""
    top_logprobs: int = 0
    """How many of the most likely tokens to return beside each one written, whose log-probability comes then too."""

    def __post_init__(self) -> None:
        if not 0 <= self.top_logprobs <= MOST_TOP_LOGPROBS:
            raise ValueError(f"top_logprobs={self.top_logprobs}: allowed are 0 to {MOST_TOP_LOGPROBS}")


@dataclass(frozen=True, slots=True)
class Request:
    messages: tuple[ChatMessage, ...]
    sampling: Sampling = Sampling()
    sample: int = 0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token's text and the natural logarithm of its probability under the model, before temperature and top-p."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()
    """The most likely tokens in its place with their log-probabilities, best first: `Sampling.top_logprobs` of them."""


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    logprobs: tuple[TokenLogprob, ...] | None = None
    reasoning: str = ""
    """What the model thought before its answer, where the engine tells the two apart. Not part of `text`."""
    extended_to: int | None = None
    """The token limit of a second try, where the first one met its own. `usage` then counts both."""


class Engine(Protocol):
    @property
    def identity(self) -> str:
        """What distinguishes this engine's completions from another's: kind, model, weights. Part of the cache key."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Raises EngineError when there is no text to return."""
        ...


class EngineError(Exception):
    """A completion failed. `retryable` says whether asking again can help, `hint` what a user can do about it.

    `message` is without the hint, the text of the error with it. `written` is what the model wrote before the failure,
    where that is not the answer: a text that met its token limit, when the longer try failed.
    """

    def __init__(
        self, message: str, *, retryable: bool = False, hint: str = "", written: Completion | None = None
    ) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.retryable = retryable
        self.hint = hint
        self.written = written


ENGINES = {
    "local": ("fathom.engines.local", "LocalEngine"),
    "openai": ("fathom.engines.openai", "OpenAIEngine"),
    "vllm": ("fathom.engines.vllm", "VLLMEngine"),
    "replay": ("fathom.engines.replay", "ReplayEngine"),
    "mini-teacher": ("fathom.mini.teacher", "Teacher"),
}
"""Where the engine of each name is. Nothing is imported before it is opened."""


def open(name: str, model: str | None = None, **options: Any) -> Engine:
    """The engine of that name, for `model` where it takes one. Raises FathomError that says what it takes."""
    if name not in ENGINES:
        raise FathomError(f"there is no engine {name!r}; there are: {', '.join(sorted(ENGINES))}")
    module, kind = ENGINES[name]
    make = getattr(import_module(module), kind)
    models = () if model is None else (model,)
    signature = inspect.signature(make)
    try:
        signature.bind(*models, **options)
    except TypeError as error:
        raise FathomError(f"the engine {name!r}: {error}; it takes {', '.join(signature.parameters)}") from None
    engine: Engine = make(*models, **options)
    return engine
