"""The reward server as a process, under more load than it can carry, and with calls that hang.

Tests count requests. How long they take is measured by `benchmarks/serve.py`, beside hanging calls with `--hangs`.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from reward_server import process
from serving import HANG, Call, Reply, chat, serving

pytestmark = pytest.mark.slow


def body(number: int, kind: str = "quick") -> dict[str, Any]:
    return {"samples": [{"prompt": f"{kind} {number}", "response": "r"}]}


def reply(call: Call) -> Reply:
    return HANG if b"hangs" in call.content else chat("[RESULT] 4", delay=0.02)


async def by_clients(count: int, numbers: Iterator[int], send: Callable[[int], Awaitable[None]]) -> None:
    """Send each number, from `count` clients that send the next one when theirs is answered."""

    async def client() -> None:
        for number in numbers:
            await send(number)

    await asyncio.gather(*(client() for _ in range(count)))


async def requests_within(http: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """How many requests to `/v1/rewards` were answered within each time, in seconds."""
    async with http.get(f"{url}/metrics") as response:
        text = await response.text()
    buckets = r'^fathom_request_seconds_bucket\{le="(\S+)",route="/v1/rewards"\} (\S+)$'
    return {bound: float(count) for bound, count in re.findall(buckets, text, re.MULTILINE)}


def test_ten_times_the_capacity_is_refused_without_more_memory_or_late_answers(tmp_path: Path) -> None:
    """16 places, 160 clients that never wait, and one of 20 calls hangs until the deadline of a second."""
    statuses: Counter[int] = Counter()

    async def main() -> None:
        async with serving(reply) as upstream, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            options = ["--max-requests", "16", "--deadline", "1", "--breaker-share", "1"]
            options += ["--engine-option", "hedge=false"]
            with process(upstream.url, *options, log=tmp_path / "log") as (started, url):

                async def send(number: int) -> None:
                    kind = "hangs" if number % 20 == 0 else "quick"
                    async with http.post(f"{url}/v1/rewards", json=body(number, kind)) as response:
                        answer = await response.json()
                    statuses[response.status] += 1
                    if response.status == 429:
                        assert int(response.headers["retry-after"]) >= 1
                    elif kind == "hangs":
                        assert answer["rewards"][0]["status"] == "failed"

                memory = psutil.Process(started.pid).memory_info
                await by_clients(160, iter(range(1000)), send)
                before = memory().rss
                await by_clients(160, iter(range(1000, 11_000)), send)
                assert memory().rss <= before * 1.05
                assert set(statuses) == {200, 429}
                assert statuses[429] > statuses[200] > 16
                assert upstream.peak <= 16
                times = await requests_within(http, url)
                assert times["2.5"] == times["+Inf"] == statuses[200], "none lives long after its deadline"

    asyncio.run(main())


def test_hanging_calls_do_not_delay_others(tmp_path: Path) -> None:
    """64 slots and a deadline of a second; a tenth of the calls hang. Others need half of the slots that are left."""
    draw = random.Random(7)
    kinds = ["hangs" if draw.random() < 0.1 else "quick" for _ in range(1500)]
    found: Counter[tuple[str, str]] = Counter()

    async def main() -> None:
        async with serving(reply) as upstream, aiohttp.ClientSession() as http:
            options = ["--deadline", "1", "--breaker-share", "1", "--engine-option", "hedge=false"]
            options += ["--engine-option", "concurrency=64"]
            with process(upstream.url, *options, log=tmp_path / "log") as (_, url):

                async def send(number: int) -> None:
                    async with http.post(f"{url}/v1/rewards", json=body(number, kinds[number])) as response:
                        answer = (await response.json())["rewards"][0]
                    found[kinds[number], answer["status"]] += 1

                await by_clients(32, iter(range(len(kinds))), send)
                assert found["hangs", "failed"] == kinds.count("hangs") > 100
                # A busy machine can stop the server for a second, in which calls of 20 ms become late.
                assert found["quick", "ok"] >= 0.98 * kinds.count("quick") > 1000
                assert upstream.peak <= 32, "each caller has one call, so the engine has free slots at any time"

    asyncio.run(main())
