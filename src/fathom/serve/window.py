"""Groups the responses to one prompt that arrive in several requests, because trainers send one response per request.

    window = Window(seconds=0.2, max_size=64, judge=judge_group)
    mine = await window(key, [sample], size=8)           # returns when the group of 8 is judged

A group closes when it has `size` responses. Without a size, a request with several responses is a complete group, and a
single response waits for others. A group that is not complete after `seconds` is judged as it is, and its answers are
marked as partial. If all callers of a group are cancelled, so is its judgment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Grouped(NamedTuple, Generic[Result]):
    """The results of one caller's items, in their order."""

    results: Sequence[Result]
    size: int
    """The number of items in the group."""
    partial: bool
    """Whether the group was judged with fewer items than its callers' `size`."""


@dataclass(eq=False)
class _Group(Generic[Item, Result]):
    items: list[Item] = field(default_factory=list)
    size: int | None = None
    callers: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.TimerHandle | None = None
    judged: asyncio.Task[Sequence[Result]] | None = None

    @property
    def partial(self) -> bool:
        return self.size is not None and len(self.items) < self.size


class Window(Generic[Item, Result]):
    """Collects items by key, and judges each group once. `judge` returns one result per item, in order."""

    def __init__(
        self, seconds: float, max_size: int, judge: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]
    ) -> None:
        self.seconds = seconds
        self.max_size = max_size
        self.judge = judge
        self._open: dict[Hashable, _Group[Item, Result]] = {}

    @property
    def waiting(self) -> int:
        """The number of groups that are not complete."""
        return len(self._open)

    async def __call__(self, key: Hashable, items: Sequence[Item], size: int | None = None) -> Grouped[Result]:
        """Add items to the group of this key, and wait for its judgment. Raises the errors of `judge`."""
        group = self._open.get(key)
        if group is None or len(group.items) + len(items) > self.max_size:
            group = self._begin(key)
        start = len(group.items)
        group.items += items
        group.size = size or group.size
        group.callers += 1
        if self._is_complete(group, len(items)):
            self._close(key, group)
        try:
            await group.closed.wait()
            assert group.judged is not None
            results = await asyncio.shield(group.judged)
        finally:
            self._left(key, group)
        return Grouped(results[start : start + len(items)], len(group.items), group.partial)

    def _begin(self, key: Hashable) -> _Group[Item, Result]:
        earlier = self._open.get(key)
        if earlier is not None:
            self._close(key, earlier)
        group = self._open[key] = _Group[Item, Result]()
        group.timer = asyncio.get_running_loop().call_later(self.seconds, self._close, key, group)
        return group

    def _is_complete(self, group: _Group[Item, Result], arrived: int) -> bool:
        count = len(group.items)
        if self.seconds == 0 or count >= self.max_size:
            return True
        return count >= group.size if group.size is not None else arrived > 1

    def _close(self, key: Hashable, group: _Group[Item, Result]) -> None:
        if group.closed.is_set():
            return
        self._forget(key, group)
        group.judged = asyncio.ensure_future(self._judged(group))
        group.closed.set()

    async def _judged(self, group: _Group[Item, Result]) -> Sequence[Result]:
        return await self.judge(group.items)

    def _forget(self, key: Hashable, group: _Group[Item, Result]) -> None:
        if group.timer is not None:
            group.timer.cancel()
        if self._open.get(key) is group:
            del self._open[key]

    def _left(self, key: Hashable, group: _Group[Item, Result]) -> None:
        group.callers -= 1
        if group.callers:
            return
        self._forget(key, group)
        if group.judged is not None and not group.judged.done():
            group.judged.cancel()
