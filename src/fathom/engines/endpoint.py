"""One endpoint of a server: its calls in flight, its connections, and how outcomes affect later calls.

    endpoint = Endpoint(address(None, "chat/completions"), Limit(64), timeout=600)
    await endpoint.acquire(request)                       # waits for its turn; RunStoppedError if the run has stopped
    completion = await endpoint.call(request, body)       # makes one call; EngineError if it fails

`fathom.engines.openai` builds completions from calls and retries failed ones. `limits` sets the number of concurrent
calls, `hedging` decides which calls are duplicated because they hang, `outcome` interprets answers, and `failures`
decides when to end the run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from itertools import takewhile
from math import inf
from typing import Any, NamedTuple

import aiohttp

from fathom.engines import AnyRequest, Completion, EngineError, Meter, NullMeter, RunStoppedError, dialect, tracing
from fathom.engines.address import Address
from fathom.engines.failures import Breaker
from fathom.engines.hedging import Hedging
from fathom.engines.limits import Gate, Limit, stopped
from fathom.engines.outcome import Outcome, lost, outcome
from fathom.engines.usage import Usage

KEEPALIVE_SECONDS = 4.0
"""How long an idle connection is kept: less than the 5 seconds after which uvicorn, and so vLLM, closes it."""
CONNECT_SECONDS = 10.0
"""Timeout for opening a connection."""
LOOKS = 10
"""How many times calls in flight are checked within the time after which a call may be hedged."""
MAX_MESSAGE = 300
"""Characters of a server's message that an error repeats."""

NO_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
"""Errors raised before a call was sent."""


