"""Work on what waits at the same time: nothing is lost, failures reach all who wait, and batches are full."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.engines.batching import Batcher, Job


@given(st.lists(st.integers(), max_size=30), st.sampled_from([None, 0.0]))
def test_every_item_gets_its_own_outcome(items: list[int], max_wait: float | None) -> None:
    batcher: Batcher[int, int] = Batcher(lambda jobs: [2 * job.item for job in jobs], max_wait=max_wait, full=8)

    async def run() -> list[int]:
        return await asyncio.gather(*map(batcher, items))

    assert asyncio.run(run()) == [2 * item for item in items]
    assert asyncio.run(run()) == [2 * item for item in items]  # in another event loop


def test_what_comes_while_a_batch_is_worked_on_is_the_next_batch() -> None:
    batches: list[int] = []

    def work(jobs: Sequence[Job[int, int]]) -> list[int]:
        batches.append(len(jobs))
        time.sleep(0.05 if len(batches) == 1 else 0)
        return [job.item for job in jobs]

    async def run() -> None:
        batcher = Batcher(work)
        first = asyncio.create_task(batcher(0))
        while not batches:
            await asyncio.sleep(0.001)
        await asyncio.gather(first, *map(batcher, range(1, 10)))

    asyncio.run(run())
    assert batches == [1, 9]


def test_jobs_may_be_settled_early_and_the_rest_hears_of_a_failure() -> None:
    def work(jobs: Sequence[Job[int, str]]) -> None:
        jobs[0].settle("early")
        jobs[1].settle(KeyError("its own"))
        raise ValueError("all others")

    async def run() -> list[str | BaseException]:
        batcher = Batcher(work)
        return await asyncio.gather(*map(batcher, range(4)), return_exceptions=True)

    early, own, *others = asyncio.run(run())
    assert early == "early"
    assert isinstance(own, KeyError)
    assert len(others) == 2
    assert all(isinstance(error, ValueError) for error in others)


def test_outcomes_that_do_not_match_the_items_are_an_error() -> None:
    batcher: Batcher[int, int] = Batcher(lambda jobs: [1])

    async def run() -> list[int]:
        return await asyncio.gather(batcher(1), batcher(2))

    with pytest.raises(ValueError, match="zip"):
        asyncio.run(asyncio.wait_for(run(), 5))


def test_work_is_done_for_those_who_gave_up_too() -> None:
    done: list[int] = []

    def work(jobs: Sequence[Job[int, None]]) -> list[None]:
        time.sleep(0.02)
        done.extend(job.item for job in jobs)
        return [None for _ in jobs]

    async def run() -> None:
        batcher = Batcher(work)
        tasks = [asyncio.create_task(batcher(number)) for number in range(3)]
        await asyncio.sleep(0.005)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
    assert done == [0, 1, 2]
