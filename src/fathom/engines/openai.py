"""Completions from any server with OpenAI's HTTP API: vLLM, SGLang, llama.cpp, hosted models.

    async with OpenAIEngine("Qwen/Qwen3-32B", base_url="http://localhost:8000/v1") as engine:
        completion = await engine.complete(Request(({"role": "user", "content": "Hello"},)))

A completion takes one or more calls; `fathom.engines.endpoint` makes each of them on pooled connections. Transient
failures are retried: broken connections, bodies that are late, truncated or not a completion, and the statuses 408,
409, 425, 429 and 5xx except 501 and 505. Any other failure is reported at once. Errors that every other call would get
too end the run (`fathom.engines.failures`).

Every request is one sample; the API's `n` is not used. So each sample has its own seed, journal entry and retries, and
a failure costs one sample only. A server with a prefix cache still computes a shared prompt once; a hosted model may
bill the prompt for every sample.

Not guaranteed: equal texts for equal seeds, which depends on the server. The journal (`fathom.engines.cache`) makes
runs repeatable.
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
    AnyRequest,
    BaseEngine,
    Completion,
    EngineError,
    Meter,
    MissingLogprobsError,
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

    Address and authentication:

    - `base_url`: defaults to OPENAI_BASE_URL, and else to OpenAI's own. It may have a query, as on Azure.
    - `headers`: HTTP headers of every request.
    - `proxy`: an HTTP proxy, or "none". By default HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply, except to servers on
      this machine.
    - `api_key_env`, `api_key_file`: the environment variable or the file that holds the key. Without either,
      OPENAI_API_KEY is sent to OpenAI's own address and to OPENAI_BASE_URL, but not to a given `base_url`.

    In the values of a query, of headers and of the proxy, `$NAME` is replaced by an environment variable; secrets can
    only be given this way (`fathom.engines.address`).

    Prompts:

    - `api`: "chat", or "completions" for base models, which get each message's content followed by an empty line.
    - `tokenizer`: a folder or a hub name, for "completions". Its chat template renders the messages to prompt tokens.
    - `continue_final_message`: whether the server's "chat" continues a final assistant message, as vLLM and SGLang do.
      Requests may then have a prefix, which "completions" always supports.
    - `max_tokens_field`: the server's name for the token limit.
    - `extra_body`: fields added to every request; a value of None removes a field.

    Calls:

    - `concurrency`: maximum number of calls in flight. Give `limit` instead to share one limit among several engines.
    - `timeout`: seconds for one try, to the last byte of its body.
    - `deadline`: seconds for a completion from its first try, including all further tries and waits.
    - `retries`: tries after the first one. Tries answered with Retry-After do not count; only `deadline` bounds them.
    - `first_backoff`: seconds before the second try; see `limits.backoff` for later ones.
    - `connect_wait`: seconds within which a server that never answered must accept a connection, or the run stops.
    - `hedge`: whether to send calls again that take far longer than others (`fathom.engines.hedging`).
    - `longer`: retry a text that reached its token limit once with this limit, recorded in
      `Completion.retry_max_tokens`.

    Raises FathomError for invalid settings and for a missing key.
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
        # Headers with variables are omitted, so a new key does not change the identity, and with it all journal keys.
        fixed_headers = {name: value for name, value in self.headers.items() if "$" not in str(value)}
        settings: dict[str, Any] = {"extra_body": self.extra_body, "longer": self.longer} | (
            {"headers": fixed_headers} if fixed_headers else {}
        )
        if self.tokenizer_name is not None:
            settings["tokenizer"] = self.tokenizer_name
        return f"openai:{self.base_url}:{self.api}:{self.model}:{json.dumps(settings, sort_keys=True)}"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer that renders prompts, loaded with the first request."""
        return load_tokenizer(self.tokenizer_name or "")

    async def complete(self, request: Request) -> Completion:
        """Complete a request. Raises EngineError with the server's answer and the tries made.

        Raises RunStoppedError if no other call would succeed either; MissingLogprobsError if the first answer lacks
        the requested log-probabilities.
        """
        check_prefix(self, request)
        completion = self.checked(await self._completed(request), request)
        if completion.finish_reason != "length" or self.longer is None or self.longer <= request.sampling.max_tokens:
            return completion
        cut = replace(completion, retry_max_tokens=self.longer)
        sampling = replace(request.sampling, max_tokens=self.longer)
        try:
            again = self.checked(await self._completed(replace(request, sampling=sampling)), request)
        except EngineError as error:
            limits = (
                f"the text reached its limit of {request.sampling.max_tokens} tokens, and the try with {self.longer}"
            )
            raise EngineError(
                f"{limits} failed: {error.message}",
                retryable=error.retryable,
                hint=error.hint,
                partial=cut,
                usage=cut.usage + error.usage,
            ) from error
        return replace(again, usage=cut.usage + again.usage, retry_max_tokens=self.longer)

    def checked(self, completion: Completion, request: Request) -> Completion:
        """Check for log-probabilities and cut at stop strings, because some servers silently ignore these fields.

        Raises MissingLogprobsError, or EngineError if only this answer lacks log-probabilities.
        """
        sampling = request.sampling
        if sampling.logprobs or sampling.top_logprobs:
            self._check_logprobs(completion, tops=sampling.top_logprobs > 0)
        return dialect.cut_at_stop(completion, sampling.stop) if sampling.stop else completion

    def _check_logprobs(self, completion: Completion, *, tops: bool) -> None:
        """Raise an error if log-probabilities are missing or, with `tops`, the most likely tokens."""
        if any(token.top or not tops for token in completion.logprobs or ()):
            self._gave_logprobs = True
        elif completion.text and completion.finish_reason not in ("content_filter", "refusal"):
            lacking = replace(completion, lacks="log-probabilities")
            if not self._gave_logprobs:
                stopped = MissingLogprobsError(lacking)
                self.endpoint.breaker.stop(str(stopped))
                raise stopped
            # Earlier answers had them: a router distributes calls to several servers, and this one does not return any.
            raise EngineError("the server returned no log-probabilities this time", partial=lacking)

    def fields(self, request: Request) -> dict[str, Any]:
        """The JSON fields of a call for this request. No network calls."""
        prompt = prompt_tokens(self.tokenizer, request, name=self.model) if self.tokenizer_name else None
        fields = dialect.payload(request, self.model, self.api, self.max_tokens_field, prompt) | self.extra_body
        return {name: value for name, value in fields.items() if value is not None}

    async def _completed(self, request: Request) -> Completion:
        body = to_json(self.fields(request))
        if self.endpoint.gate.is_open:
            return await self._tried(request, body)
        await self.endpoint.gate.acquire()
        try:
            return await self._tried(request, body)
        finally:
            self.endpoint.gate.release()

    async def _tried(self, request: AnyRequest, body: bytes) -> Completion:
        """Call until a try succeeds, and report the result to the endpoint."""
        failures: list[EngineError] = []
        try:
            completion = await self._first_success(request, body, failures)
        except EngineError as error:
            error.usage = sum((failure.usage for failure in failures), Usage())
            if not self.endpoint.stopped:
                self.endpoint.breaker.failure(error)
            raise
        self.endpoint.succeeded()
        return completion

    async def _first_success(self, request: AnyRequest, body: bytes, failures: list[EngineError]) -> Completion:
        """The completion of the first successful try. Failed tries are appended to `failures`."""
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
                    # Ahead of new requests, whose rows began later: a run lasts as long as its slowest row.
                    await self.endpoint.acquire(request, first=True)
            except TimeoutError:
                raise EngineError(
                    f"no completion within the deadline of {self.deadline:g} s, after {_tries(failures)}",
                    retryable=True,
                    hint="raise deadline, or lower concurrency",
                ) from None

    def _warn(self, failure: EngineError) -> None:
        """Log a retry once, and only before the first answer, so that a missing server does not look like a hang."""
        if failure.retryable and not self.limit.answered and not self._warned:
            self._warned = True
            LOG.warning("trying again: %s", failure)

    def _pause(self, failures: list[EngineError], unanswered: int) -> float:
        """Seconds before the next try. Raises an error if there is to be none."""
        last = failures[-1]
        if not last.retryable:
            raise last
        self.endpoint.breaker.check()
        if last.kind == "unreachable":
            self.endpoint.breaker.no_connection(last)
        if last.server_set_wait:
            return 0.0  # the limit admits no call before Retry-After has passed
        counted = [failure for failure in failures if not failure.server_set_wait]
        if len(counted) > self.retries:
            message = f"gave up after {_tries(failures)}"
            raise EngineError(message, retryable=True, hint=last.hint, kind=last.kind) from last
        return backoff(len(counted), unanswered, self.first_backoff)

    def stop(self) -> None:
        """Make no further call until `close`: waiting requests fail, and calls in flight go on."""
        self.endpoint.stop()

    async def close(self) -> None:
        """Close the connections. A later request opens new ones."""
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
        raise FathomError(f"tokenizer={str(tokenizer)!r} needs api=completions; the chat endpoint has its own")
    if continue_final_message and api != "chat":
        raise FathomError("continue_final_message=true needs api=chat; api=completions continues every prompt")


def _check_extra_body(fields: Any) -> None:
    if not isinstance(fields, Mapping | None):
        raise FathomError(f"extra_body={fields!r}: expected a mapping of fields, such as {{'seed': None}}")
    if fields and (fields.get("stream") or (fields.get("n") or 1) != 1):
        raise FathomError(f"extra_body={dict(fields)!r}: leave out stream and n; each call must return one whole text")
