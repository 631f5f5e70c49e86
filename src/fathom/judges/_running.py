"""Judge many comparisons concurrently, in order, also from synchronous code."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Sequence,
)
from contextlib import aclosing
from itertools import islice
from threading import Thread
from typing import Any, Literal, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Waited = TypeVar("Waited")

ResultOrder = Literal["input", "completion"]
"""The order of results: that of the comparisons, or as they finish."""
MAX_PENDING = 8192
"""Results that may wait for an earlier one to be yielded: about 50 MB of typical rationales."""
MAX_CALLS = 64
"""Calls in flight for one comparison. Comparisons run concurrently anyway, so more calls only take memory: a million
votes would be a million tasks before the first call, even if a bound soon ends the run."""


async def bounded_gather(call: Callable[[Item], Awaitable[Result]], items: Sequence[Item]) -> list[Result]:
    """The results of `call` for each item, in the order of the items, with at most `MAX_CALLS` in flight."""
    if len(items) == 1:  # skip the task: its overhead dominates for fast calls
        return [await call(items[0])]
    results: list[Result] = []
    for start in range(0, len(items), MAX_CALLS):
        results += await asyncio.gather(*map(call, items[start : start + MAX_CALLS]))
    return results


async def judge_all(
    judge: Callable[[Item], Awaitable[Result]],
    comparisons: Iterable[Item],
    *,
    concurrency: int = 64,
    order: ResultOrder = "input",
) -> AsyncGenerator[tuple[Item, Result], None]:
    """Yield each comparison with its result, with up to `concurrency` comparisons in flight.

    `judge` is a `RewardModel` or any other async function of a comparison, or of a value with one, such as a function
    that returns rankings. With `order="input"`, a slow comparison delays the results behind it but not their
    computation, until `MAX_PENDING` results wait.
    """
    if order == "completion":
        async with aclosing(_as_completed(judge, comparisons, concurrency)) as results:
            async for result in results:
                yield result
        return
    free = asyncio.Semaphore(concurrency)
    kept: deque[tuple[Item, asyncio.Task[Result]]] = deque()
    try:
        for comparison in comparisons:
            await free.acquire()
            task = asyncio.ensure_future(judge(comparison))
            task.add_done_callback(lambda _: free.release())
            kept.append((comparison, task))
            while kept and (kept[0][1].done() or len(kept) > max(MAX_PENDING, concurrency)):
                done, first = kept.popleft()
                yield done, await first
        while kept:
            done, first = kept.popleft()
            yield done, await first
    finally:
        await _cancelled([task for _, task in kept])


async def _as_completed(
    judge: Callable[[Item], Awaitable[Result]], comparisons: Iterable[Item], concurrency: int
) -> AsyncGenerator[tuple[Item, Result], None]:
    async def judged(comparison: Item) -> tuple[Item, Result]:
        return comparison, await judge(comparison)

    waiting = iter(comparisons)
    # A queue keeps the order in which tasks finish, also while the caller does something else; `asyncio.wait` does not.
    finished: asyncio.Queue[asyncio.Task[tuple[Item, Result]]] = asyncio.Queue()
    flying: set[asyncio.Task[tuple[Item, Result]]] = set()

    def start(count: int) -> None:
        for comparison in islice(waiting, count):
            task = asyncio.ensure_future(judged(comparison))
            task.add_done_callback(finished.put_nowait)
            flying.add(task)

    try:
        start(concurrency)
        while flying:
            task = await finished.get()
            flying.remove(task)
            start(1)
            yield task.result()
    finally:
        await _cancelled(flying)


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    # Wait until they end: the caller may close the engine they use next.
    await asyncio.gather(*tasks, return_exceptions=True)


def iterate(results: AsyncGenerator[Item, None]) -> Generator[Item, None, None]:
    """Iterate over an async generator from synchronous code.

    It runs in a separate thread, because the caller's thread may already run an event loop, as in a notebook.
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="judging", daemon=True)
    thread.start()

    def waited(awaitable: Coroutine[Any, Any, Waited]) -> Waited:
        return asyncio.run_coroutine_threadsafe(awaitable, loop).result()

    async def following() -> Item | None:
        return await anext(results, None)

    try:
        while (item := waited(following())) is not None:
            yield item
    finally:
        # At the interpreter's exit the thread no longer runs, so waiting for it would never end.
        if not sys.is_finalizing():
            waited(_ended(results))
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _ended(results: AsyncGenerator[Item, None]) -> None:
    """Close the generator and cancel all other tasks, as `asyncio.run` does: no journal write or connection remains."""
    await results.aclose()
    await _cancelled(asyncio.all_tasks() - {asyncio.current_task()})
    await asyncio.get_running_loop().shutdown_asyncgens()
