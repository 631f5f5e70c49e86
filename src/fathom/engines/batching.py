"""Batches concurrent items and processes each batch in a thread.

batcher = Batcher(lambda jobs: scores([job.item for job in jobs]))
score = await batcher(text)         # in one batch with all other texts that wait when the thread becomes free
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def length_batches(
    items: Iterable[Item], length: Callable[[Item], int], *, max_rows: int, max_tokens: int
) -> Iterator[list[Item]]:
    """Split items into consecutive batches of at most `max_rows` rows and `max_tokens` tokens.

    Every row of a batch is padded to the longest, so sort items by length. An item longer than `max_tokens` is a batch
    of its own.
    """
    batch: list[Item] = []
    longest = 0
    for item in items:
        longest = max(longest, length(item))
        if batch and (len(batch) == max_rows or (len(batch) + 1) * longest > max_tokens):
            yield batch
            batch, longest = [], length(item)
        batch.append(item)
    if batch:
        yield batch


@dataclass(eq=False, slots=True)
class Job(Generic[Item, Outcome]):
    """An item, and the future that its caller awaits."""

    item: Item
    future: asyncio.Future[Outcome]

    @property
    def cancelled(self) -> bool:
        return self.future.cancelled()

    def settle(self, outcome: Outcome | BaseException) -> None:
        """Set the outcome from the worker thread, before the rest of the batch is finished."""
        self.future.get_loop().call_soon_threadsafe(_settle, self.future, outcome)


class Batcher(Generic[Item, Outcome]):
    """Calls `work` in a thread with all jobs that arrived during its previous call.

    `work` returns the outcomes in the order of its jobs, or None if it settled every job itself. If it raises, the
    exception becomes the outcome of all its unsettled jobs. Cancelled jobs are still processed unless `work` checks
    `Job.cancelled`: a completion that was billed must be stored even if its caller was cancelled.

    `executor`: runs `work`; None for the event loop's default executor. `max_wait`: a batch of fewer than `full` items
    starts after this many seconds without a new item; None starts it at once. Several event loops may use a batcher one
    after another, but not at the same time.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job[Item, Outcome]]], Sequence[Outcome] | None],
        *,
        executor: Executor | None = None,
        max_wait: float | None = None,
        full: int = 1,
    ) -> None:
        self._work = work
        self._executor = executor
        self._max_wait = max_wait
        self._full = full
        self._waiting: list[Job[Item, Outcome]] = []
        self._runner: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Outcome:
        loop = asyncio.get_running_loop()
        job: Job[Item, Outcome] = Job(item, loop.create_future())
        self._waiting.append(job)
        # A closed event loop leaves behind a runner that never finishes.
        if self._runner is None or self._runner.done() or self._runner.get_loop() is not loop:
            self._runner = loop.create_task(self._run(loop))
        return await job.future

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            if self._max_wait is not None:
                await self._gathered(self._max_wait)
            jobs, self._waiting = self._waiting, []
            try:
                outcomes = await loop.run_in_executor(self._executor, self._work, jobs)
                settled = list(zip(jobs, outcomes, strict=True)) if outcomes is not None else []
            except Exception as error:  # noqa: BLE001 - every waiting caller must receive the error, whatever it is
                for job in jobs:
                    _settle(job.future, error)
            else:
                for job, outcome in settled:
                    _settle(job.future, outcome)

    async def _gathered(self, max_wait: float) -> None:
        """Wait until no more items arrive, or they fill a batch."""
        count = 0
        while count < len(self._waiting) < self._full:
            count = len(self._waiting)
            await asyncio.sleep(max_wait)


def _settle(future: asyncio.Future[Outcome], outcome: Outcome | BaseException) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
