"""Engines complete text. They know nothing of judging.

    async def complete(self, request: Request) -> Completion

One request is one sample: `sample` numbers the samples of a prompt, and together with `sampling.seed` it fixes the
random stream, so a completion does not depend on what else is in flight. Engines that run in this process batch
concurrent requests themselves, and compute a prompt that several requests share once.

An engine derives from `BaseEngine`, which leaves `identity` and `complete` to write; `EngineWrapper` is an engine
around another one. `provides` says what an engine can do, and `check_capabilities` compares it with what a judge needs
before anything is asked.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict

from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.plugins import Kind

FinishReason = Literal["stop", "length", "content_filter", "refusal", "unknown"]
"""Why a text ends: the model ended it, it met its token limit, the service filtered it, the model declined to answer,
or the server did not say, so that nobody knows whether it is whole."""


class ChatMessage(TypedDict):
    role: str
    content: str


MAX_TOP_LOGPROBS = 20
"""As many as OpenAI's interface gives, and what servers take that follow it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw text. `temperature` 0 is greedy; `max_tokens` bounds one completion.

    Raises ValueError for more `top_logprobs` than `MAX_TOP_LOGPROBS`.
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
        if not 0 <= self.top_logprobs <= MAX_TOP_LOGPROBS:
            raise ValueError(f"top_logprobs={self.top_logprobs}: allowed are 0 to {MAX_TOP_LOGPROBS}")


@dataclass(frozen=True, slots=True)
class Request:
    messages: tuple[ChatMessage, ...]
    sampling: Sampling = Sampling()
    sample: int = 0
    prefix: str = ""
    """The beginning of the answer, which the model continues. `Completion.text` does not repeat it, and
    `Sampling.max_tokens` does not count it. It takes an engine that provides "prefix"."""


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
    retry_max_tokens: int | None = None
    """The token limit of a second try, where the first one met its own. `usage` then counts both."""
    lacks: str = ""
    """What was asked for and did not come, such as log-probabilities. See `IncompleteAnswerError`."""


Capability = Literal["text", "logprobs", "prefix", "likelihood", "classification", "hidden_states", "images"]
"""What an engine can do: write text, return the log-probabilities of what it writes, continue a `Request.prefix`, score
a given text by its likelihood, classify, return hidden states, read images."""

TEXT_ONLY: frozenset[Capability] = frozenset({"text"})
PREFIX: frozenset[Capability] = frozenset({"prefix"})


class Engine(Protocol):
    """What judges and wrappers ask of an engine. `BaseEngine` has all of it but `identity` and `complete`."""

    @property
    def identity(self) -> str:
        """What distinguishes this engine's completions from another's: kind, model, weights. Part of the cache key."""
        ...

    @property
    def provides(self) -> frozenset[Capability]: ...

    async def complete(self, request: Request) -> Completion:
        """Raises EngineError when there is no text to return."""
        ...

    def report_calls_to(self, meter: Meter) -> bool:
        """Asks `meter` before every call from now on, and reports what each call used.

        False where this engine does not: then one completion is one call, and whoever measures counts completions.
        """
        ...

    def stop(self) -> None:
        """Starts no further call until `close`: requests that wait fail, and those in flight are completed."""
        ...

    async def close(self) -> None:
        """Releases connections, files, memory."""
        ...


class BaseEngine(ABC):
    """An engine that writes text, holds nothing that must be released, and makes one call for one completion.

    class Shouting(BaseEngine):
        identity = "shouting"

        async def complete(self, request):
            return Completion(request.messages[-1]["content"].upper())
    """

    provides: frozenset[Capability] = TEXT_ONLY

    @abstractmethod
    async def complete(self, request: Request) -> Completion:
        """Raises EngineError when there is no text to return."""

    def report_calls_to(self, meter: Meter) -> bool:
        return False

    def stop(self) -> None:  # noqa: B027 - most engines have nothing to do here
        pass

    async def close(self) -> None:  # noqa: B027
        pass


