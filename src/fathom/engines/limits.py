"""How many calls an endpoint gets at once, which is found out by trying, and when it gets none at all.

    limit = Limit(most=64)
    await limit.acquire()                 # waits for its turn; then call, and tell the limit how it went:
    limit.increase()                        # ... the server kept up
    limit.decrease(sent), limit.pause(1.5)    # ... it was overloaded, and wants no call for 1.5 seconds
    limit.release()

Like TCP: from a few calls the number doubles a round until the server complains, which halves it. From then on it
doubles only to near where the last complaint came, and goes on by one call a round. A complaint that comes there, where
all went well before, takes only a tenth: it says more about the moment than about the number.

Not promised: a rate. A server that allows so many calls a minute says so with Retry-After, and gets what it asks for.
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
"""Calls in flight before anything is known about the server."""

NEAR = 0.9
"""Of the number that was too many, the share up to which growth is quick again."""

MAX_BACKOFF = 30.0
"""Seconds."""


class Limit:
    """At most `most` calls in flight. `acquire` raises EngineError while the server wants no call for over `patience`.

    `in_flight`: calls in flight; `allowed`: how many there may be now; `answered`: calls that went well.
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
        """Waits for a turn, in the order of asking, or before all others. Whoever enters must `release`."""
        await self._turn(self._waiting.appendleft if first else self._waiting.append)
        while self.paused_for:  # the door closed after this turn was given, and before it was taken
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
                self.release()  # the turn came in the moment of giving up
            raise

    @property
    def waiting(self) -> int:
        """How many wait for their turn, and how many have given up waiting for it."""
        return len(self._waiting)

    @property
    def paused_for(self) -> float:
        """Seconds for which nobody is let in."""
        return max(0.0, self._held_until - time.monotonic())

    def release(self) -> None:
        self.in_flight -= 1
        self._admit()

    def increase(self) -> None:
        """The server kept up. Says nothing where fewer calls were in flight than allowed."""
        self.answered += 1
        if self.in_flight >= int(self.allowed):
            step = 1.0 if self.allowed < self._quick_up_to else 1.0 / self.allowed
            self.allowed = min(self.allowed + step, self.most)

    def decrease(self, sent: float) -> None:
        """The server was overloaded by a call sent at `sent` (monotonic). Cuts once for all sent before a cut."""
        if sent > self._last_cut:
            self._last_cut = time.monotonic()
            # Back at the number that went well since the last complaint, a little less will do; below it, much less.
            share = NEAR if self.allowed >= self._quick_up_to else 0.5
            self._quick_up_to = NEAR * self.allowed
            self.allowed = max(1.0, share * self.allowed)

    def pause(self, seconds: float) -> None:
        """No call for so long, counted from now."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)
        self._admit()
        self._admit_later()

    def reject_waiting(self) -> None:
        """Whoever waits for a turn fails: no more calls are wanted."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(stopped())

    def _admit(self) -> None:
        held = self.paused_for
        while self._waiting and (held > self.patience or (not held and self.in_flight < int(self.allowed))):
            turn = self._waiting.popleft()
            if turn.done():
                continue
            if held > self.patience:
                turn.set_exception(_stays_away(held, self.patience))
            else:
                self.in_flight += 1
                turn.set_result(None)

    def _admit_later(self) -> None:
        if self.paused_for:
            # A millisecond late, because a timer may be a clock tick early and would then find the door closed.
            asyncio.get_running_loop().call_later(self.paused_for + 0.001, self._admit)


class Gate:
    """Lets `few` in until it was opened, and then everybody. Whoever enters must `release`.

    It keeps the number of calls small that a server gets, and may bill, of which nobody knows that it works.
    """

    def __init__(self, few: int = START) -> None:
        self.free = few
        self.is_open = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Raises EngineError for those who wait at a `dismiss`."""
        if self.is_open or self.free > 0:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:
                self.release()  # the turn came in the moment of giving up
            raise

    def release(self) -> None:
        self.free += 1
        self._admit()

    def open(self) -> None:
        self.is_open = True
        self._admit()

    def reject_waiting(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(stopped())

    def _admit(self) -> None:
        while self._waiting and (self.is_open or self.free > 0):
            turn = self._waiting.popleft()
            if not turn.done():
                self.free -= 1
                turn.set_result(None)


def stopped() -> EngineError:
    return EngineError("stopped before this was asked", retryable=True)


def _stays_away(seconds: float, patience: float) -> EngineError:
    return EngineError(
        f"the server wants no call for another {seconds:.0f} s, longer than the deadline of {patience:g} s",
        retryable=True,
        hint="run again later: what is finished is kept; or raise deadline",
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait, as `retry-after-ms` or `Retry-After` say (RFC 9110: seconds or a date), or None.

    A date counts from the response's own `Date` where it has one, so that a clock that is wrong here does no harm.
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
    """Seconds before the next try of a call that failed so often, up to half of it taken off at random.

    While the server answers others it is not down, and to stay away for long would only make this call late: then the
    wait is `first` at the beginning, and grows with the square of the failures, which leaves time for what takes longer
    to pass. It doubles with each of the last `unanswered` failures, since which nobody had an answer.
    """
    longest: float = min(first * max(1.0, failures**2 / 6, 2.0 ** min(unanswered - 1, 30)), MAX_BACKOFF)
    return longest * random.uniform(0.5, 1.0)
