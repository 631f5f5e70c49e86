"""A server that speaks OpenAI's dialect over real HTTP and misbehaves as told: for tests, and for benchmarks.

    async with serving(lambda call: Reply(500) if call.turn == 0 else chat("Final verdict: [[A]]")) as server:
        ...                                     # server.url; server.calls afterwards

    python tests/serving.py '{"latency": 0.05, "errors": 0.2}'     # as a process; GET of its address tells `Stats`

What `Seeded` answers to a call, and whether it fails, is a pure function of the seed, the request and how often that
was asked before. So runs compare, whatever their order. Only its bursts of 429 follow the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Call:
    """`turn` counts earlier calls with the very same body. `time` is monotonic."""

    time: float
    turn: int
    path: str
    headers: Mapping[str, str]
    content: bytes
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.content)
        return fields


@dataclass(frozen=True)
class Reply:
    """`delay`: seconds before the headers; `dawdle`: between the halves of the body. `cut`: half of it and no more."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    dawdle: float = 0.0
    cut: bool = False


HANG = Reply(delay=3600)
Answer = Callable[[Call], Reply]


def chat(text: str | None, finish_reason: str | None = "stop", *, delay: float = 0.0, **message: Any) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text} | message, "finish_reason": finish_reason}
    words = len((text or "").split())
    usage = {"prompt_tokens": 7, "completion_tokens": words, "total_tokens": 7 + words}
    whole = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return Reply(body=json.dumps(whole).encode(), delay=delay)


class Server:
    """What came in, in order: `calls`. `peak`: most calls in flight. `connections`: how many were ever opened."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.url = ""
        self.calls: list[Call] = []
        self.statuses: Counter[int] = Counter()
        self.peak = self.flying = 0
        self.peers: set[Any] = set()
        self._turns: Counter[bytes] = Counter()

    @property
    def connections(self) -> int:
        return len(self.peers)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response(asdict(stats(self)))
        content = await request.read()
        key = hashlib.sha256(content).digest()
        call = Call(time.monotonic(), self._turns[key], request.path, request.headers, content, request.query)
        self._turns[key] += 1
        self.calls.append(call)
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.flying += 1
        self.peak = max(self.peak, self.flying)
        try:
            return await self._play(request, self.answer(call))
        finally:
            self.flying -= 1

    async def _play(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        self.statuses[reply.status] += 1
        if reply.delay:
            await asyncio.sleep(reply.delay)
        headers = {"content-type": "application/json", **reply.headers}
        if not reply.dawdle and not reply.cut:
            return web.Response(status=reply.status, body=reply.body, headers=headers)
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_length = len(reply.body)
        await response.prepare(request)
        half = len(reply.body) // 2
        await response.write(reply.body[:half])
        await asyncio.sleep(reply.dawdle)
        if reply.cut:
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write(reply.body[half:])
        return response


@asynccontextmanager
async def serving(answer: Answer, port: int = 0) -> AsyncIterator[Server]:
    server = Server(answer)
    runner = web.ServerRunner(web.Server(server.handle, handler_cancellation=True), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


# Seeded verdicts and faults -------------------------------------------------------------------------------------------


@dataclass
class Seeded:
    """Verdicts by the hash of the request. `errors` to `length` are shares of calls.

    Who asks for JSON by `response_format` gets a ranking of two. Errors are refused at the door, as a gateway does, so
    they take no `latency`. Every `burst_every` seconds, for `burst` seconds, all calls get 429 and the time left.
    """

    seed: int = 0
    latency: float = 0.05
    errors: float = 0.0
    hangs: float = 0.0
    truncated: float = 0.0
    """Half of them break the connection off, the other half end in good order with half a JSON text."""
    length: float = 0.0
    burst_every: float = 0.0
    burst: float = 0.0
    started: float | None = None

    def __call__(self, call: Call) -> Reply:
        closed = self._closed_for(call.time)
        if closed > 0:
            wait = str(-int(-closed * 1000 // 1))
            return Reply(429, b'{"error": {"message": "too many"}}', {"retry-after-ms": wait})
        digest = hashlib.sha256(f"{self.seed}:{call.turn}:".encode() + call.content).digest()
        draw = int.from_bytes(digest[:4]) / 2**32
        if draw < self.errors:
            return Reply(500, b'{"error": {"message": "broken"}}')
        draw -= self.errors
        if draw < self.hangs:
            return HANG
        draw -= self.hangs
        whole = self._verdict(call.content)
        if draw < self.truncated:
            cut = draw < self.truncated / 2
            return Reply(body=whole if cut else whole[: len(whole) // 2], cut=cut, delay=self.latency)
        return Reply(body=whole, delay=self.latency)

    def _closed_for(self, now: float) -> float:
        if self.started is None:
            self.started = now
        into = (now - self.started) % self.burst_every if self.burst_every else 0.0
        # The burst ends the period, so that a run begins with an open door.
        return self.burst_every - into if self.burst_every and into > self.burst_every - self.burst else 0.0

    def _verdict(self, content: bytes) -> bytes:
        digest = hashlib.sha256(b"verdict" + content).digest()
        winner = digest[0] % 2
        text = rationale("AB"[winner], digest)
        if b'"response_format"' in content:
            text = json.dumps({"reason": text, "rank": [1 + winner, 2 - winner]})
        if digest[1] / 256 < self.length:
            return chat(text[: len(text) // 2], "length").body
        return chat(text).body


PRINCIPLES = ("Accuracy", "Clarity", "Completeness", "Relevance", "Safety", "Style", "Depth")


def rationale(winner: str, digest: bytes) -> str:
    """A breadth rationale of the usual length."""
    blocks = [
        f"Principle {number}: {name}\nDefinition: How well a response does by {name.lower()}.\nJudgment: Response A "
        f"scores {digest[number]} here and response B {digest[-number]}, which decides little by itself.\n"
        f"Verdict: {'AB'[digest[number] % 2]}"
        for number, name in enumerate(PRINCIPLES, 1)
    ]
    return "\n\n".join([*blocks, f"Final verdict: [[{winner}]]"])


@dataclass(frozen=True)
class Stats:
    calls: int
    connections: int
    peak: int
    statuses: Mapping[int, int]
    too_early: int
    """Calls that came although their own request had been told to wait longer."""
    past_closed_door: int
    """Calls that came although anybody had been told to wait longer, over `GRACE` seconds before."""


GRACE = 0.02
"""Seconds that a refusal may take to its caller, on a machine that is not overloaded, while others still call."""


def stats(server: Server) -> Stats:
    told: dict[bytes, float] = {}
    doors: list[tuple[float, float]] = []
    early = past = 0
    for call in server.calls:
        key = hashlib.sha256(call.content).digest()
        early += call.time < told.get(key, 0)
        past += any(since + GRACE < call.time < until for since, until in doors[-1:])
        closed = server.answer._closed_for(call.time) if isinstance(server.answer, Seeded) else 0.0
        if closed > 0:
            told[key] = call.time + closed
            if not doors or doors[-1][1] < call.time:
                doors.append((call.time, call.time + closed))
    return Stats(len(server.calls), server.connections, server.peak, dict(server.statuses), early, past)


async def _forever(settings: Mapping[str, Any]) -> None:
    async with serving(Seeded(**settings)) as server:
        print(server.url, flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)  # until whoever started this closes the pipe


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", type=json.loads, default={}, nargs="?")
    asyncio.run(_forever(parser.parse_args().settings))
