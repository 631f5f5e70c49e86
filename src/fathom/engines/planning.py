"""Dry runs: counts a run's calls and tokens, and the calls that the journal answers, without making any.

    counter = CallCounter(identity, tokens, journal=Path("verdicts.jsonl.journal"))
    counter.count(request)
    counter.plan.calls, counter.plan.stored, counter.plan.prompt_tokens

If later requests depend on replies, the plan counts the maximum and sets `at_most`. Retries and hedged calls are not
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fathom.engines import TEXT_ONLY, AnyRequest, Capability, ChatMessage, Request, check_prefix
from fathom.engines.cache import request_key
from fathom.engines.chat import encode_chat
from fathom.engines.checkpoints import fingerprint, resolve, resolve_checkpoint
from fathom.engines.journal import find, read_only
from fathom.engines.loading import load_tokenizer, placed
from fathom.engines.opening import open_engine, require_model
from fathom.errors import FathomError, check_installed
from fathom.settings import EngineSettings

BYTES_A_TOKEN = 4
"""UTF-8 bytes per token of English text, in current tokenizers."""

Tokens = Callable[[Sequence[ChatMessage]], int]
"""Counts the tokens of a prompt."""


@dataclass
class Plan:
    """The calls of a run. Token counts are those of calls that the journal does not answer, and that cost money."""

    calls: int = 0
    stored: int = 0
    """How many of the calls the journal answers."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """The maximum that the token limits allow."""
    at_most: bool = False
    """Whether the counts are upper bounds, because some calls may not be needed."""
    first: AnyRequest | None = None
    prompts: set[int] = field(default_factory=set, repr=False)
    """Hashes of the distinct prompts."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def double(self) -> None:
        """Allow for a second call after every call."""
        self.calls, self.at_most = 2 * self.calls, True
        self.prompt_tokens, self.completion_tokens = 2 * self.prompt_tokens, 2 * self.completion_tokens


