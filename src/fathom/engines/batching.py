"""Items that wait at the same time, worked on together in a thread.

batcher = Batcher(lambda jobs: scores([job.item for job in jobs]))
score = await batcher(text)         # with all other texts that are waiting when the thread is free
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(eq=False, slots=True)
class Job(Generic[Item, Outcome]):
    """An item, and the future of whoever waits for its outcome."""

    item: Item
    future: asyncio.Future[Outcome]

    @property
    def cancelled(self) -> bool:
        return self.future.cancelled()

    def settle(self, outcome: Outcome | BaseException) -> None:
        """Hands the outcome over from the working thread, before the rest of its batch is finished."""
        self.future.get_loop().call_soon_threadsafe(_settle, self.future, outcome)


class Batcher(Generic[Item, Outcome]):
    """Calls `work` in a thread with all jobs that came while it was busy with the jobs before.

    `work` returns the outcomes in the order of its jobs, or None where it settled every job itself. An exception that
    it raises is the outcome of all its jobs that are not settled. Jobs whose waiters gave up are worked on like others
    unless `work` looks at `Job.cancelled`: a completion that is paid for is stored although nobody waits for it.

    `executor`: where the work is done; None for the event loop's own threads. `max_wait`: seconds without a new item
    after which a batch of fewer than `full` items starts; None starts at once. Several event loops may use a batcher
    one after another, but not at the same time.
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
        # An event loop that was closed has left its runner behind, which will never be done.
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
            except Exception as error:  # noqa: BLE001 - whatever it is, all who wait must hear of it
                for job in jobs:
                    _settle(job.future, error)
            else:
                for job, outcome in settled:
                    _settle(job.future, outcome)

    async def _gathered(self, max_wait: float) -> None:
        """Waits until items stop arriving or fill a batch."""
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
