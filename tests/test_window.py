"""Groups of the reward server's window: every caller gets the results of its own items, however they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.serve.window import Window

Judged = list[list[str]]


def recording(judged: Judged, delay: float = 0.0):  # type: ignore[no-untyped-def]
    """A judge that answers each item in capitals, and records its groups."""

    async def judge(items: Sequence[str]) -> list[str]:
        judged.append(list(items))
        await asyncio.sleep(delay)
        return [item.upper() for item in items]

    return judge


callers = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(callers, st.one_of(st.none(), st.integers(1, 6)), st.sampled_from([0.0, 0.002]))
def test_every_item_is_judged_once_in_its_group_and_answered_to_its_caller(
    arrivals: list[tuple[str, int]], size: int | None, seconds: float
) -> None:
    judged: Judged = []

    async def main() -> None:
        window = Window[str, str](seconds, 8, recording(judged))

        async def call(number: int, key: str, count: int) -> None:
            items = [f"{key} {number} {place}" for place in range(count)]
            group = await window(key, items, size)
            assert list(group.results) == [item.upper() for item in items]
            assert group.size >= count
            assert group.partial == (size is not None and group.size < size)

        await asyncio.gather(*(call(number, *arrival) for number, arrival in enumerate(arrivals)))
        assert window.waiting == 0

    asyncio.run(main())
    items = [item for group in judged for item in group]
    assert len(items) == len(set(items)) == sum(count for _, count in arrivals)
    assert all(len({item[0] for item in group}) == 1 for group in judged), "groups have one key"
    assert all(len(group) <= 8 for group in judged)


def test_a_group_whose_callers_have_all_left_is_not_judged_and_one_with_a_caller_is() -> None:
    async def main() -> None:
        judged: Judged = []
        window = Window[str, str](60, 8, recording(judged))
        one, other = (asyncio.create_task(window("a", [name], 3)) for name in ("one", "other"))
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        assert window.waiting == 1
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        assert window.waiting == 0
        assert judged == []
        staying, leaving = (asyncio.create_task(window("a", [name], 2)) for name in ("staying", "leaving"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await staying).results == ["STAYING"]
        assert judged == [["staying", "leaving"]]

    asyncio.run(main())


def test_a_judgment_in_progress_is_cancelled_with_its_last_caller() -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        async def judge(items: Sequence[str]) -> list[str]:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return list(items)

        window = Window[str, str](60, 8, judge)
        calls = [asyncio.create_task(window("a", [name], 2)) for name in ("one", "other")]
        await asyncio.sleep(0.01)
        calls[0].cancel()
        await asyncio.sleep(0.01)
        assert not cancelled.is_set()
        calls[1].cancel()
        async with asyncio.timeout(10):
            await cancelled.wait()

    asyncio.run(main())


def test_an_error_of_the_judge_reaches_every_caller() -> None:
    async def main() -> None:
        async def judge(items: Sequence[str]) -> list[str]:
            raise ValueError("no")

        window = Window[str, str](60, 8, judge)
        results = await asyncio.gather(window("a", ["one"], 2), window("a", ["other"], 2), return_exceptions=True)
        assert [str(each) for each in results] == ["no", "no"]

    asyncio.run(main())


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_a_single_item_waits_at_most_for_the_window(seconds: float) -> None:
    async def main() -> None:
        judged: Judged = []
        window = Window[str, str](seconds, 8, recording(judged))
        group = await window("a", ["one"])
        assert (list(group.results), group.size, group.partial) == (["ONE"], 1, False)

    asyncio.run(main())
