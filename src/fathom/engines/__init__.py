"""Engines complete text, and read given texts. They are independent of judging.

    async def complete(self, request: Request) -> Completion
    async def likelihood(self, request: LikelihoodRequest) -> Likelihood          # see `fathom.engines.readings`
    async def classify(self, request: ClassifyRequest) -> Classification
    async def states(self, request: StatesRequest) -> States
    async def steps(self, request: StepRequest) -> StepScores
    async def slot(self, request: SlotRequest) -> SlotScores

One request is one sample: `sample` numbers the samples of a prompt. Together with `sampling.seed` it fixes the random
stream, so a completion does not depend on concurrent requests. Engines that run in this process batch concurrent
requests themselves, and compute a shared prompt once.

To write an engine, derive from `BaseEngine` and define `identity` and `complete`. `EngineWrapper` wraps another engine.
`provides` lists an engine's capabilities, and `check_capabilities` compares them with a judge's needs before any call.
`answer` calls the method that fits a request.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from fathom.engines.messages import ChatMessage as ChatMessage
from fathom.engines.readings import Classification as Classification
from fathom.engines.readings import ClassifyRequest as ClassifyRequest
from fathom.engines.readings import Likelihood as Likelihood
from fathom.engines.readings import LikelihoodRequest as LikelihoodRequest
from fathom.engines.readings import Reading as Reading
from fathom.engines.readings import ReadingRequest as ReadingRequest
from fathom.engines.readings import SlotRequest as SlotRequest
from fathom.engines.readings import SlotScores as SlotScores
from fathom.engines.readings import States as States
from fathom.engines.readings import StatesRequest as StatesRequest
from fathom.engines.readings import StepConvention as StepConvention
from fathom.engines.readings import StepRequest as StepRequest
from fathom.engines.readings import StepScores as StepScores
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.plugins import PluginKind

FinishReason = Literal["stop", "length", "content_filter", "refusal", "unknown"]
"""Why a text ends: the model ended it ("stop"), it reached its token limit, a content filter cut it, the model refused
to answer, or the server gave no reason, so the text may be incomplete ("unknown")."""


MAX_TOP_LOGPROBS = 20
"""The limit of OpenAI's API, which compatible servers share."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling settings of one completion. `temperature` 0 is greedy; `max_tokens` bounds the completion.

    Raises ValueError for more `top_logprobs` than `MAX_TOP_LOGPROBS`.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 2048
    stop: tuple[str, ...] = ()
    seed: int = 0
    logprobs: bool = False
    """Whether to return the log-probability of every generated token."""
    top_logprobs: int = 0
    """How many of the most likely tokens to return at each position, 0 to 20. Above 0, it implies `logprobs`."""

    def __post_init__(self) -> None:
        if not 0 <= self.top_logprobs <= MAX_TOP_LOGPROBS:
            raise ValueError(f"top_logprobs={self.top_logprobs}: expected 0 to {MAX_TOP_LOGPROBS}")


@dataclass(frozen=True, slots=True)
class Request:
    messages: tuple[ChatMessage, ...]
    sampling: Sampling = Sampling()
    sample: int = 0
    prefix: str = ""
    """The beginning of the answer, which the model continues. It is not part of `Completion.text`, and does not count
    towards `Sampling.max_tokens`. It requires an engine that provides "prefix"."""

    @property
    def given(self) -> str:
        """The text that the model reads after the messages."""
        return self.prefix

    @property
    def max_new_tokens(self) -> int:
        return self.sampling.max_tokens


AnyRequest = Request | ReadingRequest


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token's text and the natural logarithm of its probability under the model, before temperature and top-p."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()
    """The `Sampling.top_logprobs` most likely tokens at this position with their log-probabilities, best first."""


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    logprobs: tuple[TokenLogprob, ...] | None = None
    reasoning: str = ""
    """The model's reasoning before its answer, where the engine separates the two. Not part of `text`."""
    retry_max_tokens: int | None = None
    """The token limit of the second try, made because the first one reached its limit. `usage` then counts both."""
    lacks: str = ""
    """What was requested and is missing, such as log-probabilities. See `MissingLogprobsError`."""


Answer = Completion | Reading

