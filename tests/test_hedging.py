"""A call that takes far longer than others is made a second time: rarely, counted, and the first answer wins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.engines import Request, Sampling
from fathom.engines.hedging import MAX_SHARE, MIN_CALLS, MIN_SECONDS, MULTIPLE, REMEMBERED, Hedging
from fathom.engines.metering import Metered, SpentError
from fathom.engines.openai import OpenAIEngine
from fathom.engines.usage import Usage
from serving import HANG, Answer, Call, Reply, Server, chat, serving

T = TypeVar("T")
A = "Final verdict: [[A]]"
USAGE = Usage(7, 3)


def ask(text: str) -> Request:
    return Request(({"role": "user", "content": text},), Sampling(max_tokens=40))


def hanging(call: Call) -> Reply:
    """The first call of a text that says so hangs, longer than any test."""
    return HANG if b"hang" in call.content and call.turn == 0 else chat(A)


def served(
    answer: Answer, use: Callable[[Metered], Awaitable[T]], **settings: Any
) -> tuple[Server, OpenAIEngine, Metered, T]:
    async def run() -> tuple[Server, OpenAIEngine, Metered, T]:
        async with serving(answer) as server, OpenAIEngine("m", base_url=server.url, **settings) as engine:
            metered = Metered(engine)
            return server, engine, metered, await use(metered)

    return asyncio.run(run())


async def warmed(metered: Metered, calls: int = MIN_CALLS) -> None:
    await asyncio.gather(*(metered.complete(ask(f"call {n}")) for n in range(calls)))


def test_a_call_that_hangs_is_made_again_and_the_first_answer_wins() -> None:
    async def use(metered: Metered) -> str:
        await warmed(metered)
        return (await metered.complete(ask("hang"))).text

    server, engine, metered, text = served(hanging, use)
    assert text == A
    assert [call.turn for call in server.calls if b"hang" in call.content] == [0, 1]
    assert server.calls[-1].content == server.calls[-2].content, "an identical call"
    assert metered.usage == Usage(51 * 7, 51 * 3, unknown_calls=1), "the other one is given up, and may be billed"
    assert metered.estimated.completion_tokens == 51 * 3 + 40
    assert metered.calls == len(server.calls) == 52
    assert engine.limit.in_flight == 0


def test_the_first_call_wins_where_it_answers_before_its_twin() -> None:
    async def use(metered: Metered) -> str:
        await warmed(metered)
        return (await metered.complete(ask("slow"))).text

    calls: list[Call] = []

    def answer(call: Call) -> Reply:
        if b"slow" not in call.content:
            return chat(A)
        calls.append(call)
        return chat("from the twin", delay=3600) if call.turn else chat("from the first", delay=1.0)

    _, _, metered, text = served(answer, use)
    assert text == "from the first"
    assert [call.turn for call in calls] == [0, 1]
    assert metered.usage.unknown_calls == 1


def test_a_twin_that_is_refused_changes_nothing_and_is_sent_again() -> None:
    def answer(call: Call) -> Reply:
        if b"hang" not in call.content:
            return chat(A)
        return (HANG, Reply(500, b"{}"), Reply(500, b"{}"))[call.turn] if call.turn < 3 else chat(A)

    async def use(metered: Metered) -> str:
        await warmed(metered)
        return (await metered.complete(ask("hang"))).text

    _, engine, _, text = served(answer, use)
    assert text == A
    assert engine.endpoint.hedging is not None
    assert engine.endpoint.hedging.hedged == 1


@pytest.mark.parametrize(
    ("calls", "settings"),
    [
        pytest.param(MIN_CALLS - 1, {}, id="before enough calls went well"),
        pytest.param(3 * MIN_CALLS, {"hedge": False}, id="switched off"),
    ],
)
def test_no_call_is_made_twice(calls: int, settings: dict[str, Any]) -> None:
    async def use(metered: Metered) -> int:
        await warmed(metered, calls)
        return (await metered.complete(ask("hang"))).usage.tokens

    # It is tried again after the timeout, and then answered.
    server, _, metered, _ = served(hanging, use, timeout=1.5, first_backoff=0.001, **settings)
    assert len(server.calls) == calls + 2
    assert metered.usage.unknown_calls == 1


def test_of_many_calls_that_hang_at_most_two_in_a_hundred_are_made_twice() -> None:
    async def use(metered: Metered) -> None:
        await warmed(metered, 200)
        await asyncio.gather(*(metered.complete(ask(f"hang {n}")) for n in range(30)))

    server, engine, _, _ = served(hanging, use, timeout=2, first_backoff=0.001)
    hedging = engine.endpoint.hedging
    assert hedging is not None
    assert 1 <= hedging.hedged <= MAX_SHARE * len(server.calls)


def test_a_bound_leaves_no_room_for_a_second_call() -> None:
    async def run() -> list[int]:
        async with serving(hanging) as server:
            engine = OpenAIEngine("m", base_url=server.url, timeout=1.5, first_backoff=0.001)
            # Each call takes 10 tokens: there is room for 51, and not for one more beside the last of them.
            metered = Metered(engine, max_tokens=51 * 10 + 5)
            await warmed(metered)
            with pytest.raises(SpentError, match=r"\(estimated\) of the allowed"):
                await metered.complete(ask("hang"))
            await engine.close()
            return [call.turn for call in server.calls if b"hang" in call.content]

    assert asyncio.run(run()) == [0]


@given(st.lists(st.one_of(st.just("sent"), st.just("take"), st.floats(0.001, 100)), max_size=1200))
def test_the_share_of_hedged_calls_and_the_percentile_hold_whatever_happens(events: list[Any]) -> None:
    hedging = Hedging()
    finished: list[float] = []
    for event in events:
        if event == "sent":
            hedging.sent()
        elif event == "take":
            hedging.take()
        else:
            hedging.finished(event)
            finished.append(event)
        assert hedging.hedged <= MAX_SHARE * hedging.calls
    last = sorted(finished[-REMEMBERED:])
    if len(last) < MIN_CALLS:
        assert hedging.after is None
    else:
        assert hedging.after is not None
        assert hedging.after >= MIN_SECONDS
        slower = sum(seconds > hedging.after / MULTIPLE for seconds in last)
        assert slower <= 0.01 * len(last)


def test_identical_means_the_same_seed() -> None:
    async def use(metered: Metered) -> None:
        await warmed(metered)
        await metered.complete(ask("hang"))

    server, _, _, _ = served(hanging, use)
    seeds = [json.loads(call.content)["seed"] for call in server.calls if b"hang" in call.content]
    assert len(seeds) == 2
    assert len(set(seeds)) == 1
