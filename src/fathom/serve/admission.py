"""ASGI middleware that admits or refuses requests, and cancels those whose client has disconnected.

It checks in this order: the token; whether the server accepts requests; the client's limits; the pinned reward; the
size of the body. Only the last check reads the body, so the others are cheap. Cancelling a request cancels all calls
that no other request awaits.

The log has one line per refused or failed request: method, path, status, time and trace, but no text of the request.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fathom.engines.tracing import traced
from fathom.serve.clients import Clients, TooManyRequests, identify
from fathom.serve.errors import RequestError, error_response
from fathom.serve.health import Health
from fathom.serve.metrics import Metrics
from fathom.serve.service import Service
from fathom.serve.turns import Turns

LOG = logging.getLogger("fathom.serve")

PUBLIC = frozenset({"/health", "/ready", "/", "/docs"})
"""Paths that need no token: the status routes, for load balancers, and the page, which asks for a token."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
PIN_HEADER = "x-fathom-reward"
DEADLINE_HEADER = "x-fathom-deadline"
CLIENT_CLOSED = 499
"""The status in logs and metrics of a request whose client disconnected, as in nginx."""
BODY_SECONDS = 30.0
"""How long a client may take to send a body."""
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class Gone(Exception):  # noqa: N818 - not an error: there is nobody to answer
    """The client has disconnected."""


