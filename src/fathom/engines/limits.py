"""Adapts the number of concurrent calls to what the server can handle, and pauses all calls on its request.

    limit = Limit(most=64)
    await limit.acquire()                       # waits for a turn; then make the call and report its outcome:
    limit.increase()                            # ... the server kept up
    limit.decrease(sent), limit.pause(1.5)      # ... it was overloaded, and asked for a pause of 1.5 seconds
    limit.release()

The algorithm is that of TCP congestion control. Slow start: from a few calls, the number doubles per round trip until
the server reports overload, which halves it. Later, it doubles only up to 90 % of the number at the last overload, and
then grows by one call per round trip. An overload at a number that worked before cuts it by only a tenth, because the
cause is more likely a momentary load than the number itself.

Not included: a rate limit. Servers that limit calls per minute send Retry-After, which is obeyed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from fathom.engines import EngineError

START = 16
"""Initial number of concurrent calls."""

NEAR = 0.9
"""Growth is exponential up to this share of the number at the last overload, and linear beyond."""

MAX_BACKOFF = 30.0
"""Seconds."""


class Limit:
    """Allows at most `most` calls in flight. `acquire` raises EngineError during a pause of over `patience` seconds.

    `in_flight`: calls in flight; `allowed`: the current limit; `answered`: successful calls.
    """

    def __init__(self, most: int, *, patience: float = 3600) -> None:
        self.most = most
        self.patience = patience
        self.allowed = float(min(START, most))
        self.in_flight = 0
        self.answered = 0
        self._quick_up_to = float(most)
        self._last_cut = self._held_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, first: bool = False) -> None:
        """Wait for a turn, first come first served, or ahead of all others if `first`. Call `release` afterwards."""
        await self._turn(self._waiting.appendleft if first else self._waiting.append)
        while self.paused_for:  # a pause began after the turn was granted and before this task resumed
            self.release()
            await self._turn(self._waiting.appendleft)

    async def _turn(self, queue: Callable[[asyncio.Future[None]], None]) -> None:
        turn = asyncio.get_running_loop().create_future()
        queue(turn)
        self._admit()
        if not turn.done():
            self._admit_later()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:
                self.release()  # the turn was granted at the moment of cancellation
            raise

    @property
    def waiting(self) -> int:
        """How many calls wait for a turn, cancelled ones included."""
        return len(self._waiting)

    @property
    def paused_for(self) -> float:
        """Seconds until the end of the current pause, or 0."""
        return max(0.0, self._held_until - time.monotonic())

    def release(self) -> None:
        self.in_flight -= 1
        self._admit()

    def increase(self) -> None:
        """Record a successful call and raise the limit."""
        self.answered += 1
        # If fewer calls were in flight than allowed, a success does not show that the server can handle more.
        if self.in_flight >= int(self.allowed):
            step = 1.0 if self.allowed < self._quick_up_to else 1.0 / self.allowed
            self.allowed = min(self.allowed + step, self.most)

    def decrease(self, sent: float) -> None:
        """Lower the limit after an overload of a call sent at time `sent` (monotonic).

        Calls sent before the last cut are ignored, so that one overload that rejects many calls cuts only once.
        """
        if sent > self._last_cut:
            self._last_cut = time.monotonic()
            # Near the number that worked since the last overload, a small cut is enough; during slow start, halve it.
            share = NEAR if self.allowed >= self._quick_up_to else 0.5
            self._quick_up_to = NEAR * self.allowed
            self.allowed = max(1.0, share * self.allowed)

    def pause(self, seconds: float) -> None:
        """Admit no call for `seconds` from now."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)
        self._admit()
        self._admit_later()

    def reject_waiting(self) -> None:
        """Fail all waiting calls, because the run stops."""
        _reject(self._waiting)

    def _admit(self) -> None:
        pause = self.paused_for
        while self._waiting and (pause > self.patience or (not pause and self.in_flight < int(self.allowed))):
            turn = self._waiting.popleft()
            if turn.done():
                continue
            if pause > self.patience:
                turn.set_exception(_pause_too_long(pause, self.patience))
            else:
                self.in_flight += 1
                turn.set_result(None)

    def _admit_later(self) -> None:
        if self.paused_for:
            # One millisecond later, because a timer may fire one clock tick early, while the pause still lasts.
            asyncio.get_running_loop().call_later(self.paused_for + 0.001, self._admit)


def _reject(waiting: deque[asyncio.Future[None]]) -> None:
    while waiting:
        turn = waiting.popleft()
        if not turn.done():
            turn.set_exception(stopped())


class Gate:
    """Admits at most `few` requests at a time until it is opened, and then all. Call `release` after `acquire`.

    It limits the calls to a server, and their cost, until a first success shows that the server works.
    """

    def __init__(self, few: int = START) -> None:
        self.free = few
        self.is_open = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for admission. Raises EngineError if `reject_waiting` is called meanwhile."""
        if self.is_open or self.free > 0:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:
                self.release()  # the turn was granted at the moment of cancellation
            raise

    def release(self) -> None:
        self.free += 1
        self._admit()

    def open(self) -> None:
        self.is_open = True
        self._admit()

    def reject_waiting(self) -> None:
        _reject(self._waiting)

    def _admit(self) -> None:
        while self._waiting and (self.is_open or self.free > 0):
            turn = self._waiting.popleft()
            if not turn.done():
                self.free -= 1
                turn.set_result(None)


def stopped() -> EngineError:
    return EngineError("the run stopped before this call was made", retryable=True)


def _pause_too_long(seconds: float, patience: float) -> EngineError:
    return EngineError(
        f"the server asks for a pause of {seconds:.0f} s, longer than the deadline of {patience:g} s",
        retryable=True,
        hint="run again later: finished calls are kept; or raise deadline",
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait according to `retry-after-ms` or `Retry-After` (RFC 9110: seconds or a date), or None.

    A date is relative to the response's own `Date` header if present, so a wrong local clock does no harm.
    """
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        text = headers.get(name, "")
        try:
            seconds = float(text) / unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    until = _date(headers.get("retry-after", ""))
    if until is None:
        return None
    since = _date(headers.get("date", "")) or now or datetime.now(UTC)
    return max(0.0, (until - since).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def backoff(failures: int, unanswered: int, first: float) -> float:
    """Seconds before the next try of a call after `failures` failed tries, with jitter.

    `unanswered`: how many of the last failures had no successful call of any request between them.

        wait = min(first * max(1, failures^2 / 6, 2^(unanswered - 1)), MAX_BACKOFF) * U[0.5, 1]

    Only a server that answers nobody is likely to be down, so only then does the wait double. While the server answers
    other calls, the wait grows quadratically, since a long wait would merely delay this call.
    """
    longest: float = min(first * max(1.0, failures**2 / 6, 2.0 ** min(unanswered - 1, 30)), MAX_BACKOFF)
    return longest * random.uniform(0.5, 1.0)
