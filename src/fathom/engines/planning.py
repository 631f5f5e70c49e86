"""What a run would ask, counted without asking: the requests, their tokens, and how many are answered already.

    engine = CountingEngine(identity, tokens, journal=Path("verdicts.jsonl.journal"))
    ...                                     # judge with it: every call fails, after it was counted
    engine.plan.calls, engine.plan.stored, engine.plan.prompt_tokens

What is asked must not depend on the replies; where it does, a plan is made of the most that can be asked, and says
`at_most`. Not counted are further tries of calls that fail, and calls that an engine hedges.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fathom.engines import (
    TEXT_ONLY,
    BaseEngine,
    Capability,
    ChatMessage,
    Completion,
    EngineError,
    Request,
    check_prefix,
)
from fathom.engines.cache import request_key
from fathom.engines.chat import encode_chat
from fathom.engines.checkpoints import fingerprint, resolve, resolve_checkpoint
from fathom.engines.journal import find, read_only
from fathom.engines.loading import load_tokenizer, placed
from fathom.engines.opening import open_engine, require_model
from fathom.errors import FathomError, check_installed
from fathom.settings import EngineSettings

BYTES_A_TOKEN = 4
"""Of UTF-8, in English text, by the tokenizers of today's models."""

Tokens = Callable[[Sequence[ChatMessage]], int]
"""How many tokens a prompt has."""


@dataclass
class Plan:
    """What a run asks. Tokens are those of calls that are not in the journal, and so have to be paid."""

    calls: int = 0
    stored: int = 0
    """Of the calls, those that the journal answers."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """As many as the limits of the completions allow."""
    at_most: bool = False
    """Whether some of the calls may turn out not to be needed."""
    first: Request | None = None
    prompts: set[int] = field(default_factory=set, repr=False)
    """Hashes of the different prompts."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def double(self) -> None:
        """Every call may be made once more."""
        self.calls, self.at_most = 2 * self.calls, True
        self.prompt_tokens, self.completion_tokens = 2 * self.prompt_tokens, 2 * self.completion_tokens


class CountingEngine(BaseEngine):
    """Counts each request once, as a journal would answer the second time, and completes none.

    `identity` is that of the engine in whose place it stands; None where that is not known before the engine is
    loaded, so that nothing is looked up in the `journal`. `provides` is what that engine does. `extra` tokens more may
    be written by each call.
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
        self.plan = Plan()
        self._counted: set[str] = set()  # keys, which are hashes
        self._journal = read_only(journal) if identity and journal and journal.is_file() else None

    @property
    def identity(self) -> str:
        return self.known_identity or "not loaded"

    async def complete(self, request: Request) -> Completion:
        """Never returns: raises EngineError, and FathomError for what the engine would refuse."""
        check_prefix(self, request)
        self.count(request)
        raise EngineError("a dry run asks nothing")

    def count(self, request: Request, *, quoted: int = 0) -> None:
        """Counts a request. `quoted` tokens of earlier replies may stand in its prompt beside what is there now."""
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
        tries = 2 if self.extra else 1
        prefix = -(-len(request.prefix.encode()) // BYTES_A_TOKEN)
        plan.prompt_tokens += tries * (self.tokens(request.messages) + prefix + quoted)
        plan.completion_tokens += request.sampling.max_tokens + self.extra

    def _is_new(self, request: Request) -> bool:
        before = len(self._counted)
        self._counted.add(request_key(str(self.identity), request))
        return len(self._counted) > before

    def _is_stored(self, request: Request) -> bool:
        if self._journal is None:
            return False
        key = request_key(str(self.identity), request)
        return find(self._journal, [key]) != [None]

    async def close(self) -> None:
        if self._journal is not None:
            self._journal.close()


def estimated_tokens(messages: Sequence[ChatMessage]) -> int:
    """About how many tokens a prompt has, by its length alone."""
    return sum(-(-len(message["content"].encode()) // BYTES_A_TOKEN) for message in messages)


class Preview(NamedTuple):
    """An engine that only counts, and how: see `preview`."""

    engine: CountingEngine
    measured: str
    """How the tokens of prompts are counted, for people."""
    tokenizer: Any | None


def preview(settings: EngineSettings, journal: Path | None = None) -> Preview:
    """What counts the requests to the engine. No weights are loaded, but the tokenizer of a local model is.

    Raises FathomError for an engine that cannot be had, as `open_engine` does.
    """
    tokenizer = _tokenizer(settings)
    tokens, measured = estimated_tokens, f"estimated, one per {BYTES_A_TOKEN} characters"
    if tokenizer is not None:
        tokens, measured = _counted_by(tokenizer), "counted by the model's tokenizer"
    extra = settings.arguments.get("longer")
    identity, provides = _declared(settings)
    extra = extra if isinstance(extra, int) else 0
    engine = CountingEngine(identity, tokens, provides=provides, journal=journal, extra=extra)
    return Preview(engine, measured, tokenizer)


def _declared(settings: EngineSettings) -> tuple[str | None, frozenset[Capability]]:
    """The identity that the engine will have, where that is known without loading a model, and what it provides."""
    if settings.name == "local":
        from fathom.engines.local import LocalEngine

        check_installed(("torch", "local"), ("transformers", "local"))
        return _local_identity(settings), LocalEngine.provides
    if settings.name == "vllm":
        from fathom.engines.vllm import VLLMEngine

        require_model(settings)
        check_installed(("vllm", "vllm"))
        return None, VLLMEngine.provides
    engine = open_engine(settings)
    return engine.identity, engine.provides


def _local_identity(settings: EngineSettings) -> str | None:
    """As `LocalEngine` makes it of the loaded model."""
    require_model(settings)
    name = resolve_checkpoint(resolve(settings.model or ""))
    dtype = _dtype(settings, name)
    revision = settings.arguments.get("revision")
    try:
        return None if dtype is None else f"local:{name}:{dtype}:{fingerprint(name, revision)}"
    except FathomError:  # a model that is not here yet has no completions either
        return None


def _dtype(settings: EngineSettings, name: str) -> str | None:
    """The precision that the local engine will load the weights in; None where the checkpoint does not say it."""
    given = settings.arguments
    _, dtype = placed(given.get("device", "auto"), given.get("dtype", "auto"))
    if dtype != "auto":
        return dtype
    from transformers import AutoConfig

    own = getattr(AutoConfig.from_pretrained(name, local_files_only=True), "dtype", None)
    return None if own is None else str(own).removeprefix("torch.")


def _tokenizer(settings: EngineSettings) -> Any | None:
    """The tokenizer of a model in this process, where it is on this machine."""
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
