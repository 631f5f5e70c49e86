"""Decides whether the server accepts requests: a circuit breaker, hourly limits, and draining before it exits.

health = Health(share=0.5, seconds=30)
health.record(scored=False)
health.refusal()                # None, or the reason for refusing requests, and for how long
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

REMEMBERED = 200
"""The number of recent judgments that the breaker considers."""
FEWEST = 20
"""The breaker needs at least this many judgments: one failure after the start is not an outage."""
HOUR = 3600.0
SLICE = 60.0
"""Seconds between two readings of the total, from which the last hour's growth is computed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the server refuses requests. `retry_after`: seconds; None if it will not recover by itself."""

    reason: str
    retry_after: int | None


@dataclass
class Health:
    """The breaker opens for `seconds` if more than `share` of the last judgments have no score."""

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
        """Open the breaker, and forget earlier judgments, so that they do not open it again after a recovery."""
        self._reason = reason
        self._open_until = self.clock() + self.seconds
        self._scored.clear()

    @property
    def open_for(self) -> float:
        """Seconds until the breaker closes; 0 if it is closed."""
        return max(0.0, self._open_until - self.clock())

    def refusal(self) -> Refusal | None:
        """Why requests are refused now; None if they are accepted."""
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

        The tokens of calls in flight are not known yet, so the total can exceed the limit by them.
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
