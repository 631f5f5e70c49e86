"""One endpoint of a server: calls in flight, the connections they use, and what is learnt from their outcomes.

    endpoint = Endpoint(address(None, "chat/completions"), Limit(64), timeout=600)
    await endpoint.acquire(request)                         # waits for its turn; RunStoppedError where none will come
    completion = await endpoint.call(request, body)       # one call; EngineError where nothing came of it

`fathom.engines.openai` makes completions of calls: what is asked, and what is asked again. How many calls there may be
is `limits`' work, which are made twice because they hang `hedging`'s, what an answer is good for `outcome`'s, and when
no call can help any more `failures`'.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from itertools import takewhile
from math import inf
from typing import NamedTuple

import aiohttp

from fathom.engines import Completion, EngineError, Meter, Request, RunStoppedError, UnmeteredCalls
from fathom.engines.address import Address
from fathom.engines.failures import Breaker
from fathom.engines.hedging import Hedging
from fathom.engines.limits import Gate, Limit, stopped
from fathom.engines.outcome import Outcome, lost, outcome
from fathom.engines.usage import Usage

KEEPALIVE_SECONDS = 4.0
"""How long an idle connection is kept: less than the 5 seconds after which uvicorn, and so vLLM, closes it."""
CONNECT_SECONDS = 10.0
"""The longest that making a connection may take."""
LOOKS = 10
"""How often it is looked for calls that hang, in the time after which one may be hedged."""
MAX_MESSAGE = 300
"""Characters of what a server said that an error repeats."""

NO_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
"""Errors of a call that was not sent."""


class Endpoint:
    """Makes single calls to `address`. `meter` hears of each, `breaker` says when there are to be no more.

    `timeout`: seconds for a call, to the last byte of its answer. `connect_wait`: seconds that a server which never
    answered has to accept a connection.
    """

    def __init__(
        self, address: Address, limit: Limit, *, timeout: float, connect_wait: float = 5.0, hedge: bool = True
    ) -> None:
        self.address = address
        self.limit = limit
        self.timeout = timeout
        self.connect_wait = connect_wait
        self.meter: Meter = UnmeteredCalls()
        self.hedging = Hedging() if hedge else None
        self.breaker = Breaker(connect_wait)
        self.stopped = False
        self.gate = Gate()
        self._resting: set[asyncio.Future[None]] = set()
        self._in_flight: dict[_Call, None] = {}
        self._watched_by: asyncio.AbstractEventLoop | None = None
        self._open: _Open | None = None

    async def acquire(self, request: Request, *, first: bool = False) -> None:
        """Waits for room under the bounds, and for a place among the calls in flight, before all others or behind."""
        self.breaker.check()
        await self.meter.admit(request)
        try:
            await self.limit.acquire(first=first)
            try:
                self._check_going_on()
            except (EngineError, RunStoppedError):
                self.limit.release()
                raise
        except BaseException:
            self.meter.withdraw()
            raise

    def _check_going_on(self) -> None:
        self.breaker.check()
        if self.stopped:
            raise stopped()

    def succeeded(self) -> None:
        """A completion went well: the server works."""
        self.breaker.success()
        if not self.gate.is_open:
            self.gate.open()

    async def rest(self, seconds: float) -> None:
        """Waits before a further try, but not when no more calls are wanted."""
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
        """No more calls are wanted until `close`: whoever waits for one fails, and calls in flight go on."""
        self.stopped = True
        self.gate.reject_waiting()
        self.limit.reject_waiting()
        for rested in self._resting:
            _wake(rested)

    async def call(self, request: Request, body: bytes, latest: float = inf) -> Completion:
        """One call, and a second one like it where the first takes far longer than others: the first answer counts.

        Enter before; it is left here. `latest` is the moment (monotonic) at which it is given up.
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
        """Looks now and then, while calls are in flight, for those that take too long."""
        loop = asyncio.get_running_loop()
        if self._watched_by is not loop and self.hedging is not None and self.hedging.after is not None:
            self._watched_by = loop  # also where another loop was closed with calls in flight
            after = self.hedging.after
            due = time.monotonic() + after / LOOKS
            loop.call_later(after / LOOKS, self._look, self.hedging, after, due)

    def _look(self, hedging: Hedging, after: float, due: float) -> None:
        self._watched_by = None
        now = time.monotonic()
        if now > due + after / 2:
            # This process was held up, and so it is late itself in seeing answers that are there already.
            self._watch()
            return
        started_before = now - after
        late = list(takewhile(lambda call: call.sent <= started_before, self._in_flight))  # from the oldest on
        # The newest first: where not all can be hedged, an older one is nearer to its timeout, and gains less.
        for call in reversed(late):
            may_send = call.twin is None and not self.stopped and not self.limit.paused_for
            if may_send and (call.hedged or hedging.take(idle=not self.limit.waiting)):
                call.hedged = True
                call.twin = asyncio.get_running_loop().create_task(self._twin(call))
        if self._in_flight:
            self._watch()

    async def _twin(self, call: _Call) -> None:
        """The same call once more, in the same place among those in flight: its answer ends the first one.

        A twin that fails says nothing: the first call goes on, and its own failure tells what is wrong. One that was
        refused, and cost nothing, is sent again at the next look.
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
        """One call. Whatever becomes of it, the meter hears what it used."""
        told = Outcome()
        if self.hedging is not None:
            self.hedging.sent()
        try:
            told = await self._exchanged(call)
            self._heed(told, call.sent)
        finally:
            self.meter.charge(call.request, told.usage, told.text)
        if told.completion is None:
            assert told.error is not None
            told.error.usage, told.error.server_set_wait = told.usage, told.wait is not None
            if told.usage != Usage():
                self.breaker.wasted(told.error)
            raise told.error
        return told.completion

    async def _exchanged(self, call: _Call) -> Outcome:
        url, proxy = self.address.url, self.address.proxy
        seconds = min(self.timeout, call.latest - call.sent)
        try:
            session = await self._session()
            async with asyncio.timeout(seconds) as call.timeout:
                async with session.post(url, data=call.body, allow_redirects=False, proxy=proxy) as response:
                    content = await response.read()
            return outcome(response.status, response.reason or "", response.headers, content, self.shown)
        except NO_CONNECTION as error:
            message, hint = self._lost(error)
            return lost(message, hint=hint, sent=False, kind="unreachable")
        except TimeoutError:
            message = f"no whole answer within the timeout of {round(seconds, 3):g} s"
            return lost(message, hint="raise timeout, or lower concurrency or max_tokens", sent=True)
        except (aiohttp.ClientError, OSError) as error:
            message, hint = self._lost(error)
            return lost(message, hint=hint, sent=True)
        finally:
            call.timeout = None

    def _lost(self, error: Exception) -> tuple[str, str]:
        message = self.shown(f"the connection failed: {type(error).__name__}: {error}")
        return message, f"is a server running at {self.address.shown}?"

    def _heed(self, told: Outcome, sent: float) -> None:
        """What an outcome says about how many calls there may be, and when."""
        if told.answered:
            self.breaker.answered()
        if told.completion is not None:
            self.limit.increase()
            if self.hedging is not None:
                self.hedging.finished(time.monotonic() - sent)
        if told.overloaded:
            self.limit.decrease(sent)
        if told.wait is not None:
            self.limit.pause(told.wait)

    def shown(self, text: str) -> str:
        """What others wrote, fit for a log or a result: one short line without secrets."""
        text = " ".join(self.address.without_secrets(text).split())
        return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."

    # Connections ------------------------------------------------------------------------------------------------------

    async def _session(self) -> aiohttp.ClientSession:
        """A session belongs to one event loop, so each `asyncio.run` gets its own."""
        loop = asyncio.get_running_loop()
        if self._open is None or self._open.loop is not loop or self._open.session.closed:
            keeper = self._kept_open()
            self._open = _Open(loop, keeper, await anext(keeper))
        return self._open.session

    async def _kept_open(self) -> AsyncGenerator[aiohttp.ClientSession, None]:
        """One session. A generator, because a loop that shuts down ends those: so nobody has to close an engine."""
        async with aiohttp.ClientSession(
            headers={"Content-Type": "application/json", **self.address.headers},
            # No limits of its own: `Limit` and `asyncio.timeout` are the only ones.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            yield session

    async def close(self) -> None:
        """Closes the connections. A later request opens new ones, and finds out anew whether the server can be used."""
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
    """A call in flight, and the second one like it, its twin, where that was made. `answer` is the twin's."""

    __slots__ = ("answer", "body", "hedged", "latest", "request", "sent", "timeout", "twin")

    def __init__(self, request: Request, body: bytes, latest: float) -> None:
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
            with suppress(RuntimeError):  # it ends by itself in this very moment
                self.timeout.reschedule(asyncio.get_running_loop().time())


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
