"""Engines complete text. They know nothing of judging.

    async def complete(self, request: Request) -> Completion

One request is one sample: `sample` numbers the samples of a prompt, and together with `sampling.seed` it fixes the
random stream, so a completion does not depend on what else is in flight. Engines that run in this process batch
concurrent requests themselves, and compute a prompt that several requests share once.

An engine may also have
- `async close()`, which gives back what it holds, and `stop()`, after which calls that wait fail and those in flight
  go on;
- `meter`, where one completion can take several calls: `fathom.engines.metering.Metered` puts itself there, and the
  engine then asks it before every call and tells it what the call used.

`EngineWrapper` is an engine around another one, and passes all of this on.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol, TypedDict

from fathom.engines.usage import Usage
from fathom.errors import FathomError

FinishReason = Literal["stop", "length", "content_filter", "refusal", "unknown"]
"""Why a text ends: the model ended it, it met its token limit, the service filtered it, the model declined to answer,
or the server did not say, so that nobody knows whether it is whole."""


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
    lacks: str = ""
    """What was asked for and did not come, such as log-probabilities. See `IncompleteAnswerError`."""


class Engine(Protocol):
    @property
    def identity(self) -> str:
        """What distinguishes this engine's completions from another's: kind, model, weights. Part of the cache key."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Raises EngineError when there is no text to return."""
        ...


FailureKind = Literal["call", "request", "access", "forbidden", "credit", "unreachable", "exhausted"]
"""What a failure says about other calls: nothing ("call"); that the server does not take such requests; that key, model
or address are wrong; that something is not allowed; that the account cannot pay; that no connection can be made; that
the server failed at every try. `fathom.engines.failures.Breaker` ends a run by these."""


class EngineError(Exception):
    """A completion failed. `retryable` says whether asking again can help, `hint` what a user can do about it.

    `message` is without the hint, the text of the error with it. `written` is what the model wrote before the failure,
    where that is not the answer: a text that met its token limit, when the longer try failed. `usage` counts all calls
    that were made for the completion.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        hint: str = "",
        kind: FailureKind = "call",
        written: Completion | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.retryable = retryable
        self.hint = hint
        self.kind = kind
        self.written = written
        self.held = False
        """Whether the server said how long to wait before the next try."""
        self.usage = usage or (written.usage if written else Usage())


class RunStoppedError(FathomError):
    """No further call is made: a bound is reached, or the server would refuse this one as it refused those before.

    Unlike `EngineError` it is not about one completion, and no judge turns it into a failed vote. Whoever runs the
    whole says it in one line; completions that are finished stay in the journal.
    """

    def __init__(self, message: str, *, landing_seconds: float = 60.0) -> None:
        super().__init__(message)
        self.landing_seconds = landing_seconds
        """How long calls in flight, which are paid for, may take to be stored before the run ends."""


class IncompleteAnswerError(RunStoppedError):
    """The first answer lacks what was asked for, as all others would.

    `completion` is that answer. A journal stores it, so that the same run refuses again and does not pay again.
    """

    def __init__(self, completion: Completion) -> None:
        super().__init__(
            f"the server gave no {completion.lacks}, which this run needs: use --aggregate majority or another judge "
            "that needs none, or a server that gives them (where this one has learned to, give another --journal)"
        )
        self.completion = completion


class Meter(Protocol):
    """Counts the calls of an engine that makes several for one completion."""

    async def admit(self, request: Request) -> None:
        """Waits until the call fits the bounds. Every call that was admitted is charged or withdrawn.

        Raises RunStoppedError where a bound leaves no room for it.
        """
        ...

    def admit_at_once(self, request: Request) -> bool:
        """As `admit` for a call that need not be made: says whether it fits now."""
        ...

    def charge(self, request: Request, usage: Usage, text: str | None = None) -> None:
        """The call ended. `text` is what came of it, None for nothing at all: tokens are estimated by it if unknown."""
        ...

    def withdraw(self) -> None:
        """The call was admitted and not made."""
        ...


class UnmeteredCalls:
    """A meter that lets everything in and counts nothing: what stands in an engine's place for one until one comes."""

    async def admit(self, request: Request) -> None: ...

    def admit_at_once(self, request: Request) -> bool:
        return True

    def charge(self, request: Request, usage: Usage, text: str | None = None) -> None: ...

    def withdraw(self) -> None: ...


class EngineWrapper:
    """An engine around `engine`. Subclasses change `complete`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def identity(self) -> str:
        return self.engine.identity

    @property
    def meter(self) -> Meter:
        """That of the engine inside; AttributeError where that has no place for one."""
        meter: Meter = self.engine.meter  # type: ignore[attr-defined]
        return meter

    @meter.setter
    def meter(self, meter: Meter) -> None:
        self.engine.meter = meter  # type: ignore[attr-defined]

    async def complete(self, request: Request) -> Completion:
        return await self.engine.complete(request)

    def stop(self) -> None:
        stop = getattr(self.engine, "stop", None)
        if stop is not None:
            stop()

    async def close(self) -> None:
        close = getattr(self.engine, "close", None)
        if close is not None:
            await close()


ENGINES = {
    "local": ("fathom.engines.local", "LocalEngine"),
    "openai": ("fathom.engines.openai", "OpenAIEngine"),
    "vllm": ("fathom.engines.vllm", "VLLMEngine"),
    "replay": ("fathom.engines.replay", "ReplayEngine"),
    "mini-teacher": ("fathom.lab.teacher", "Teacher"),
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
