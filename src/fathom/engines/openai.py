"""Completions from any server that speaks OpenAI's HTTP dialect: vLLM, SGLang, llama.cpp, hosted models.

    async with OpenAIEngine("Qwen/Qwen3-32B", base_url="http://localhost:8000/v1") as engine:
        completion = await engine.complete(Request(({"role": "user", "content": "Hello"},)))

One session with pooled connections serves all requests. How many are in flight, and what a server that is overloaded
gets, is `fathom.engines.limits`' work. Whatever may pass by itself is tried again: broken connections, bodies that are
late, cut short or no completion, and the statuses 408, 409, 429 and 5xx. All else fails at once, and says why.

One request stays one sample, and `n` is never asked for: each sample is then seeded, stored and tried again by itself,
and a failure costs one sample and not all. Servers with a prefix cache compute the shared prompt once all the same;
one that bills tokens may bill the prompt for every sample.

Not promised: equal text for equal seeds. That is the server's to keep; the journal (`fathom.engines.cache`) does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import replace
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, Self

import aiohttp
import yarl
from pydantic_core import to_json

from fathom.engines import Completion, EngineError, Request, Sampling, dialect
from fathom.engines.limits import Limit, backoff, retry_after
from fathom.errors import FathomError

LOG = logging.getLogger(__name__)
OPENAI = "https://api.openai.com/v1"

KEEPALIVE_SECONDS = 4.0
"""How long an idle connection is kept: less than the 5 seconds after which uvicorn, and so vLLM, closes it."""

LONGEST_MESSAGE = 300
"""Characters of what a server said that an error repeats."""

OVERLOADED = frozenset({429, 503, 529})
PASSING = frozenset({408, 409, 429})
"""Beside all of 5xx, the statuses that another try may change."""

HINTS = {
    400: "the server does not take this request: lower max_tokens where it is too long, check the model's name, and "
    "see max_tokens_field, and extra_body to leave out a field",
    401: "check the key: api_key_env or api_key_file names where it is",
    403: "the key may not use this model",
    404: "check the model's name, and base_url, which mostly ends in /v1",
    422: "the server does not know a field: extra_body can leave it out, as in {'seed': null}",
    429: "lower concurrency, or run again later: what is finished is kept",
    500: "the server's log says why; some answer so where they do not know the model's name",
}


class OpenAIEngine:
    """Completes text with `model` at `base_url`.

    `api`: "chat", or "completions" for base models, which get the messages' contents with an empty line after each.
    `api_key_env` and `api_key_file` name where the key is. Without either, only OpenAI's own address gets one, from
    OPENAI_API_KEY; any other gets none.

    `concurrency`: most calls in flight; give `limit` instead to share one among engines at the same endpoint.
    `timeout`: seconds for one try, to the last byte of its body. `deadline`: seconds for a completion from its first
    try on, every further try and every wait included. `retries`: tries after the first one; tries that the server
    answers with Retry-After are not counted, and only the deadline bounds them. `first_backoff`: seconds before the
    second try; see `limits.backoff` for what follows.

    `longer`: the token limit of one more try for a text that met its own; the completion says so in `extended_to`.
    `max_tokens_field`: what the server calls the token limit. `extra_body`: fields that go into every request; None
    leaves out a field that would be there.

    Raises FathomError for settings that cannot work, and a key that is not where it should be.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = OPENAI,
        api: dialect.Api = "chat",
        api_key_env: str | None = None,
        api_key_file: str | Path | None = None,
        concurrency: int = 64,
        limit: Limit | None = None,
        timeout: float = 600,
        deadline: float = 1800,
        retries: int = 8,
        first_backoff: float = 0.5,
        longer: int | None = None,
        max_tokens_field: dialect.MaxTokensField = "max_tokens",
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        _check_positive(concurrency=concurrency, timeout=timeout, deadline=deadline)
        _check_one_of(dialect.PATHS, api=api)
        _check_one_of(dialect.MAX_TOKENS_FIELDS, max_tokens_field=max_tokens_field)
        if not isinstance(extra_body, Mapping | None):
            raise FathomError(f"extra_body={extra_body!r}: allowed is a mapping of fields, such as {{'seed': None}}")
        if extra_body and (extra_body.get("stream") or (extra_body.get("n") or 1) != 1):
            raise FathomError(
                f"extra_body={dict(extra_body)!r}: leave out stream and n; one whole text is read at once"
            )
        self.model = model
        self.base_url = _address(base_url)
        self.api = api
        self.limit = limit or Limit(concurrency, patience=deadline)
        self.timeout = timeout
        self.deadline = deadline
        self.retries = retries
        self.first_backoff = first_backoff
        self.longer = longer
        self.max_tokens_field = max_tokens_field
        self.extra_body = dict(extra_body or {})
        self._key = _key(self.base_url, api_key_env, api_key_file)
        self._url = yarl.URL(f"{self.base_url}/{dialect.PATHS[api]}")
        self._stopped = self._warned = False
        self._open: _Open | None = None

    @cached_property
    def identity(self) -> str:
        settings = json.dumps({"extra_body": self.extra_body, "longer": self.longer}, sort_keys=True)
        return f"openai:{self.base_url}:{self.api}:{self.model}:{settings}"

    async def complete(self, request: Request) -> Completion:
        """Raises EngineError that says what the server answered, and what was tried."""
        completion = await self._completed(request)
        if completion.finish_reason != "length" or self.longer is None or self.longer <= request.sampling.max_tokens:
            return completion
        cut = replace(completion, extended_to=self.longer)
        sampling = replace(request.sampling, max_tokens=self.longer)
        try:
            again = await self._completed(replace(request, sampling=sampling))
        except EngineError as error:
            limits = f"the text met its limit of {request.sampling.max_tokens} tokens, and the try with {self.longer}"
            message = f"{limits} failed: {error.message}"
            raise EngineError(message, retryable=error.retryable, hint=error.hint, written=cut) from error
        return replace(again, usage=cut.usage + again.usage, extended_to=self.longer)

    async def _completed(self, request: Request) -> Completion:
        fields = dialect.body(request, self.model, self.api, self.max_tokens_field) | self.extra_body
        body = to_json({name: value for name, value in fields.items() if value is not None})
        failures: list[EngineError] = []
        unanswered, answered = 0, self.limit.answered
        await self._enter()
        try:
            async with asyncio.timeout(self.deadline):
                while True:
                    try:
                        return _as_asked(await self._try(body), request.sampling)
                    except EngineError as failure:
                        failures.append(failure)
                    self._warn(failures[-1])
                    unanswered = unanswered + 1 if self.limit.answered == answered else 1
                    answered = self.limit.answered
                    await asyncio.sleep(self._pause(failures, unanswered))
                    await self._enter()
        except TimeoutError:
            raise EngineError(
                f"no completion within the deadline of {self.deadline:g} s, after {_tried(failures)}",
                retryable=True,
                hint="raise deadline, or lower concurrency",
            ) from None

    async def _enter(self) -> None:
        await self.limit.enter()
        if self._stopped:
            self.limit.leave()
            raise EngineError("stopped before this was asked", retryable=True)

    def _warn(self, failure: EngineError) -> None:
        """Once, and only before the first answer, so that nobody waits in silence for a server that is not there."""
        if failure.retryable and not self.limit.answered and not self._warned:
            self._warned = True
            LOG.warning("trying again: %s", failure)

    def _pause(self, failures: list[EngineError], unanswered: int) -> float:
        """Seconds before the next try. Raises the last failure where there is to be none."""
        last = failures[-1]
        if not last.retryable:
            raise last
        if isinstance(last, _HeldError):
            return 0.0  # the limit lets nobody in before Retry-After has passed
        counted = [failure for failure in failures if not isinstance(failure, _HeldError)]
        if len(counted) > self.retries:
            raise EngineError(f"gave up after {_tried(failures)}", retryable=True, hint=last.hint) from last
        return backoff(len(counted), unanswered, self.first_backoff)

    async def _try(self, body: bytes) -> Completion:
        """One call. Enter the limit before; it is left here."""
        sent = time.monotonic()
        try:
            session = await self._session()
            async with (
                asyncio.timeout(self.timeout),
                session.post(self._url, data=body, allow_redirects=False) as response,
            ):
                content = await response.read()
            if response.status != HTTPStatus.OK:
                raise self._refusal(response, content, sent)
            completion = self._completion(content)
            self.limit.grow()
            return completion
        except TimeoutError:
            message = f"no whole answer within the timeout of {self.timeout:g} s"
            raise EngineError(
                message, retryable=True, hint="raise timeout, or lower concurrency or max_tokens"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            message = self._shown(f"the connection failed: {type(error).__name__}: {error}")
            raise EngineError(message, retryable=True, hint=f"is a server running at {self.base_url}?") from None
        finally:
            self.limit.leave()

    def _refusal(self, response: aiohttp.ClientResponse, content: bytes, sent: float) -> EngineError:
        status = response.status
        message = f"HTTP {status}: {self._shown(dialect.read_error(content) or response.reason or '')}"
        if status in range(300, 400):
            return EngineError(message, hint=self._shown(f"base_url moved to {response.headers.get('location')}"))
        if b"insufficient_quota" in content:
            return EngineError(message, hint="the account has no credit left")
        hint = HINTS.get(status, "")
        if status not in PASSING and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return EngineError(message, hint=hint)
        if status in OVERLOADED:
            self.limit.cut(sent)
        wait = retry_after(response.headers)
        if not wait:
            return EngineError(message, retryable=True, hint=hint)
        self.limit.hold(wait)
        return _HeldError(message, retryable=True, hint=hint)

    def _completion(self, content: bytes) -> Completion:
        try:
            return dialect.read(json.loads(content))
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            message = (
                f"the answer is no completion: {type(error).__name__}: {error}: {content.decode(errors='replace')}"
            )
            hint = f"does {self._url} speak OpenAI's dialect?"
            raise EngineError(self._shown(message), retryable=True, hint=hint) from None

    def _shown(self, text: str) -> str:
        """What others wrote, fit for a log or a result: one short line without the key."""
        text = " ".join((text.replace(self._key, "[key]") if self._key else text).split())
        return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}..."

    async def _session(self) -> aiohttp.ClientSession:
        """A session belongs to one event loop, so each `asyncio.run` gets its own."""
        loop = asyncio.get_running_loop()
        if self._open is None or self._open.loop is not loop or self._open.session.closed:
            keeper = self._kept_open()
            self._open = _Open(loop, keeper, await anext(keeper))
        return self._open.session

    async def _kept_open(self) -> AsyncGenerator[aiohttp.ClientSession, None]:
        """One session. A generator, because a loop that shuts down ends those: so nobody has to close an engine."""
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        async with aiohttp.ClientSession(
            headers=headers,
            # No limits of its own: `Limit` and `asyncio.timeout` are the only ones.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            yield session

    def stop(self) -> None:
        """Sends nothing more until it was closed: what waits for its turn fails, what is in flight goes on."""
        self._stopped = True

    async def close(self) -> None:
        """Closes the connections. A later request opens new ones."""
        self._stopped = False
        if self._open is not None:
            await self._open.keeper.aclose()
            self._open = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Open(NamedTuple):
    loop: asyncio.AbstractEventLoop
    keeper: AsyncGenerator[aiohttp.ClientSession, None]
    session: aiohttp.ClientSession


class _HeldError(EngineError):
    """A failure that came with Retry-After."""


def _as_asked(completion: Completion, sampling: Sampling) -> Completion:
    """Some servers take a field and do nothing about it. Raises EngineError for log-probabilities that are missing."""
    if (sampling.logprobs or sampling.top_logprobs) and completion.logprobs is None and completion.text:
        raise EngineError("the server gave no log-probabilities", hint="choose what needs none: --aggregate majority")
    return dialect.stopped(completion, sampling.stop)


def _tried(failures: list[EngineError]) -> str:
    if not failures:
        return "1 try"
    return f"{len(failures)} {'try' if len(failures) == 1 else 'tries'}, the last one: {failures[-1].message}"


def _check_positive(**settings: Any) -> None:
    for name, value in settings.items():
        if not isinstance(value, int | float) or not value > 0:
            raise FathomError(f"{name}={value!r}: allowed is a number above 0")


def _check_one_of(allowed: Collection[str], **settings: str) -> None:
    for name, value in settings.items():
        if value not in allowed:
            raise FathomError(f"{name}={value!r}: allowed are {', '.join(allowed)}")


def _address(base_url: str) -> str:
    try:
        url = yarl.URL(base_url)
    except ValueError as error:
        raise FathomError(f"base_url={base_url!r} is no address: {error}") from None
    if url.user or url.password or url.query_string or url.fragment:
        # Not shown: the address is written into results, and what stands there may be a secret.
        raise FathomError("base_url holds a user, a password, a query or a fragment; give a key with api_key_env")
    if url.scheme not in {"http", "https"} or not url.host:
        raise FathomError(f"base_url={base_url!r}: allowed is an address such as http://localhost:8000/v1")
    return base_url.rstrip("/")


def _key(base_url: str, env: str | None, file: str | Path | None) -> str | None:
    if file is not None:
        return _usable(_content(Path(file)), f"the file {file}")
    if env is None and base_url != OPENAI:
        return None
    env = env or "OPENAI_API_KEY"
    if env not in os.environ:
        raise FathomError(f"the environment has no {env}; set it to the key for {base_url}, or give api_key_file")
    return _usable(os.environ[env], env)


def _content(path: Path) -> str:
    try:
        return path.expanduser().read_text()
    except (OSError, ValueError) as error:
        raise FathomError(f"cannot read the key from {path}: {type(error).__name__}") from None


def _usable(key: str, place: str) -> str:
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise FathomError(f"{place} holds no key: allowed is one line of printable ASCII")
    return key