class Endpoint:
    """Makes single calls to `address`. `meter` records each call; `breaker` decides when the run must stop.

    `timeout`: seconds for a call, to the last byte of its answer. `connect_wait`: seconds within which a server that
    never answered must accept a connection. `parse`: makes a completion of the JSON value of an answer; it raises
    ValueError, TypeError, LookupError or AttributeError for a value that is none.
    """

    def __init__(
        self,
        address: Address,
        limit: Limit,
        *,
        timeout: float,
        connect_wait: float = 5.0,
        hedge: bool = True,
        parse: Callable[[Any], Completion] = dialect.parse,
    ) -> None:
        self.address = address
        self.limit = limit
        self.timeout = timeout
        self.connect_wait = connect_wait
        self.parse = parse
        self.meter: Meter = NullMeter()
        self.hedging = Hedging() if hedge else None
        self.breaker = Breaker(connect_wait)
        self.stopped = False
        self.gate = Gate()
        self._resting: set[asyncio.Future[None]] = set()
        self._in_flight: dict[_Call, None] = {}
        self._watched_by: asyncio.AbstractEventLoop | None = None
        self._open: _Open | None = None

    async def acquire(self, request: AnyRequest, *, first: bool = False) -> None:
        """Wait until the bounds and the limit on calls in flight admit another call; `first` jumps the queue."""
        self.breaker.check()
        await self.meter.admit(request)
        try:
            await self.limit.acquire(first=first)
            try:
                self._check_running()
            except (EngineError, RunStoppedError):
                self.limit.release()
                raise
        except BaseException:
            self.meter.withdraw()
            raise

    def _check_running(self) -> None:
        self.breaker.check()
        if self.stopped:
            raise stopped()

    def succeeded(self) -> None:
        """Record a successful completion: the server works."""
        self.breaker.success()
        if not self.gate.is_open:
            self.gate.open()

    async def rest(self, seconds: float) -> None:
        """Wait before another try. `stop` ends the wait."""
        loop = asyncio.get_running_loop()
        rested: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, rested)
        self._resting.add(rested)
        try:
            await rested
        finally:
            timer.cancel()
            self._resting.discard(rested)

    def stop(self) -> None:
        """Make no more calls until `close`: waiting requests fail, and calls in flight go on."""
        self.stopped = True
        self.gate.reject_waiting()
        self.limit.reject_waiting()
        for rested in self._resting:
            _wake(rested)

    async def call(self, request: AnyRequest, body: bytes, latest: float = inf) -> Completion:
        """Make one call, and a duplicate if it takes far longer than others; the first answer counts.

        Call `acquire` before; the place is released here. `latest`: time (monotonic) at which the call is given up.
        """
        call = _Call(request, body, latest)
        self._in_flight[call] = None
        self._watch()
        try:
            return await self._call(call)
        except EngineError:
            if call.twin is not None:
                await asyncio.wait([call.twin])
            if call.answer is None:
                raise
            return call.answer
        finally:
            self.limit.release()
            del self._in_flight[call]
            if call.twin is not None:
                call.twin.cancel()

    def _watch(self) -> None:
        """Check calls in flight periodically for those that take too long."""
        loop = asyncio.get_running_loop()
        if self._watched_by is not loop and self.hedging is not None and self.hedging.after is not None:
            self._watched_by = loop  # replaces a loop that was closed with calls in flight
            after = self.hedging.after
            due = time.monotonic() + after / LOOKS
            loop.call_later(after / LOOKS, self._look, self.hedging, after, due)

    def _look(self, hedging: Hedging, after: float, due: float) -> None:
        self._watched_by = None
        now = time.monotonic()
        if now > due + after / 2:
            # This process itself was blocked, so answers may have arrived that it has not read yet.
            self._watch()
            return
        started_before = now - after
        late = list(takewhile(lambda call: call.sent <= started_before, self._in_flight))  # oldest first
        # Newest first: if not all can be hedged, older calls gain less, because they are closer to their timeout.
        for call in reversed(late):
            may_send = call.twin is None and not self.stopped and not self.limit.paused_for
            if may_send and (call.hedged or hedging.take(idle=not self.limit.waiting)):
                call.hedged = True
                call.twin = asyncio.get_running_loop().create_task(self._twin(call))
        if self._in_flight:
            self._watch()

    async def _twin(self, call: _Call) -> None:
        """Send a call again, sharing its place among the calls in flight. An answer ends the first call.

        A failed twin is ignored: the first call goes on and reports its own failure. A twin that was refused without
        cost is sent again at the next check.
        """
        if not self.meter.admit_at_once(call.request):
            return
        try:
            call.answer = await self._call(_Call(call.request, call.body, call.latest))
            call.end_by_timeout()
        except EngineError as error:
            if error.retryable and error.usage == Usage():
                call.twin = None

    async def _call(self, call: _Call) -> Completion:
        """Make one call. Its usage is charged to the meter whether it succeeds, fails or is cancelled."""
        result = Outcome()
        if self.hedging is not None:
            self.hedging.sent()
        try:
            result = await self._exchange(call)
            self._adapt(result, call.sent)
        finally:
            self.meter.charge(call.request, result.usage, result.text)
        if result.completion is None:
            assert result.error is not None
            result.error.usage, result.error.server_set_wait = result.usage, result.wait is not None
            if result.usage != Usage():
                self.breaker.wasted(result.error)
            raise result.error
        return result.completion

    async def _exchange(self, call: _Call) -> Outcome:
        url, proxy = self.address.url, self.address.proxy
        seconds = min(self.timeout, call.latest - call.sent)
        try:
            session = await self._session()
            async with asyncio.timeout(seconds) as call.timeout:
                headers = tracing.headers()
                async with session.post(
                    url, data=call.body, headers=headers, allow_redirects=False, proxy=proxy
                ) as response:
                    content = await response.read()
            return outcome(response.status, response.reason or "", response.headers, content, self.shown, self.parse)
        except NO_CONNECTION as error:
            message, hint = self._lost(error)
            return lost(message, hint=hint, sent=False, kind="unreachable")
        except TimeoutError:
            message = f"no complete answer within the timeout of {round(seconds, 3):g} s"
            return lost(message, hint="raise timeout, or lower concurrency or max_tokens", sent=True)
        except (aiohttp.ClientError, OSError) as error:
            message, hint = self._lost(error)
            return lost(message, hint=hint, sent=True)
        finally:
            call.timeout = None

    def _lost(self, error: Exception) -> tuple[str, str]:
        message = self.shown(f"the connection failed: {type(error).__name__}: {error}")
        return message, f"is a server running at {self.address.shown}?"

    def _adapt(self, result: Outcome, sent: float) -> None:
        """Adjust the number and the timing of later calls to an outcome."""
        if result.answered:
            self.breaker.answered()
        if result.completion is not None:
            self.limit.increase()
            if self.hedging is not None:
                self.hedging.finished(time.monotonic() - sent)
        if result.overloaded:
            self.limit.decrease(sent)
        if result.wait is not None:
            self.limit.pause(result.wait)

    def shown(self, text: str) -> str:
        """A server's text for logs and results: one short line without secrets."""
        text = " ".join(self.address.without_secrets(text).split())
        return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."

    # Connections ------------------------------------------------------------------------------------------------------

    async def _session(self) -> aiohttp.ClientSession:
        """The session of the running event loop: aiohttp binds each session to one loop."""
        loop = asyncio.get_running_loop()
        if self._open is None or self._open.loop is not loop or self._open.session.closed:
            keeper = self._kept_open()
            self._open = _Open(loop, keeper, await anext(keeper))
        return self._open.session

    async def _kept_open(self) -> AsyncGenerator[aiohttp.ClientSession, None]:
        """One session, in an async generator: an event loop closes its generators when it ends, and so the session."""
        async with aiohttp.ClientSession(
            headers={"Content-Type": "application/json", **self.address.headers},
            # aiohttp's own limits are off: `Limit` bounds concurrency and `asyncio.timeout` bounds time.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            yield session

    async def close(self) -> None:
        """Close the connections. A later request opens new ones and starts with a fresh breaker."""
        self.stopped = False
        self.breaker, self.gate = Breaker(self.connect_wait), Gate()
        if self._open is not None:
            await self._open.keeper.aclose()
            self._open = None


class _Open(NamedTuple):
    loop: asyncio.AbstractEventLoop
    keeper: AsyncGenerator[aiohttp.ClientSession, None]
    session: aiohttp.ClientSession


class _Call:
    """A call in flight. `twin` is its duplicate, if it was hedged, and `answer` is the twin's completion."""

    __slots__ = ("answer", "body", "hedged", "latest", "request", "sent", "timeout", "twin")

    def __init__(self, request: AnyRequest, body: bytes, latest: float) -> None:
        self.request = request
        self.body = body
        self.latest = latest
        self.sent = time.monotonic()
        self.timeout: asyncio.Timeout | None = None
        self.hedged = False
        self.twin: asyncio.Task[None] | None = None
        self.answer: Completion | None = None

    def end_by_timeout(self) -> None:
        if self.timeout is not None:
            with suppress(RuntimeError):  # the call ends by itself at the same moment
                self.timeout.reschedule(asyncio.get_running_loop().time())


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