REMEDIES: Mapping[Capability, str] = {
    "logprobs": "local models, vLLM and most servers return log-probabilities",
    "prefix": "local models and vLLM continue a prefix; for a server give the engine the option "
    "continue_final_message=true (vLLM, SGLang), or api=completions with tokenizer=MODEL",
}
"""What to change where a capability is missing."""


def check_prefix(engine: Engine, request: Request) -> None:
    """Raises FathomError for a request with a prefix where the engine would ignore it."""
    if request.prefix:
        check_capabilities(engine, PREFIX, f"a request with the prefix {request.prefix[:40]!r}")


def check_capabilities(engine: Engine, needs: Collection[Capability], who: str) -> None:
    """Raises FathomError where `who`, such as "the judge yes_no", needs what the engine does not provide."""
    missing = sorted(set(needs) - engine.provides)
    if not missing:
        return
    remedies = "".join(f"; {REMEDIES[each]}" for each in missing if each in REMEDIES)
    raise FathomError(
        f"{who} needs an engine with {', '.join(missing)}; {engine.identity} provides "
        f"{', '.join(sorted(engine.provides))}{remedies}"
    )


FailureKind = Literal["call", "request", "access", "forbidden", "credit", "unreachable", "exhausted"]
"""What a failure says about other calls: nothing ("call"); that the server does not take such requests; that key, model
or address are wrong; that something is not allowed; that the account cannot pay; that no connection can be made; that
the server failed at every try. `fathom.engines.failures.Breaker` ends a run by these."""


class EngineError(Exception):
    """A completion failed. `retryable` says whether asking again can help, `hint` what a user can do about it.

    `message` is without the hint, the text of the error with it. `partial` is what the model wrote before the failure,
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
        partial: Completion | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.retryable = retryable
        self.hint = hint
        self.kind = kind
        self.partial = partial
        self.server_set_wait = False
        """Whether the server said how long to wait before the next try."""
        self.usage = usage or (partial.usage if partial else Usage())


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
    """A meter that admits every call and counts nothing: what an engine reports to before `report_calls_to`."""

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
    def provides(self) -> frozenset[Capability]:
        return self.engine.provides

    async def complete(self, request: Request) -> Completion:
        return await self.engine.complete(request)

    def report_calls_to(self, meter: Meter) -> bool:
        return self.engine.report_calls_to(meter)

    def stop(self) -> None:
        self.engine.stop()

    async def close(self) -> None:
        await self.engine.close()


ENGINES = Kind(
    "engine",
    group="fathom.engines",
    attribute="ENGINE",
    table={
        "local": "fathom.engines.local:LocalEngine",
        "openai": "fathom.engines.openai:OpenAIEngine",
        "vllm": "fathom.engines.vllm:VLLMEngine",
        "replay": "fathom.engines.replay:ReplayEngine",
        "mini-teacher": "fathom.lab.teacher:Teacher",
    },
)
"""Engines by name: classes, or functions that make one. Nothing is imported before it is opened."""


INTERFACE = ("complete", "provides", "report_calls_to", "stop", "close")


def open(name: str, model: str | None = None, **options: Any) -> Engine:
    """The engine of that name, for `model` where it takes one.

    Raises FathomError for a name that stands for no engine, and for arguments that it does not take.
    """
    make = ENGINES.find(name)
    if not callable(make):
        raise FathomError(f"the engine {name!r} is {make!r}, expected a class of engines, or a function that makes one")
    models = () if model is None else (model,)
    signature = inspect.signature(make)
    try:
        signature.bind(*models, **options)
    except TypeError as error:
        raise FathomError(f"the engine {name!r}: {error}; it takes {', '.join(signature.parameters)}") from None
    engine: Engine = make(*models, **options)
    lacking = [each for each in INTERFACE if not hasattr(engine, each)]
    if lacking:
        what = f"the engine {name!r} makes an object of {type(engine).__name__}"
        raise FathomError(f"{what}, which has no {', '.join(lacking)}; derive the class from fathom.BaseEngine")
    return engine
