"""Many comparisons at once: bounded concurrency, results in order, and a bridge for code that is not asynchronous."""

from __future__ import annotations

import asyncio
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

from fathom.data.records import Comparison

Item = TypeVar("Item")
Result = TypeVar("Result")
Waited = TypeVar("Waited")

ResultOrder = Literal["input", "completion"]
"""In which order results come: that of their comparisons, or as they finish."""
MAX_PENDING = 8192
"""Results, finished or not, that wait for an earlier one to be yielded: some 50 MB of usual rationales."""
MAX_CALLS = 64
"""Calls for one comparison that are in flight at once. Many comparisons are judged at once, so more would only take
memory: a million votes would be a million tasks before the first call, even where a bound ends the run soon."""


async def bounded_gather(call: Callable[[Item], Awaitable[Result]], items: Sequence[Item]) -> list[Result]:
    """The results of `call` for each item, in their order, with at most `MAX_CALLS` in flight."""
    if len(items) == 1:  # without a task, which costs more than all else here
        return [await call(items[0])]
    results: list[Result] = []
    for start in range(0, len(items), MAX_CALLS):
        results += await asyncio.gather(*map(call, items[start : start + MAX_CALLS]))
    return results


async def judge_all(
    judge: Callable[[Comparison], Awaitable[Result]],
    comparisons: Iterable[Comparison],
    *,
    concurrency: int = 64,
    order: ResultOrder = "input",
) -> AsyncGenerator[tuple[Comparison, Result], None]:
    """Judges with up to `concurrency` comparisons in flight.

    `judge` is a `RewardModel`, or any other function that is awaited, such as one that returns rankings.
    In the order of input, one that takes long holds up what is yielded, but not the others, until `MAX_PENDING` of them
    wait behind it.
    """
    if order == "completion":
        async with aclosing(_as_completed(judge, comparisons, concurrency)) as results:
            async for result in results:
                yield result
        return
    free = asyncio.Semaphore(concurrency)
    kept: deque[tuple[Comparison, asyncio.Task[Result]]] = deque()
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
    judge: Callable[[Comparison], Awaitable[Result]], comparisons: Iterable[Comparison], concurrency: int
) -> AsyncGenerator[tuple[Comparison, Result], None]:
    async def judged(comparison: Comparison) -> tuple[Comparison, Result]:
        return comparison, await judge(comparison)

    waiting = iter(comparisons)
    flying = {asyncio.ensure_future(judged(comparison)) for comparison in islice(waiting, concurrency)}
    try:
        while flying:
            finished, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
            flying |= {asyncio.ensure_future(judged(comparison)) for comparison in islice(waiting, len(finished))}
            for task in finished:
                yield task.result()
    finally:
        await _cancelled(flying)


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    # They end here, and not after the engine that they use was closed.
    await asyncio.gather(*tasks, return_exceptions=True)


def iterate(results: AsyncGenerator[Item, None]) -> Generator[Item, None, None]:
    """Drives `results` in a thread of its own, because the caller's may already run an event loop."""
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
        waited(_ended(results))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(results: AsyncGenerator[Item, None]) -> None:
    """Leaves nothing behind in the loop, as `asyncio.run` does not: no call that a journal waits for, no connection."""
    await results.aclose()
    await _cancelled(asyncio.all_tasks() - {asyncio.current_task()})
    await asyncio.get_running_loop().shutdown_asyncgens()
