"""Several servers with one model: a dead one costs no completion."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from fathom import BaseEngine, BoundSettings, Completion, EngineError, EngineSettings, FathomError, Request
from fathom.engines import RunStoppedError
from fathom.engines.opening import meter, open_engine
from fathom.engines.replicas import ReplicatedEngine
from serving import Reply, chat, serving

DEAD = "http://127.0.0.1:9/v1"


def request(number: int) -> Request:
    return Request(({"role": "user", "content": f"question {number}"},))


def settings(*urls: str, **options: Any) -> EngineSettings:
    return EngineSettings(model="m", base_url=",".join(urls), hedge=False, options=options)


def test_a_dead_replica_costs_no_completion() -> None:
    async def main() -> None:
        async with serving(lambda _: chat("fine")) as server:
            engine = open_engine(settings(DEAD, server.url, first_backoff=0.01))
            done = await asyncio.gather(*(engine.complete(request(n)) for n in range(50)))
            assert {each.text for each in done} == {"fine"}
            assert len(server.calls) == 50
            await engine.close()

    asyncio.run(main())


def test_a_replica_that_dies_and_comes_back_gets_calls_again() -> None:
    async def main() -> None:
        broken = False
        async with (
            serving(lambda _: Reply(500) if broken else chat("one")) as one,
            serving(lambda _: chat("two")) as two,
        ):
            engine = open_engine(settings(one.url, two.url, first_backoff=0.01))
            assert isinstance(engine, ReplicatedEngine)
            engine.rest = 0.2

            async def ask(count: int) -> Counter[str]:
                done = [(await engine.complete(request(len(one.calls) + len(two.calls)))).text for _ in range(count)]
                return Counter(done)

            assert (await ask(4))["one"] > 0
            broken = True
            assert (await ask(20)) == {"two": 20}
            tried = len(one.calls)
            assert (await ask(5)) == {"two": 5}
            assert len(one.calls) <= tried + 1, "it rests"
            broken = False
            await asyncio.sleep(0.3)
            assert (await ask(10))["one"] > 0
            await engine.close()

    asyncio.run(main())


def test_calls_go_to_the_replica_with_the_fewest_in_flight() -> None:
    async def main() -> None:
        async with (
            serving(lambda _: chat("one", delay=0.1)) as one,
            serving(lambda _: chat("two", delay=0.1)) as two,
        ):
            engine = open_engine(settings(one.url, two.url))
            await asyncio.gather(*(engine.complete(request(n)) for n in range(20)))
            assert (len(one.calls), len(two.calls)) == (10, 10)
            await engine.close()

    asyncio.run(main())


def test_if_all_replicas_fail_so_does_the_completion_and_then_the_run() -> None:
    async def main() -> None:
        engine = open_engine(settings(DEAD, "http://127.0.0.1:10/v1", retries=1, first_backoff=0.01, connect_wait=0.01))
        with pytest.raises((EngineError, RunStoppedError), match="connection failed"):
            await engine.complete(request(0))
        await engine.close()

    asyncio.run(main())


def test_a_refusal_is_not_tried_elsewhere_and_a_bound_holds_for_all() -> None:
    async def main() -> None:
        refusal = Reply(400, b'{"error": {"message": "too long"}}')
        async with serving(lambda _: refusal) as one, serving(lambda _: refusal) as two:
            engine = open_engine(settings(one.url, two.url))
            with pytest.raises(EngineError, match="too long"):
                await engine.complete(request(0))
            assert len(one.calls) + len(two.calls) == 1
            await engine.close()
        async with serving(lambda _: chat("one two")) as one, serving(lambda _: chat("one two")) as two:
            both = settings(one.url, two.url)
            metered = meter(open_engine(both), both, BoundSettings(max_total_tokens=20))
            assert (await metered.complete(request(0))).usage.tokens == 9
            await metered.complete(request(1))
            with pytest.raises(FathomError, match="of the allowed 20"):
                await metered.complete(request(2))
            assert metered.usage.tokens == 18
            await metered.close()

    asyncio.run(main())


def test_more_replicas_do_not_change_the_identity() -> None:
    one = open_engine(settings("http://127.0.0.1:8001/v1"))
    several = open_engine(settings("http://127.0.0.1:8001/v1", "http://127.0.0.1:8002/v1"))
    assert one.identity == several.identity
    with pytest.raises(FathomError, match="expected at least one engine"):
        ReplicatedEngine([])


class Echo(BaseEngine):
    identity = "echo"

    async def complete(self, request: Request) -> Completion:
        return Completion("echo")


def test_any_engines_can_be_replicas() -> None:
    assert asyncio.run(ReplicatedEngine([Echo(), Echo()]).complete(request(0))).text == "echo"
