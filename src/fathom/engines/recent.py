"""A journal in memory that keeps only recent completions: the cache of a server, whose memory must not grow.

CachedEngine(engine, RecentCompletions(max_bytes=100_000_000))
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from fathom.engines.journal import Row

OVERHEAD = 300
"""Bytes per entry beside its texts: two Python strings and a place in the dictionary."""


class RecentCompletions:
    """Keeps the most recently used completions, in about `max_bytes` of memory."""

    lasts = False

    def __init__(self, max_bytes: int = 100_000_000) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._completions: OrderedDict[str, str] = OrderedDict()

    def find(self, keys: Sequence[str]) -> list[str | None]:
        return [self._used(key) for key in keys]

    def _used(self, key: str) -> str | None:
        if key in self._completions:
            self._completions.move_to_end(key)
        return self._completions.get(key)

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.key not in self._completions:
                self._completions[row.key] = row.completion
                self.bytes += _size(row.key, row.completion)
        while self.bytes > self.max_bytes:
            key, completion = self._completions.popitem(last=False)
            self.bytes -= _size(key, completion)

    def close(self) -> None:
        self._completions.clear()
        self.bytes = 0


def _size(key: str, completion: str) -> int:
    return len(key) + len(completion) + OVERHEAD