class CallCounter:
    """Counts the requests that an engine would get, each distinct one once, since the journal answers a repetition.

    `identity` and `provides` are those of the engine. An identity of None is not known before the engine is loaded;
    the journal is then not consulted. `extra`: tokens that a second, longer try of each call may generate.
    `on_call` gets each distinct request that the journal does not answer.
    """

    def __init__(
        self,
        identity: str | None,
        tokens: Tokens,
        *,
        provides: Collection[Capability] = TEXT_ONLY,
        journal: Path | None = None,
        extra: int = 0,
    ) -> None:
        self.provides = frozenset(provides)
        self.known_identity = identity
        self.tokens = tokens
        self.extra = extra
        self.on_call: Callable[[AnyRequest], None] = lambda request: None
        self.plan = Plan()
        self._counted: set[str] = set()  # keys, which are hashes
        self._journal = read_only(journal) if identity and journal and journal.is_file() else None

    @property
    def identity(self) -> str:
        return self.known_identity or "not loaded"

    def count(self, request: AnyRequest, *, quoted: int = 0) -> None:
        """Count a request. `quoted`: how many tokens of earlier, still unknown replies its prompt may quote.

        Raises FathomError for a request that the engine would refuse.
        """
        if isinstance(request, Request):
            check_prefix(self, request)
        if not quoted and not self._is_new(request):
            return
        plan = self.plan
        plan.at_most |= quoted > 0
        plan.calls += 1
        plan.first = plan.first or request
        plan.prompts.add(hash((*(message["content"] for message in request.messages), quoted and plan.calls)))
        if not quoted and self._is_stored(request):
            plan.stored += 1
            return
        extra = self.extra if request.max_new_tokens else 0
        given = -(-len(request.given.encode()) // BYTES_A_TOKEN)
        plan.prompt_tokens += (2 if extra else 1) * (self.tokens(request.messages) + given + quoted)
        plan.completion_tokens += request.max_new_tokens + extra
        self.on_call(request)

    def _is_new(self, request: AnyRequest) -> bool:
        before = len(self._counted)
        self._counted.add(request_key(str(self.identity), request))
        return len(self._counted) > before

    def _is_stored(self, request: AnyRequest) -> bool:
        if self._journal is None:
            return False
        key = request_key(str(self.identity), request)
        return find(self._journal, [key]) != [None]


def estimated_tokens(messages: Sequence[ChatMessage]) -> int:
    """Estimate the tokens of a prompt from its length."""
    return sum(-(-len(message["content"].encode()) // BYTES_A_TOKEN) for message in messages)


class Preview(NamedTuple):
    """A counter of calls, and how it counts tokens; see `preview`."""

    counter: CallCounter
    measured: str
    """How prompt tokens are counted, for people."""
    tokenizer: Any | None


def preview(settings: EngineSettings, journal: Path | None = None) -> Preview:
    """Make a counter of the calls to an engine. It loads the tokenizer of a local model, but no weights.

    Raises FathomError for an engine that is not available, as `open_engine` does.
    """
    tokenizer = _tokenizer(settings)
    tokens, measured = estimated_tokens, f"estimated, one per {BYTES_A_TOKEN} characters"
    if tokenizer is not None:
        tokens, measured = _counted_by(tokenizer), "counted by the model's tokenizer"
    extra = settings.arguments.get("longer")
    identity, provides = _declared(settings)
    extra = extra if isinstance(extra, int) else 0
    counter = CallCounter(identity, tokens, provides=provides, journal=journal, extra=extra)
    return Preview(counter, measured, tokenizer)


def _declared(settings: EngineSettings) -> tuple[str | None, frozenset[Capability]]:
    """The identity of the engine, or None if it is known only after loading, and the engine's capabilities."""
    if settings.name == "local":
        from fathom.engines.local import local_capabilities

        check_installed(("torch", "local"), ("transformers", "local"))
        return _local_identity(settings), local_capabilities(resolve_checkpoint(settings.model or ""))
    if settings.name == "vllm":
        from fathom.engines.vllm import VLLMEngine

        require_model(settings)
        check_installed(("vllm", "vllm"))
        return None, VLLMEngine.provides
    engine = open_engine(settings)
    return engine.identity, engine.provides


def _local_identity(settings: EngineSettings) -> str | None:
    """The same as `LocalEngine.identity`, without loading the weights."""
    require_model(settings)
    name = resolve_checkpoint(settings.model or "")
    dtype = _dtype(settings, name)
    revision = settings.arguments.get("revision")
    try:
        return None if dtype is None else f"local:{name}:{dtype}:{fingerprint(name, revision)}"
    except FathomError:  # a model that was never loaded has no stored completions
        return None


def _dtype(settings: EngineSettings, name: str) -> str | None:
    """The precision in which the local engine will load the weights; None if the checkpoint does not state it."""
    given = settings.arguments
    _, dtype = placed(given.get("device", "auto"), given.get("dtype", "auto"))
    if dtype != "auto":
        return dtype
    from transformers import AutoConfig

    own = getattr(AutoConfig.from_pretrained(name, local_files_only=True), "dtype", None)
    return None if own is None else str(own).removeprefix("torch.")


def _tokenizer(settings: EngineSettings) -> Any | None:
    """The tokenizer of a local model, if its files are on this machine."""
    if settings.name not in ("local", "vllm") or settings.model is None:
        return None
    try:
        return load_tokenizer(resolve(settings.model), local_files_only=True)
    except FathomError:
        return None


def _counted_by(tokenizer: Any) -> Any:
    @lru_cache(maxsize=4096)  # votes share their prompts
    def count(messages: tuple[tuple[str, str], ...]) -> int:
        return len(encode_chat(tokenizer, [{"role": role, "content": content} for role, content in messages]))

    def tokens(messages: Sequence[ChatMessage]) -> int:
        return count(tuple((message["role"], message["content"]) for message in messages))

    return tokens
