"""Which calls are made a second time, because they take far longer than others: the first answer wins.

    hedging = Hedging()
    hedging.sent(), hedging.finished(1.3)       # every call, and the seconds of each that went well
    hedging.after                               # seconds after which a call may be hedged; None before 50 went well
    hedging.take()                              # whether one more may be hedged now

A call that hangs holds up its row and a place among the calls in flight until its timeout, which must be long enough
for the longest text. Most calls say long before that how long a call takes here ("The Tail at Scale", Dean and
Barroso, 2013: a second request after the 95th percentile of the first ones' time costs little and cuts the tail).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

MIN_CALLS = 50
"""Calls that must have gone well before any is hedged."""
MULTIPLE = 1.5
"""Of the 99th percentile of their seconds, after which a call is hedged."""
MIN_SECONDS = 0.05
"""Seconds: below it a call is late because this machine is busy, and not because the server hangs."""
MAX_SHARE = 0.02
"""The most calls that are hedged, of all that were made."""
RESERVE = 5
"""How many of these are kept for when no other call waits: at its end, one call that hangs holds up the whole run."""
REMEMBERED = 500
"""How many of the last calls the percentile is taken of."""


class Hedging:
    """Counts calls and their seconds. `hedged`: how many were made a second time."""

    def __init__(self) -> None:
        self.calls = self.hedged = 0
        self._seconds: deque[float] = deque()
        self._sorted: list[float] = []

    def sent(self) -> None:
        self.calls += 1

    def finished(self, seconds: float) -> None:
        self._seconds.append(seconds)
        insort(self._sorted, seconds)
        if len(self._seconds) > REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self._seconds.popleft())]

    @property
    def after(self) -> float | None:
        """Seconds after which a call is far slower than most."""
        count = len(self._sorted)
        if count < MIN_CALLS:
            return None
        return max(MULTIPLE * self._sorted[min(count - 1, (99 * count) // 100)], MIN_SECONDS)

    def take(self, *, idle: bool = True) -> bool:
        """Whether one more call may be made a second time; if so, it is counted. `idle`: nothing waits for a place."""
        allowed = self.hedged + 1 <= MAX_SHARE * self.calls - (0 if idle else RESERVE)
        self.hedged += allowed
        return allowed
