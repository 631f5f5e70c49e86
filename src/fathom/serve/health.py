"""Decides whether the server takes requests: a circuit breaker, limits per hour, and the end of the process.

health = Health(share=0.5, seconds=30)
health.record(scored=False)
health.refusal()                # None, or why requests are refused now, and for how long
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

REMEMBERED = 200
"""The number of judgments by which the breaker decides."""
FEWEST = 20
"""The breaker never opens on fewer judgments: one failure after a start is not an outage."""
HOUR = 3600.0
SLICE = 60.0
"""Seconds between two readings of the spending, from which that of the last hour is computed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the server takes no request. `retry_after`: seconds, None if it will not recover by itself."""

    reason: str
    retry_after: int | None


@dataclass
class Health:
    """`share`: of the last judgments, the share without a score that opens the breaker for `seconds`."""

    share: float = 0.5
    seconds: float = 30.0
    clock: Callable[[], float] = time.monotonic
    draining: bool = False
    ready: bool = False
    stopped: str | None = None
    """Why the engine cannot work again, such as a reached bound."""
    caps: list[HourlyCap] = field(default_factory=list)
    _scored: deque[bool] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _open_until: float = 0.0
    _reason: str = ""

    def record(self, *, scored: bool) -> None:
        """Record a judgment. Opens the breaker if too many of the last ones have no score."""
        self._scored.append(scored)
        missing = self._scored.count(False)
        if not scored and len(self._scored) >= FEWEST and missing > self.share * len(self._scored):
            self.trip(f"{missing} of the last {len(self._scored)} judgments could not be scored")

    def trip(self, reason: str) -> None:
        """Open the breaker. When it closes, the record starts anew, so that a recovered engine is not held back."""
        self._reason = reason
        self._open_until = self.clock() + self.seconds
        self._scored.clear()

    @property
    def open_for(self) -> float:
        """Seconds until the breaker closes; 0 if it is closed."""
        return max(0.0, self._open_until - self.clock())

    def refusal(self) -> Refusal | None:
        """Why a request is refused now; None if it is taken."""
        if self.draining:
            return Refusal("the server is shutting down", 1)
        if self.stopped:
            return Refusal(self.stopped, None)
        if self.open_for:
            return Refusal(self._reason, ceil(self.open_for))
        return next((refusal for cap in self.caps if (refusal := cap.refusal(self.clock()))), None)


@dataclass
class HourlyCap:
    """Limits the growth of a total, such as tokens, within any hour. `total` returns the current total."""

    noun: str
    most: float
    total: Callable[[], float]
    _readings: deque[tuple[float, float]] = field(default_factory=deque)

    def refusal(self, now: float) -> Refusal | None:
        """Why a request is refused, if the last hour's growth has reached the limit.

        Calls in flight are not known in advance, so the limit can be exceeded by what they use.
        """
        total = self.total()
        if not self._readings or now - self._readings[-1][0] >= SLICE:
            self._readings.append((now, total))
        while len(self._readings) > 1 and self._readings[1][0] <= now - HOUR:
            self._readings.popleft()
        since, before = self._readings[0]
        if total - before < self.most:
            return None
        return Refusal(
            f"the last hour used {total - before:,.6g} of {self.most:,.6g} {self.noun}",
            max(1, ceil(since + HOUR - now)),
        )
