"""Decides which calls to hedge: to send again because they take far longer than others. The first answer wins.

    hedging = Hedging()
    hedging.sent(), hedging.finished(1.3)       # for every call, and with the seconds of each successful one
    hedging.after                               # seconds after which a call may be hedged; None before 50 successes
    hedging.take()                              # whether one more call may be hedged now

A call that hangs blocks its row, and a place among the calls in flight, until its timeout, which must allow for the
longest text. The latency of earlier calls shows much sooner that it hangs. Dean and Barroso ("The Tail at Scale",
2013): a second request after the 95th percentile of latency adds little load and cuts the tail.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

MIN_CALLS = 50
"""Successful calls before any call is hedged."""
MULTIPLE = 1.5
"""A call is hedged after this multiple of the 99th percentile of latency."""
MIN_SECONDS = 0.05
"""Calls are never hedged earlier: shorter delays come from a busy local machine, not from a server that hangs."""
MAX_SHARE = 0.02
"""Upper bound on hedged calls, as a share of all calls."""
RESERVE = 5
"""Hedges reserved for the end of a run, when no call waits and one call that hangs delays the whole run."""
REMEMBERED = 500
"""Number of recent calls from which the percentile is computed."""


class Hedging:
    """Tracks the latency of calls. `hedged`: how many calls were sent a second time."""

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
        """Seconds after which a call may be hedged; None before `MIN_CALLS` successes."""
        count = len(self._sorted)
        if count < MIN_CALLS:
            return None
        return max(MULTIPLE * self._sorted[min(count - 1, (99 * count) // 100)], MIN_SECONDS)

    def take(self, *, idle: bool = True) -> bool:
        """Whether one more call may be hedged; if so, count it. `idle`: no call waits for a place."""
        allowed = self.hedged + 1 <= MAX_SHARE * self.calls - (0 if idle else RESERVE)
        self.hedged += allowed
        return allowed