Capability = Literal[
    "text",
    "logprobs",
    "prefix",
    "likelihood",
    "soft_values",
    "classification",
    "hidden_states",
    "steps",
    "slot",
    "images",
]
"""What an engine can do: generate text, return log-probabilities of generated tokens, continue a `Request.prefix`,
compute the likelihood of a given text, also with soft values, classify, return hidden states, score the steps of a
solution, read words in a slot, read images."""

TEXT_ONLY: frozenset[Capability] = frozenset({"text"})
PREFIX: frozenset[Capability] = frozenset({"prefix"})


class Engine(Protocol):
    """The interface that judges and wrappers use. `BaseEngine` implements all of it but `identity` and `complete`."""

    @property
    def identity(self) -> str:
        """Identifies the source of completions: kind of engine, model, weights. Part of every key in the journal."""
        ...

    @property
    def provides(self) -> frozenset[Capability]: ...

    async def complete(self, request: Request) -> Completion:
        """Complete one request. Raises EngineError when there is no text to return."""
        ...

    async def likelihood(self, request: LikelihoodRequest) -> Likelihood:
        """The log-probabilities of a given answer. Raises EngineError for a text that cannot be scored."""
        ...

    async def classify(self, request: ClassifyRequest) -> Classification:
        """The raw outputs of a sequence classifier. Raises EngineError for a text that cannot be scored."""
        ...

    async def states(self, request: StatesRequest) -> States:
        """Pooled hidden states. Raises EngineError for a text that cannot be scored."""
        ...

    async def steps(self, request: StepRequest) -> StepScores:
        """The scores of a solution's steps. Raises EngineError for a solution that cannot be scored."""
        ...

    async def slot(self, request: SlotRequest) -> SlotScores:
        """The log-probabilities of words in a slot. Raises EngineError for a text that cannot be read."""
        ...

    def report_calls_to(self, meter: Meter) -> bool:
        """Request admission from `meter` before every call from now on, and report the usage of each call to it.

        Returns False if the engine does not report its calls. The caller then counts each completion as one call.
        """
        ...

    def stop(self) -> None:
        """Start no further call until `close`: waiting requests fail, and requests in flight are completed."""
        ...

    async def close(self) -> None:
        """Release connections, files and memory."""
        ...


async def answer(engine: Engine, request: AnyRequest) -> Answer:
    """Call the method of `engine` that fits the request. Raises EngineError if it fails."""
    result: Answer = await getattr(engine, _METHODS[type(request)])(request)
    return result


_METHODS: Mapping[type[AnyRequest], str] = {
    Request: "complete",
    LikelihoodRequest: "likelihood",
    ClassifyRequest: "classify",
    StatesRequest: "states",
    StepRequest: "steps",
    SlotRequest: "slot",
}


class BaseEngine(ABC):
    """Base class of engines. By default an engine generates text, makes one call per completion, and needs no cleanup.

    An engine that reads given texts overrides `likelihood`, `classify`, `states`, `steps` or `slot`, and declares
    it in `provides`.

    class Shouting(BaseEngine):
        identity = "shouting"

        async def complete(self, request):
            return Completion(request.messages[-1]["content"].upper())
    """

    provides: frozenset[Capability] = TEXT_ONLY

    @abstractmethod
    async def complete(self, request: Request) -> Completion:
        """Complete one request. Raises EngineError when there is no text to return."""

    async def likelihood(self, request: LikelihoodRequest) -> Likelihood:
        raise self._lacking("likelihood")

    async def classify(self, request: ClassifyRequest) -> Classification:
        raise self._lacking("classification")

    async def states(self, request: StatesRequest) -> States:
        raise self._lacking("hidden_states")

    async def steps(self, request: StepRequest) -> StepScores:
        raise self._lacking("steps")

    async def slot(self, request: SlotRequest) -> SlotScores:
        raise self._lacking("slot")

    def _lacking(self, capability: Capability) -> FathomError:
        return FathomError(missing_capabilities(cast(EngineTraits, self), {capability}, _NOUNS[capability]))

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
    "likelihood": "local causal language models compute likelihoods; for a server give --engine scores and the option "
    "protocol=vllm_logprobs or echo",
    "classification": "give a checkpoint of a sequence classifier, such as a scalar reward model; for a server give "
    "--engine scores and the option protocol=vllm_classify or sglang_classify",
    "soft_values": "local causal language models compute soft values, which need all logits",
    "hidden_states": "local models return hidden states",
    "steps": "local models score steps, and so does the engine scores with protocol=vllm_steps",
    "slot": "give --engine masked and a masked language model",
}
"""How to get a missing capability."""

