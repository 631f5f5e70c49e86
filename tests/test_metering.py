"""What a run spends is counted, and a bound stops it before the next call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fathom.engines import BaseEngine, Completion, EngineError, Request
from fathom.engines.cache import CachedEngine
from fathom.engines.metering import Metered, Price, SpentError, prices
from fathom.engines.usage import Usage
from fathom.errors import FathomError


class Ten(BaseEngine):
    """Reads 10 tokens and writes 5 a call."""

    identity = "ten"

    async def complete(self, request: Request) -> Completion:
        if request.sample < 0:
            raise EngineError("down")
        return Completion(str(request.sample), usage=Usage(10, 5))


def ask(sample: int) -> Request:
    return Request(({"role": "user", "content": "Hello"},), sample=sample)


def test_tokens_and_dollars_add_up() -> None:
    metered = Metered(Ten(), price=Price(prompt=2.0, completion=8.0))
    for sample in range(4):
        asyncio.run(metered.complete(ask(sample)))
    assert metered.usage == Usage(40, 20)
    assert metered.cost == pytest.approx((40 * 2.0 + 20 * 8.0) / 1_000_000)


@pytest.mark.parametrize("bound", [{}, {"max_tokens": 30}])
def test_a_model_beside_the_engine_is_stored_and_counted_but_costs_nothing(bound: dict[str, int]) -> None:
    metered = Metered(Ten(), price=Price(prompt=2.0, completion=8.0), **bound)

    class Other(Ten):
        identity = "other"

    async def run() -> int:
        async with CachedEngine(metered, ":memory:") as cached:
            beside = cached.beside(Other())
            await cached.complete(ask(0))
            for _ in range(2):  # the second time, the journal answers
                await beside.complete(ask(0))
            if bound:
                with pytest.raises(SpentError, match="spent 30 tokens of the allowed 30"):
                    await cached.complete(ask(1))
            return cached.misses

    assert asyncio.run(run()) == 2 + len(bound)
    assert metered.usage == metered.estimated == Usage(20, 10)
    assert metered.cost == metered.estimated_cost == pytest.approx((10 * 2.0 + 5 * 8.0) / 1_000_000)
    assert str(metered) == "30 tokens, $0.00"


def test_a_failure_of_a_model_beside_the_engine_is_reported() -> None:
    metered, unread = Metered(Ten()), EngineError("the text has 600 tokens", kind="text")

    class Short(Ten):
        identity = "short"

        async def complete(self, request: Request) -> Completion:
            raise unread

    async def run() -> None:
        async with CachedEngine(metered, ":memory:") as cached:
            with pytest.raises(EngineError):
                await cached.beside(Short()).complete(ask(0))

    asyncio.run(run())
    assert metered.failure is unread


def test_without_a_price_the_cost_is_unknown_and_not_nothing() -> None:
    assert Metered(Ten()).cost is None
    with pytest.raises(FathomError, match="no price is known for ten"):
        Metered(Ten(), max_cost=1.0)


@pytest.mark.parametrize(
    "bound",
    [
        pytest.param({"max_tokens": 50}, id="tokens"),
        pytest.param({"max_cost": 0.0005, "price": Price(prompt=10, completion=10)}, id="dollars"),
    ],
)
def test_a_bound_holds_however_many_are_asked_at_once(bound: dict[str, float]) -> None:
    metered = Metered(Ten(), **bound)  # type: ignore[arg-type]

    async def run() -> list[Completion | BaseException]:
        return await asyncio.gather(*(metered.complete(ask(sample)) for sample in range(20)), return_exceptions=True)

    results = asyncio.run(run())
    assert sum(isinstance(result, Completion) for result in results) == 3  # of 15 tokens each: a fourth would make 60
    assert sum(isinstance(result, SpentError) for result in results) == 17
    assert metered.usage == Usage(30, 15)


def test_calls_go_side_by_side_where_a_bound_has_room_for_them() -> None:
    flying = peak = 0

    class Slow(Ten):
        async def complete(self, request: Request) -> Completion:
            nonlocal flying, peak
            flying += 1
            peak = max(peak, flying)
            await asyncio.sleep(0.001)
            flying -= 1
            return await super().complete(request)

    async def run() -> None:
        metered = Metered(Slow(), max_tokens=15 * 20)
        await asyncio.gather(*(metered.complete(ask(sample)) for sample in range(20)))

    asyncio.run(run())
    assert peak == 19  # all but the first, which shows how large they are


def test_what_the_journal_has_is_free_also_beyond_the_bound(tmp_path: Path) -> None:
    async def run() -> Usage:
        async with CachedEngine(metered := Metered(Ten(), max_tokens=15), tmp_path / "journal") as cached:
            for _ in range(3):
                await cached.complete(ask(0))
            return metered.usage

    assert asyncio.run(run()) == Usage(10, 5)
    assert asyncio.run(run()) == Usage(0, 0)


def test_a_failed_call_is_not_counted() -> None:
    metered = Metered(Ten())
    with pytest.raises(EngineError):
        asyncio.run(metered.complete(ask(-1)))
    assert metered.usage == Usage()
    assert metered.completed == 0
    assert metered.failure is not None


def test_the_share_of_prompts_that_a_prefix_cache_saves_is_told() -> None:
    metered = Metered(Ten())
    assert metered.prefix_cache_share is None
    for end in ("A" * 64, "A" * 64, "B" * 64):
        text = "x" * (3 * 64 - len("user: ")) + end
        asyncio.run(metered.complete(Request(({"role": "user", "content": text},))))
    # Of three prompts of 4 blocks the second shares 4 and the third 3.
    assert metered.prefix_cache_share == 7 / 12


def test_the_shipped_prices_are_a_table() -> None:
    assert prices()["gpt-4o-mini"] == Price(prompt=0.15, completion=0.60)


@pytest.mark.parametrize("text", ["model: 3", "model: {prompt: -1, completion: 2}", "[", "model: {prompt: 1}"])
def test_a_table_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text(text)
    with pytest.raises(FathomError, match=r"prices.yaml is not a table of prices; expected lines such as MODEL"):
        prices(table)
