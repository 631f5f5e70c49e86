"""Completions from any server that speaks OpenAI's HTTP dialect: vLLM, SGLang, llama.cpp, hosted models.

    async with OpenAIEngine("Qwen/Qwen3-32B", base_url="http://localhost:8000/v1") as engine:
        completion = await engine.complete(Request(({"role": "user", "content": "Hello"},)))

A completion is one call or several: `fathom.engines.endpoint` makes each, on pooled connections. Whatever may pass by
itself is tried again: broken connections, bodies that are late, cut short or no completion, and the statuses 408, 409,
429 and 5xx but 501. All else fails at once, and says why. Refusals that all other calls would get as well end the run
(`fathom.engines.failures`).

One request stays one sample, and `n` is never asked for: each sample is then seeded, stored and tried again by itself,
and a failure costs one sample and not all. Servers with a prefix cache compute the shared prompt once all the same;
one that bills tokens may bill the prompt for every sample.

Not promised: equal text for equal seeds. That is the server's to keep; the journal (`fathom.engines.cache`) does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic_core import to_json

from fathom.engines import (
    BaseEngine,
    Completion,
    EngineError,
    IncompleteAnswerError,
    Meter,
    Request,
    check_prefix,
    dialect,
)
from fathom.engines.address import address
from fathom.engines.chat import prompt_tokens
from fathom.engines.checkpoints import resolve_checkpoint
from fathom.engines.endpoint import Endpoint
from fathom.engines.limits import Limit, backoff
from fathom.engines.loading import load_tokenizer
from fathom.engines.usage import Usage
from fathom.errors import FathomError

LOG = logging.getLogger(__name__)


class OpenAIEngine(BaseEngine):
    """Completes text with `model` at `base_url`.

    `base_url`: OPENAI_BASE_URL's unless given, and OpenAI's own without that. It may have a query, as Azure's addresses
    have. `headers` go into every request. `proxy`: an HTTP proxy; unless given, what HTTPS_PROXY, HTTP_PROXY and
    NO_PROXY say, but none for servers on this machine; "none" for none. In the values of a query, of headers and of a
    proxy, `$NAME` stands for an environment variable, and a secret can only be given so (`fathom.engines.address`).
    `api`: "chat", or "completions" for base models, which get the messages' contents with an empty line after each.
    `tokenizer`: a folder or a name on the model hub, with whose chat template the messages become the tokens that
    "completions" is asked to continue. `continue_final_message`: whether "chat" of this server continues a last message
    of the assistant, as vLLM and SGLang do; requests may then have a prefix, as always with "completions".
    `api_key_env` and `api_key_file` name where the key is. Without either, only OpenAI's own address and that of
    OPENAI_BASE_URL get one, from OPENAI_API_KEY; an address that is given gets none.

    `concurrency`: most calls in flight; give `limit` instead to share one among engines at the same endpoint.
    `timeout`: seconds for one try, to the last byte of its body. `deadline`: seconds for a completion from its first
    try on, every further try and every wait included. `retries`: tries after the first one; tries that the server
    answers with Retry-After are not counted, and only the deadline bounds them. `first_backoff`: seconds before the
    second try; see `limits.backoff` for what follows. `connect_wait`: seconds in which a server that never answered
    must accept a connection, or the run stops. `hedge`: whether calls that take far longer than others are made a
    second time (`fathom.engines.hedging`).

    `longer`: the token limit of one more try for a text that met its own; the completion says so in `retry_max_tokens`.
    `max_tokens_field`: what the server calls the token limit. `extra_body`: fields that go into every request; None
    leaves out a field that would be there.

    Raises FathomError for settings that cannot work, and a key that is not where it should be.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api: dialect.Api = "chat",
        tokenizer: str | Path | None = None,
        continue_final_message: bool = False,
        api_key_env: str | None = None,
        api_key_file: str | Path | None = None,
        headers: Mapping[str, Any] | None = None,
        proxy: str | None = None,
        concurrency: int = 64,
        limit: Limit | None = None,
        timeout: float = 600,
        deadline: float = 1800,
        retries: int = 8,
        first_backoff: float = 0.5,
        connect_wait: float = 5,
        hedge: bool = True,
        longer: int | None = None,
        max_tokens_field: dialect.MaxTokensField = "max_tokens",
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        _check_positive(concurrency=concurrency, timeout=timeout, deadline=deadline, connect_wait=connect_wait)
        _check_one_of(dialect.PATHS, api=api)
        _check_one_of(dialect.MAX_TOKENS_FIELDS, max_tokens_field=max_tokens_field)
        if not isinstance(hedge, bool):
            raise FathomError(f"hedge={hedge!r}: expected true or false")
        _check_extra_body(extra_body)
        _check_continuing(api, tokenizer, continue_final_message)
        self.model = model
        self.address = address(
            base_url,
            dialect.PATHS[api],
            headers=headers,
            api_key_env=api_key_env,
            api_key_file=api_key_file,
            proxy=proxy,
        )
        self.api = api
        self.limit = limit or Limit(concurrency, patience=deadline)
        self.endpoint = Endpoint(self.address, self.limit, timeout=timeout, connect_wait=connect_wait, hedge=hedge)
        self.deadline = deadline
        self.retries = retries
        self.first_backoff = first_backoff
        self.longer = longer
        self.max_tokens_field = max_tokens_field
        self.headers = dict(headers or {})
        self.extra_body = dict(extra_body or {})
        self.tokenizer_name = None if tokenizer is None else resolve_checkpoint(tokenizer)
        continues = continue_final_message or api == "completions"
        self.provides = frozenset({"text", "logprobs", "prefix"} if continues else {"text", "logprobs"})
        self._warned = self._gave_logprobs = False

    def report_calls_to(self, meter: Meter) -> bool:
        self.endpoint.meter = meter
        return True

    @property
    def base_url(self) -> str:
        return self.address.shown

    @cached_property
    def identity(self) -> str:
        # Headers that stand for variables are left out: a new key makes no other engine.
        deciding = {name: value for name, value in self.headers.items() if "$" not in str(value)}
        told: dict[str, Any] = {"extra_body": self.extra_body, "longer": self.longer} | (
            {"headers": deciding} if deciding else {}
        )
        if self.tokenizer_name is not None:
            told["tokenizer"] = self.tokenizer_name
        return f"openai:{self.base_url}:{self.api}:{self.model}:{json.dumps(told, sort_keys=True)}"

    @cached_property
    def tokenizer(self) -> Any:
        """The one that makes prompts, loaded with the first request."""
        return load_tokenizer(self.tokenizer_name or "")

    async def complete(self, request: Request) -> Completion:
        """Raises EngineError that says what the server answered and what was tried.

        Raises RunStoppedError where no other call would do better: IncompleteAnswerError of the first answer that has
        no log-probabilities although they were asked for.
        """
        check_prefix(self, request)
        completion = self._as_asked(await self._completed(request), request)
        if completion.finish_reason != "length" or self.longer is None or self.longer <= request.sampling.max_tokens:
            return completion
        cut = replace(completion, retry_max_tokens=self.longer)
        sampling = replace(request.sampling, max_tokens=self.longer)
        try:
            again = self._as_asked(await self._completed(replace(request, sampling=sampling)), request)
        except EngineError as error:
            limits = f"the text met its limit of {request.sampling.max_tokens} tokens, and the try with {self.longer}"
            raise EngineError(
                f"{limits} failed: {error.message}",
                retryable=error.retryable,
                hint=error.hint,
                partial=cut,
                usage=cut.usage + error.usage,
            ) from error
        return replace(again, usage=cut.usage + again.usage, retry_max_tokens=self.longer)

    def _as_asked(self, completion: Completion, request: Request) -> Completion:
        """The completion without what follows a stop string. Some servers take a field and do nothing about it."""
        sampling = request.sampling
        if sampling.logprobs or sampling.top_logprobs:
            self._check_logprobs(completion, tops=sampling.top_logprobs > 0)
        return dialect.cut_at_stop(completion, sampling.stop) if sampling.stop else completion

    def _check_logprobs(self, completion: Completion, *, tops: bool) -> None:
        """Raises an error where they were asked for and did not come; with `tops` also the likely tokens."""
        if any(token.top or not tops for token in completion.logprobs or ()):
            self._gave_logprobs = True
        elif completion.text and completion.finish_reason not in ("content_filter", "refusal"):
            lacking = replace(completion, lacks="log-probabilities")
            if not self._gave_logprobs:
                stopped = IncompleteAnswerError(lacking)
                self.endpoint.breaker.stop(str(stopped))
                raise stopped
            # A router asks several servers, of which only some give them.
            raise EngineError("the server gave no log-probabilities this time", partial=lacking)

    async def _completed(self, request: Request) -> Completion:
        prompt = prompt_tokens(self.tokenizer, request, name=self.model) if self.tokenizer_name else None
        fields = dialect.payload(request, self.model, self.api, self.max_tokens_field, prompt) | self.extra_body
        body = to_json({name: value for name, value in fields.items() if value is not None})
        if self.endpoint.gate.is_open:
            return await self._tried(request, body)
        await self.endpoint.gate.acquire()
        try:
            return await self._tried(request, body)
        finally:
            self.endpoint.gate.release()

    async def _tried(self, request: Request, body: bytes) -> Completion:
        """As `_first_good`; the endpoint hears how it went."""
        failures: list[EngineError] = []
        try:
            completion = await self._first_good(request, body, failures)
        except EngineError as error:
            error.usage = sum((failure.usage for failure in failures), Usage())
            if not self.endpoint.stopped:
                self.endpoint.breaker.failure(error)
            raise
        self.endpoint.succeeded()
        return completion

    async def _first_good(self, request: Request, body: bytes, failures: list[EngineError]) -> Completion:
        """What comes of the first try that goes well. Those that did not are added to `failures`."""
        unanswered, answered = 0, self.limit.answered
        await self.endpoint.acquire(request)
        latest = time.monotonic() + self.deadline
        while True:
            try:
                return await self.endpoint.call(request, body, latest)
            except EngineError as failure:
                failures.append(failure)
            self._warn(failures[-1])
            unanswered = unanswered + 1 if self.limit.answered == answered else 1
            answered = self.limit.answered
            try:
                async with asyncio.timeout(latest - time.monotonic()):
                    await self.endpoint.rest(self._pause(failures, unanswered))
                    # Before those that were not asked yet, whose rows began later: a run is as long as its last row.
                    await self.endpoint.acquire(request, first=True)
            except TimeoutError:
                raise EngineError(
                    f"no completion within the deadline of {self.deadline:g} s, after {_tries(failures)}",
                    retryable=True,
                    hint="raise deadline, or lower concurrency",
                ) from None

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
        self.endpoint.breaker.check()
        if last.kind == "unreachable":
            self.endpoint.breaker.no_connection(last)
        if last.server_set_wait:
            return 0.0  # the limit lets nobody in before Retry-After has passed
        counted = [failure for failure in failures if not failure.server_set_wait]
        if len(counted) > self.retries:
            message = f"gave up after {_tries(failures)}"
            raise EngineError(message, retryable=True, hint=last.hint, kind=last.kind) from last
        return backoff(len(counted), unanswered, self.first_backoff)

    def stop(self) -> None:
        """Sends nothing more until it was closed: what waits for its turn fails, what is in flight goes on."""
        self.endpoint.stop()

    async def close(self) -> None:
        """Closes the connections. A later request opens new ones, and finds out anew whether the server can be used."""
        await self.endpoint.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _tries(failures: list[EngineError]) -> str:
    if not failures:
        return "1 try"
    return f"{len(failures)} {'try' if len(failures) == 1 else 'tries'}, the last one: {failures[-1].message}"