_NOUNS: Mapping[str, str] = {
    "text": "a request for a completion",
    "likelihood": "a request for the likelihood of a given text",
    "classification": "a request for the outputs of a classifier",
    "soft_values": "a request for soft values",
    "hidden_states": "a request for hidden states",
    "steps": "a request for scores of steps",
    "slot": "a request for words in a slot",
}


class EngineTraits(Protocol):
    """What is known of an engine without calling it."""

    @property
    def identity(self) -> str: ...

    @property
    def provides(self) -> frozenset[Capability]: ...


def check_prefix(engine: EngineTraits, request: Request) -> None:
    """Raise FathomError if the request has a prefix and the engine cannot continue one."""
    if request.prefix:
        check_capabilities(engine, PREFIX, f"a request with the prefix {request.prefix[:40]!r}")


def check_capabilities(engine: EngineTraits, needs: Collection[Capability], who: str) -> None:
    """Raise FathomError if `who`, such as "the judge yes_no", needs capabilities that the engine lacks."""
    missing = set(needs) - engine.provides
    if missing:
        raise FathomError(missing_capabilities(engine, missing, who))


def check_request(engine: EngineTraits, capability: Capability) -> None:
    """Raise FathomError for a request of an engine that lacks the capability to answer it."""
    check_capabilities(engine, {capability}, _NOUNS[capability])


def missing_capabilities(engine: EngineTraits, missing: Collection[Capability], who: str) -> str:
    """The message of the error that `engine` lacks capabilities."""
    remedies = "".join(f"; {REMEDIES[each]}" for each in sorted(missing) if each in REMEDIES)
    return (
        f"{who} needs an engine with {', '.join(sorted(missing))}; {engine.identity} provides "
        f"{', '.join(sorted(engine.provides))}{remedies}"
    )


FailureKind = Literal["call", "text", "request", "access", "forbidden", "credit", "unreachable", "exhausted"]
"""What a failure implies for other calls.

"call": nothing. "text": the model cannot read this text, so the same call always fails. "request": the server rejects
requests like this one. "access": the key, the model or the address is wrong. "forbidden": the key lacks a permission.
"credit": the account has no credit left. "unreachable": no connection can be made. "exhausted": every try failed.
`fathom.engines.failures.Breaker` decides by these when to end a run."""


