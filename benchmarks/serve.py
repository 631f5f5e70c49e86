"""Latency that the reward server adds to a model's, and its throughput, beside verl's router and OpenRLHF's server.

    make contracts                                # installs verl, whose own NaiveRouter is measured
    python benchmarks/serve.py                    # 16 and 64 requests in flight, an upstream of 50 ms
    python benchmarks/serve.py --json figures.json
    python benchmarks/serve.py --window-ms 50     # groups of two requests for a judge of pairs
    python benchmarks/serve.py --hangs 0.1        # requests beside a tenth whose calls hang until the deadline
    chrt -r 1 python benchmarks/serve.py          # as root on a busy machine: before all other work

Every server is a process of its own, and all are asked in turns, round by round, so that the load of the machine is the
same for all. A request has one response for a judge of single responses, and its own prompt, so nothing comes from the
journal. Of each round, the median and the 99th percentile of the latency are taken, and those of the upstream alone are
subtracted; the figures are medians of the rounds, with their range. `waited_ms` tells how long a server waited for a
core that other work occupied. OpenRLHF's serve_rm needs a model, so a
program with its loop stands in for it: it blocks for the time of the upstream, one batch after the other.

With `--window-ms`, a judge of pairs gets two requests at the same time, with a response each. They are either a
complete group, which should not wait, or two of three responses, which are judged after the window; the window is
subtracted from the latencies of the latter. With `--hangs`, one server with a deadline of a second gets requests
without and with hanging calls in turns; latencies are those of the requests whose calls do not hang.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psutil
from aiohttp import web

ROOT = Path(__file__).parents[1]
CONTRACTS = ROOT / ".contracts" / "verl"
PROMPT = "Explain in two sentences why the sky is blue, and name one source. Question number {number}. " * 4
RESPONSE = "Sunlight is scattered by molecules of the air, and short waves far more than long ones. " * 8
HANGS = "This call hangs."
numbers = itertools.count()


class Sent(NamedTuple):
    """A request, and whether its latency counts."""

    body: dict[str, Any]
    counts: bool = True


class Target(NamedTuple):
    """A server to measure: its address, and the requests that a client sends at the same time."""

    url: str
    requests: Callable[[int], list[Sent]]
    pid: int
    waits: float = 0.0
    """Seconds for which the server waits by design, which are subtracted from latencies."""


class Round(NamedTuple):
    median: float
    p99: float
    per_second: float
    cpu_ms: float
    """Processor time of the server per request, which depends far less on the machine's load than latencies do."""
    waited_ms: float
    """Time per request for which the server's event loop could run, but had no core. NaN if the system does not say."""