def _check_positive(**settings: Any) -> None:
    for name, value in settings.items():
        if not isinstance(value, int | float) or not value > 0:
            raise FathomError(f"{name}={value!r}: expected a number above 0")


def _check_one_of(allowed: Collection[str], **settings: str) -> None:
    for name, value in settings.items():
        if value not in allowed:
            raise FathomError(f"{name}={value!r}: expected one of {', '.join(allowed)}")


def _check_continuing(api: str, tokenizer: object, continue_final_message: object) -> None:
    if not isinstance(continue_final_message, bool):
        raise FathomError(f"continue_final_message={continue_final_message!r}: expected true or false")
    if tokenizer is not None and api != "completions":
        raise FathomError(f"tokenizer={str(tokenizer)!r} goes with api=completions; the chat endpoint has its own")
    if continue_final_message and api != "chat":
        raise FathomError("continue_final_message=true goes with api=chat; api=completions continues every prompt")


def _check_extra_body(fields: Any) -> None:
    if not isinstance(fields, Mapping | None):
        raise FathomError(f"extra_body={fields!r}: expected a mapping of fields, such as {{'seed': None}}")
    if fields and (fields.get("stream") or (fields.get("n") or 1) != 1):
        raise FathomError(f"extra_body={dict(fields)!r}: leave out stream and n; one whole text is read at once")
