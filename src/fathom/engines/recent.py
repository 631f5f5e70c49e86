"""A journal in memory that keeps only recent completions: the cache of a server, whose memory must not grow.

CachedEngine(engine, RecentCompletions(max_bytes=100_000_000))
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from fathom.engines.journal import Row

OVERHEAD = 300
"""Bytes per entry beside its texts: two Python strings and a place in the dictionary."""


class RecentCompletions:
    """Keeps the most recently used completions, in about `max_bytes` of memory, each for at most `max_age` seconds."""

    lasts = False

    def __init__(self, max_bytes: int = 100_000_000, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.max_age: float | None = None
        self.bytes = 0
        self.clock = clock
        self._completions: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def limit(self, max_bytes: int | None, max_age: float | None) -> None:
        """Set the limits; None leaves one as it is."""
        self.max_bytes = self.max_bytes if max_bytes is None else max_bytes
        self.max_age = self.max_age if max_age is None else max_age

    def find(self, keys: Sequence[str]) -> list[str | None]:
        return [self._used(key) for key in keys]

    def _used(self, key: str) -> str | None:
        if key not in self._completions:
            return None
        written, completion = self._completions[key]
        if self.max_age is not None and self.clock() - written > self.max_age:
            self._delete(key)
            return None
        self._completions.move_to_end(key)
        return completion

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.key not in self._completions:
                self._completions[row.key] = self.clock(), row.completion
                self.bytes += _size(row.key, row.completion)
        while self.bytes > self.max_bytes:
            self._delete(next(iter(self._completions)))

    def _delete(self, key: str) -> None:
        _, completion = self._completions.pop(key)
        self.bytes -= _size(key, completion)

    def close(self) -> None:
        self._completions.clear()
        self.bytes = 0


def _size(key: str, completion: str) -> int:
    return len(key) + len(completion) + OVERHEAD