class Admission:
    """Wraps the application `app`. With `tokens` (SHA-256 digests), requests must carry one of them."""

    def __init__(self, app: ASGIApp, service: Service, metrics: Metrics, tokens: tuple[bytes, ...] = ()) -> None:
        self.app = app
        self.service = service
        self.metrics = metrics
        self.tokens = tokens
        serving = service.serving
        self.turns = Turns()
        self.clients = Clients(serving.max_requests, serving.client_requests, serving.client_rate)

    @property
    def in_progress(self) -> int:
        """The number of admitted requests that are not answered yet."""
        return self.clients.total

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        trace = new_span(Headers(scope=scope).get("traceparent"))
        state: dict[str, Any] = scope.setdefault("state", {})
        headers = {"traceparent": trace, PIN_HEADER: self.service.identity.id}
        state |= {"trace_id": trace.split("-")[1], "client": "", "deadline": self.service.serving.deadline}
        state["answer_headers"] = headers
        answer = _Answer(send, headers, self.service.health)
        started = time.perf_counter()
        self.metrics.in_progress.inc()
        try:
            with traced(trace):
                await self._answered(scope, receive, answer)
        finally:
            self.metrics.in_progress.dec()
            self._note(scope, answer.status, time.perf_counter() - started)

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._admitted(scope, receive, answer)
        except RequestError as error:
            await error_response(error.status_code, str(error.detail), scope["state"]["trace_id"], error.headers)(
                scope, receive, answer
            )
        except Gone:
            answer.status = CLIENT_CLOSED
        except Exception as error:  # the last resort; only the type is logged, as messages may quote a request
            LOG.error("trace %s: %s", scope["state"]["trace_id"], type(error).__name__)
            LOG.debug("trace %s", scope["state"]["trace_id"], exc_info=error)
            if not answer.started:
                message = "internal error; see the server's log for this trace_id"
                await error_response(500, message, scope["state"]["trace_id"])(scope, receive, answer)

    async def _admitted(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if scope["path"] in PUBLIC:
            await self.app(scope, receive, answer)
            return
        headers = Headers(scope=scope)
        client = identify(headers.get("authorization", ""), (scope.get("client") or ("",))[0], self.tokens)
        if client is None:
            raise RequestError(401, "expected the header Authorization: Bearer TOKEN, with a token of --token-file")
        scope["state"]["client"] = client
        if scope["method"] in READING:
            await self.app(scope, receive, answer)
            return
        refusal = self.service.health.refusal()
        if refusal is not None:
            draining = self.service.health.draining
            raise RequestError(503, refusal.reason, retry_after=refusal.retry_after, close=draining)
        try:
            with self.clients.admitted(client):
                await self.turns()
                self._check_pin(headers)
                scope["state"]["deadline"] = self._deadline(headers)
                body = await read_body(headers, receive, self.service.serving.max_body)
                await run_while_connected(self.app, scope, body, receive, answer)
        except TooManyRequests as error:
            raise RequestError(429, str(error), retry_after=error.retry_after) from None

    def _check_pin(self, headers: Headers) -> None:
        pinned, current = headers.get(PIN_HEADER), self.service.identity.id
        if pinned is not None and pinned != current:
            raise RequestError(409, pin_message(current))

    def _deadline(self, headers: Headers) -> float:
        """The smaller of the server's deadline and the client's, in seconds."""
        most, asked = self.service.serving.deadline, headers.get(DEADLINE_HEADER)
        if asked is None:
            return most
        try:
            seconds = float(asked)
        except ValueError:
            seconds = 0.0
        if not seconds > 0:
            raise RequestError(400, f"{DEADLINE_HEADER}: expected a number of seconds above 0, such as 30")
        return min(most, seconds)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's path, not the request's: clients must not be able to create new labels of metrics.
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.requests.labels(route, status).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        level = logging.DEBUG if status < 400 else logging.INFO
        trace_id = scope["state"]["trace_id"]
        LOG.log(level, "%s %s %d %.0f ms trace %s", scope["method"], route, status, seconds * 1000, trace_id)


def pin_message(current: str) -> str:
    """The message for a pin that does not match. The other name is the client's own, so it is not repeated."""
    return (
        f"the reward is {current}, not the pinned one: the model, the judge or its settings have changed; "
        "pin this one, or ask a server with the former settings"
    )


def new_span(traceparent: str | None) -> str:
    """A `traceparent` with a new span, in the trace of the given one if that is valid (W3C Trace Context)."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    valid = match is not None and set(match[1]) != {"0"} and set(match[2]) != {"0"}
    trace_id = match[1] if match and valid else secrets.token_hex(16)
    return f"00-{trace_id}-{secrets.token_hex(8)}-{match[3] if match and valid else '01'}"


async def read_body(headers: Headers, receive: Receive, most: int) -> bytes:
    """The body of a request. Raises RequestError if it is too large or too slow, Gone if the client leaves."""
    too_large = RequestError(413, f"the body has more than {most:,} bytes: see --max-body", close=True)
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise too_large
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise RequestError(408, f"the body did not arrive within {BODY_SECONDS:g} s", close=True) from None


async def run_while_connected(app: ASGIApp, scope: Scope, body: bytes, receive: Receive, answer: _Answer) -> None:
    """Run the application, and cancel it when the client disconnects. Raises Gone in that case."""
    running = asyncio.current_task()
    assert running is not None
    gone = asyncio.ensure_future(_disconnected(receive))
    # A server also reports a disconnect once the answer is complete; the application may then still be cleaning up.
    gone.add_done_callback(lambda done: None if done.cancelled() or answer.finished else running.cancel())
    try:
        await app(scope, _replay(body), answer)
    except asyncio.CancelledError:
        if not gone.done():  # the server itself ends this request
            raise
        running.uncancel()
        raise Gone from None
    finally:
        gone.cancel()


def _replay(body: bytes) -> Callable[[], Awaitable[Message]]:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Future[None]()  # never disconnects: `run_while_connected` watches the client instead
        raise AssertionError

    return receive


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Answer:
    """Sends a response with additional headers, which the application may extend, and records its status."""

    def __init__(self, send: Send, headers: dict[str, str], health: Health) -> None:
        self.send = send
        self.health = health
        self.headers = headers
        self.status = 0
        self.started = False
        self.finished = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            more = [(name.encode(), value.encode()) for name, value in self.headers.items()]
            message["headers"] = [*message["headers"], *more]
            if self.health.draining:  # so that the client's next request does not use a connection that is being closed
                MutableHeaders(scope=message)["connection"] = "close"
        elif not message.get("more_body"):
            self.finished = True
        await self.send(message)