class EngineError(Exception):
    """A completion failed. `retryable`: whether another try can succeed. `hint`: what a user can do about it.

    `message` excludes the hint; `str(error)` includes it. `partial` is a completion that is not a valid answer, such as
    a text cut at its token limit whose longer retry failed. `usage` counts all calls made for the completion.
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
        """Whether the server sent Retry-After: the wait before the next try is then not ours to choose."""
        self.usage = usage or (partial.usage if partial else Usage())


class RunStoppedError(FathomError):
    """The run makes no further call: it reached a bound, or the server would refuse every call.

    Unlike `EngineError`, it concerns the whole run: judges do not turn it into a failed vote, and the command reports
    it in one line. Finished completions stay in the journal.
    """

    def __init__(self, message: str, *, landing_seconds: float = 60.0) -> None:
        super().__init__(message)
        self.landing_seconds = landing_seconds
        """How long to wait for calls in flight before the run ends: they are billed, so their results are stored."""


class MissingLogprobsError(RunStoppedError):
    """The first answer lacks what was requested, and further answers would lack it too.

    `completion` is that answer. The journal stores it, so the same run fails again without paying again.
    """

    def __init__(self, completion: Completion) -> None:
        super().__init__(
            f"the server returned no {completion.lacks}, which this run needs: use --aggregate majority, a judge that "
            "needs none, or a server that returns them (if this server does now, give another --journal)"
        )
        self.completion = completion


class Meter(Protocol):
    """Counts and limits the calls of an engine, which may make several per completion."""

    async def admit(self, request: AnyRequest) -> None:
        """Wait until the call fits the bounds. Each admitted call must be charged or withdrawn.

        Raises RunStoppedError if the bounds leave no room for it.
        """
        ...

    def admit_at_once(self, request: AnyRequest) -> bool:
        """Admit an optional call if it fits now, without waiting. Returns whether it was admitted."""
        ...

    def charge(self, request: AnyRequest, usage: Usage, text: str | None = None) -> None:
        """Record a finished call. Unknown usage is estimated from `text`; None means that no answer arrived."""
        ...

    def withdraw(self) -> None:
        """Undo the admission of a call that was not made."""
        ...


class NullMeter:
    """A meter that admits every call and counts nothing: the default until `report_calls_to` is called."""

    async def admit(self, request: AnyRequest) -> None: ...

    def admit_at_once(self, request: AnyRequest) -> bool:
        return True

    def charge(self, request: AnyRequest, usage: Usage, text: str | None = None) -> None: ...

    def withdraw(self) -> None: ...


class UniformEngine(ABC):
    """An engine that treats all kinds of requests alike: each of its methods calls `answer`."""

    @abstractmethod
    async def answer(self, request: AnyRequest) -> Answer:
        """The answer to a request of any kind. Raises EngineError if there is none."""

    async def complete(self, request: Request) -> Completion:
        return cast(Completion, await self.answer(request))

    async def likelihood(self, request: LikelihoodRequest) -> Likelihood:
        return cast(Likelihood, await self.answer(request))

    async def classify(self, request: ClassifyRequest) -> Classification:
        return cast(Classification, await self.answer(request))

    async def states(self, request: StatesRequest) -> States:
        return cast(States, await self.answer(request))

    async def steps(self, request: StepRequest) -> StepScores:
        return cast(StepScores, await self.answer(request))

    async def slot(self, request: SlotRequest) -> SlotScores:
        return cast(SlotScores, await self.answer(request))


class EngineWrapper(UniformEngine):
    """An engine that forwards to `engine`. Subclasses override `answer`, or single methods such as `complete`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def identity(self) -> str:
        return self.engine.identity

    @property
    def provides(self) -> frozenset[Capability]:
        return self.engine.provides

    async def answer(self, request: AnyRequest) -> Answer:
        return await answer(self.engine, request)

    def report_calls_to(self, meter: Meter) -> bool:
        return self.engine.report_calls_to(meter)

    def stop(self) -> None:
        self.engine.stop()

    async def close(self) -> None:
        await self.engine.close()


ENGINES = PluginKind(
    "engine",
    group="fathom.engines",
    attribute="ENGINE",
    table={
        "local": "fathom.engines.local:LocalEngine",
        "openai": "fathom.engines.openai:OpenAIEngine",
        "scores": "fathom.engines.reading_server:ReadingServer",
        "masked": "fathom.engines.masked:MaskedLMEngine",
        "vllm": "fathom.engines.vllm:VLLMEngine",
        "replay": "fathom.engines.replay:ReplayEngine",
        "mini-teacher": "fathom.lab.teacher:Teacher",
    },
)
"""Engines by name: classes or factory functions. An engine's module is imported when the engine is opened."""


INTERFACE = ("complete", "provides", "report_calls_to", "stop", "close")


def open(name: str, model: str | None = None, **options: Any) -> Engine:
    """Open the engine `name` with `model`, where it takes one, and `options`.

    Raises FathomError for an unknown name, and for arguments that the engine does not take.
    """
    make = ENGINES.find(name)
    if not callable(make):
        raise FathomError(f"the engine {name!r} is {make!r}, expected an engine class or a function that returns one")
    models = () if model is None else (model,)
    signature = inspect.signature(make)
    try:
        signature.bind(*models, **options)
    except TypeError as error:
        raise FathomError(f"the engine {name!r}: {error}; it takes {', '.join(signature.parameters)}") from None
    engine: Engine = make(*models, **options)
    lacking = [each for each in INTERFACE if not hasattr(engine, each)]
    if lacking:
        what = f"the engine {name!r} is an object of type {type(engine).__name__}"
        raise FathomError(f"{what}, which has no {', '.join(lacking)}; derive its class from fathom.BaseEngine")
    return engine