def as_chat(number: int) -> list[Sent]:
    text = f"{PROMPT.format(number=number)}\n{RESPONSE}"
    return [Sent({"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 64})]


def as_sample(number: int) -> list[Sent]:
    return [Sent({"samples": [{"prompt": PROMPT.format(number=number), "response": RESPONSE}]})]


def as_query(number: int) -> list[Sent]:
    return [Sent({"query": [f"{PROMPT.format(number=number)}\n{RESPONSE}"]})]


def as_two_of(size: int, number: int) -> list[Sent]:
    """Two responses of a group of `size`, in a request each."""
    prompt = PROMPT.format(number=number)
    return [
        Sent({"samples": [{"prompt": prompt, "response": f"{RESPONSE}{place}"}], "group_size": size})
        for place in range(2)
    ]


def as_sample_that_may_hang(share: float, number: int) -> list[Sent]:
    hangs = random.Random(number).random() < share
    prompt = PROMPT.format(number=number) + HANGS * hangs
    return [Sent({"samples": [{"prompt": prompt, "response": RESPONSE}]}, counts=not hangs)]


# The servers ----------------------------------------------------------------------------------------------------------


def upstream(seconds: float) -> None:
    """A model's server, which answers every completion after a fixed time, except those that hang."""

    def completion(text: str) -> str:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 400, "completion_tokens": 12, "total_tokens": 412}
        return json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})

    rating = completion("Feedback: clear and right. [RESULT] 4")
    verdict = completion("Feedback: clear and right. Final verdict: [[A]]")

    async def answer(request: web.Request) -> web.Response:
        asked = await request.read()
        await asyncio.sleep(3600 if HANGS.encode() in asked else seconds)
        return web.Response(text=verdict if b"[[A]]" in asked else rating, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"serving on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


def naive_router(worker: str) -> None:
    """verl's own router, before the upstream."""
    sys.path[:0] = [str(CONTRACTS), str(ROOT / "tests" / "contracts")]
    from stubs import stub

    stub("ray")
    from verl.experimental.reward_loop.router.naive_router import NaiveRouter

    run_app(NaiveRouter(worker_urls=[worker]).app)


def serve_rm(seconds: float) -> None:
    """The loop of OpenRLHF's serve_rm: an async handler that computes its rewards without giving way."""
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

    app = FastAPI()

    async def get_reward(request: Request) -> JSONResponse:
        queries = (await request.json()).get("query")
        time.sleep(seconds)
        scores = [4.0] * len(queries)
        return JSONResponse({"rewards": scores, "scores": scores, "extra_logs": {"dummy_scores": scores}})

    get_reward.__annotations__ = {"request": Request, "return": JSONResponse}
    app.post("/get_reward", response_model=None)(get_reward)
    run_app(app)


def run_app(app: Any) -> None:
    import socket

    import uvicorn

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(f"serving on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


@contextmanager
def process(*command: str) -> Iterator[tuple[str, int]]:
    """The address that a server process prints, and its id."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            yield started.stdout.readline().split()[-1], started.pid
        finally:
            started.kill()


# Measuring ------------------------------------------------------------------------------------------------------------


async def measure(target: Target, in_flight: int, count: int) -> Round:
    """`count` requests, `in_flight` at a time. A client sends the next ones when it has the answers to the last."""
    latencies: list[float] = []
    at_once = len(target.requests(0))
    left = iter(range(count // at_once))

    async def send(http: aiohttp.ClientSession, sent: Sent) -> None:
        started = time.perf_counter()
        async with http.post(target.url, json=sent.body) as response:
            await response.read()
            assert response.status == 200, response.status
        if sent.counts:
            latencies.append(time.perf_counter() - started - target.waits)

    async def client(http: aiohttp.ClientSession) -> None:
        for _ in left:
            await asyncio.gather(*(send(http, each) for each in target.requests(next(numbers))))

    before, waited = cpu_seconds(target.pid), waited_seconds(target.pid)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        started = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(in_flight // at_once)))
        seconds = time.perf_counter() - started
    p99 = statistics.quantiles(latencies, n=100)[98]
    used = (cpu_seconds(target.pid) - before) / count
    waited = (waited_seconds(target.pid) - waited) / count
    return Round(statistics.median(latencies) * 1000, p99 * 1000, count / seconds, used * 1000, waited * 1000)


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def waited_seconds(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return math.nan


def compare(targets: dict[str, Target], in_flight: int, count: int, rounds: int) -> dict[str, list[Round]]:
    """The rounds of every target, which take turns."""
    results: dict[str, list[Round]] = {name: [] for name in targets}
    for number in range(rounds + 1):
        for name, target in targets.items():
            size = count if name != "serve_rm loop" else max(4 * in_flight, 64)  # one at a time: its rounds are long
            result = asyncio.run(measure(target, in_flight, size))
            if number:  # the first round warms up
                results[name].append(result)
    return results


def figures(results: dict[str, list[Round]], direct: str) -> dict[str, dict[str, list[float]]]:
    """Added median and p99 in ms, shares of those of the target `direct`, CPU: [median, least, most] of rounds."""
    found = {}
    for name, rounds in results.items():
        paired = list(zip(rounds, results[direct], strict=True))
        found[name] = {
            "added_median_ms": spread([each.median - base.median for each, base in paired]),
            "added_p99_ms": spread([each.p99 - base.p99 for each, base in paired]),
            "relative_median": spread([each.median / base.median for each, base in paired]),
            "relative_p99": spread([each.p99 / base.p99 for each, base in paired]),
            "relative_throughput": spread([each.per_second / base.per_second for each, base in paired]),
            "cpu_ms": spread([each.cpu_ms for each in rounds]),
            "waited_ms": spread([each.waited_ms for each in rounds]),
            "requests_per_second": spread([each.per_second for each in rounds]),
        }
    return found


def spread(values: list[float]) -> list[float]:
    return [round(value, 3) for value in (statistics.median(values), min(values), max(values))]


# What is compared ----------------------------------------------------------------------------------------------------

Start = Callable[..., tuple[str, int]]
"""Starts a server with a command, and returns its address and process id."""


def own(latency: float, *role: str) -> tuple[str, ...]:
    """The command of one of this program's own servers."""
    return (sys.executable, __file__, "--latency", str(latency), "--as", *role)


def fathom_serve(model: str, judge: str, *options: str) -> tuple[str, ...]:
    served = ("--judge", judge, "--model", "m", "--base-url", f"{model}/v1", "--port", "0")
    return (sys.executable, "-m", "fathom", "serve", *served, *options)


def servers(start: Start, latency: float) -> dict[str, Target]:
    """The upstream alone, and each server before it."""
    model, pid = start(*own(latency, "upstream"))
    server, server_pid = start(*fathom_serve(model, "prometheus"))
    targets = {
        "upstream alone": Target(f"{model}/v1/chat/completions", as_chat, pid),
        "fathom serve": Target(f"{server}/v1/rewards", as_sample, server_pid),
    }
    if CONTRACTS.is_dir():
        router, router_pid = start(*own(latency, "naive-router", "--worker", model))
        targets["verl NaiveRouter"] = Target(f"{router}/v1/chat/completions", as_chat, router_pid)
    loop, loop_pid = start(*own(latency, "serve-rm"))
    return targets | {"serve_rm loop": Target(f"{loop}/get_reward", as_query, loop_pid)}


def groups(start: Start, latency: float, window_ms: float) -> dict[str, Target]:
    """The upstream alone, and a judge of pairs before it, with complete and with incomplete groups of two requests.

    A group of two makes two calls, one for each order, so that there is a call per request for all targets.
    """
    model, pid = start(*own(latency, "upstream"))
    server, server_pid = start(*fathom_serve(model, "mix", "--window-ms", str(window_ms)))
    url = f"{server}/v1/rewards"
    return {
        "upstream alone": Target(f"{model}/v1/chat/completions", as_chat, pid),
        "complete groups": Target(url, partial(as_two_of, 2), server_pid),
        "incomplete groups": Target(url, partial(as_two_of, 3), server_pid, waits=window_ms / 1000),
    }


def hanging(start: Start, latency: float, share: float) -> dict[str, Target]:
    """One server, with requests none of whose calls hang, and with those of which a share does."""
    model, _ = start(*own(latency, "upstream"))
    options = ("--deadline", "1", "--breaker-share", "1")
    options += ("--engine-option", "hedge=false", "--engine-option", "concurrency=64")
    server, pid = start(*fathom_serve(model, "prometheus", *options))
    url = f"{server}/v1/rewards"
    return {
        "no call hangs": Target(url, as_sample, pid),
        f"{share:.0%} of calls hang": Target(url, partial(as_sample_that_may_hang, share), pid),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.05, help="seconds of the upstream")
    parser.add_argument("--in-flight", type=int, nargs="+", help="default: 16 and 64; with --hangs, 32")
    parser.add_argument("--count", type=int, default=600, help="requests per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    compared = parser.add_mutually_exclusive_group()
    compared.add_argument("--window-ms", type=float, help="measure groups of a judge of pairs, with this window")
    compared.add_argument("--hangs", type=float, metavar="SHARE", help="measure requests beside this share that hangs")
    parser.add_argument("--as", dest="role", choices=["upstream", "naive-router", "serve-rm"], help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        {
            "upstream": lambda: upstream(options.latency),
            "naive-router": lambda: naive_router(options.worker),
            "serve-rm": lambda: serve_rm(options.latency),
        }[options.role]()
        return
    with ExitStack() as stack:

        def start(*command: str) -> tuple[str, int]:
            return stack.enter_context(process(*command))

        if options.window_ms is not None:
            targets = groups(start, options.latency, options.window_ms)
        elif options.hangs is not None:
            targets = hanging(start, options.latency, options.hangs)
        else:
            targets = servers(start, options.latency)
        time.sleep(3)  # the servers' imports
        direct = next(iter(targets))
        found = {
            str(in_flight): figures(compare(targets, in_flight, options.count, options.rounds), direct)
            for in_flight in options.in_flight or ([16, 64] if options.hangs is None else [32])
        }
    for in_flight, by_target in found.items():
        print(f"\n{in_flight} in flight")
        for name, values in by_target.items():
            cells = (f"{key} {middle:g} [{least:g}, {most:g}]" for key, (middle, least, most) in values.items())
            print(f"  {name}: {'; '.join(cells)}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
