"""Judgments per second through the `openai` engine, and what they cost here: parsing and durable writes included.

    python benchmarks/throughput.py                      # 1,000 judgments, 50 ms latency, 64 in flight
    python benchmarks/throughput.py --faults             # and with faults of many kinds, against the same without
    python benchmarks/throughput.py --peers ENVIRONMENTS # and by other libraries, installed from PyPI into that folder
    python benchmarks/throughput.py --deadline 0.5       # and how late a deadline is, when a server never answers
    python benchmarks/throughput.py --json figures.json

The server is a process of its own (`tests/serving.py`) that waits out the latency and answers with a rationale. So is
the client, whose CPU time (all of it while it judges: rendering, HTTP, parsing, journal, rows) and peak memory are
told. Figures are medians of --runs. They hold for one machine: run both sides of a comparison on a quiet one. Peers
take turns with it, and get the same texts in a prompt of their own making.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import peers

Told = TypeVar("Told")

SERVER = Path(__file__).parents[1] / "tests" / "serving.py"

FAULTS = {"errors": 0.2, "hangs": 0.02, "truncated": 0.05, "burst_every": 1.0, "burst": 0.1}


@contextmanager
def server(settings: Mapping[str, Any]) -> Iterator[str]:
    """The address of a server process."""
    command = [sys.executable, str(SERVER), json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def served(settings: Mapping[str, Any], use: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
    """What `use` tells of itself, and the server of it."""
    with server(settings) as url:
        told = use(url)
        with urllib.request.urlopen(url) as answer:
            return {**told, **json.load(answer)}


def measured(settings: Mapping[str, Any], client: Mapping[str, Any]) -> dict[str, Any]:
    """One run in a process of its own."""

    def use(url: str) -> dict[str, Any]:
        command = [sys.executable, __file__, "--client", json.dumps({**client, "url": url})]
        told: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        return told

    return served(settings, use)


def measured_peer(name: str, environments: Path, latency: float, rows: int, concurrency: int) -> dict[str, Any]:
    """One run of a peer, or `error` with the reason why there is none."""
    given = {"pairs": texts(rows), "concurrency": concurrency}
    try:
        return served({"latency": latency}, lambda url: peers.measured(name, environments, {**given, "url": url}))
    except peers.UnusableError as error:
        return {"error": str(error)}


def client(url: str, rows: int, concurrency: int, patience: Mapping[str, float]) -> dict[str, Any]:
    """Judges in this process, which should do nothing else."""
    from fathom.cli._loop import run_loop
    from fathom.engines import Sampling
    from fathom.engines.cache import CachedEngine
    from fathom.engines.openai import OpenAIEngine
    from fathom.judges.mix import MixJudge
    from fathom.judging import write_verdicts

    engine = OpenAIEngine("m", base_url=url, concurrency=concurrency, **patience)
    items = pairs(rows)

    async def judge_all(folder: Path) -> None:
        async with CachedEngine(engine, folder / "journal") as cached:
            judge = MixJudge(engine=cached, sampling=Sampling(max_tokens=1024))
            with (folder / "verdicts.jsonl").open("wb") as sink:
                async for _ in write_verdicts(judge, items, sink, {}):
                    pass

    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        run_loop(judge_all(Path(folder)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        verdicts = [json.loads(line) for line in (Path(folder) / "verdicts.jsonl").open()]
    return {
        "seconds": wall,
        "per_second": rows / wall,
        "cpu_ms": 1000 * cpu / rows,
        "rss_mb": rss,
        "verdicts": Counter(row["status"] for row in verdicts),
        "scored_failures": sum(row["winner"] is not None for row in verdicts if row["status"] != "ok"),
        "reasonless_failures": sum(not vote["error"] for row in verdicts for vote in row["votes"] if not vote["text"]),
    }


def lateness(latency: float, deadline: float) -> float:
    """Seconds between a deadline and the last of 256 failures that come of it, when a server never answers."""
    from fathom.engines import EngineError, Request
    from fathom.engines.openai import OpenAIEngine

    async def late(engine: OpenAIEngine, number: int) -> float:
        start = time.perf_counter()
        try:
            await engine.complete(Request(({"role": "user", "content": str(number)},)))
        except EngineError:
            return time.perf_counter() - start - deadline
        raise AssertionError("an answer came from a server that gives none")

    async def run(url: str) -> float:
        async with OpenAIEngine("m", base_url=url, concurrency=256, deadline=deadline, timeout=deadline / 3) as engine:
            engine.limit.allowed = 256.0
            return max(await asyncio.gather(*(late(engine, number) for number in range(256))))

    with server({"latency": latency, "hangs": 1.0}) as url:
        return asyncio.run(run(url))


def texts(rows: int) -> list[tuple[str, str, str]]:
    """A prompt and two responses of 120 words a row."""
    words = [" ".join(f"word{(number * 7 + at) % 997}" for at in range(120)) for number in range(2 * rows)]
    return [(f"Task {number}: say something of use.", words[number], words[number + rows]) for number in range(rows)]


def pairs(rows: int) -> list[Any]:
    from fathom.data.records import Comparison

    return [
        Comparison(id=str(number), prompt=prompt, responses=(first, second))
        for number, (prompt, first, second) in enumerate(texts(rows))
    ]


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [run for run in runs if "error" in run]
    if errors:
        return errors[0]
    names = ("per_second", "cpu_ms", "rss_mb", "connections")
    return {name: statistics.median(run[name] for run in runs) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.05, help="Of the server, in seconds.")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--faults", action="store_true", help="Also measure with faults; use 3,000 rows or more.")
    parser.add_argument("--deadline", type=float, help="Also measure how late a deadline of so many seconds is.")
    parser.add_argument("--peers", type=Path, help="Also measure peers; a folder for their virtual environments.")
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    parser.add_argument("--client", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        print(json.dumps(client(**arguments.client)))
        return
    settings = {"rows": arguments.rows, "concurrency": arguments.concurrency, "patience": {}}
    shape = (arguments.latency, arguments.rows, arguments.concurrency)
    clean, others = [], {name: [] for name in peers.REQUIREMENTS if arguments.peers}
    for _ in range(arguments.runs):
        clean.append(measured({"latency": arguments.latency}, settings))
        for name, runs in others.items():
            if not any("error" in run for run in runs):
                runs.append(measured_peer(name, arguments.peers, *shape))
    figures: dict[str, Any] = {
        "fathom": medians(clean),
        "peers": {name: medians(runs) for name, runs in others.items()},
        "load": os.getloadavg(),
    }
    show("clean", clean)
    for name, told in figures["peers"].items():
        print(f"{name:12}", told.get("error") or "  ".join(f"{key} {value:.2f}" for key, value in told.items()))
    if arguments.deadline:
        figures["deadline"] = {"seconds": arguments.deadline, "late": lateness(arguments.latency, arguments.deadline)}
        print(f"latest after a deadline of {arguments.deadline:g} s: {1000 * figures['deadline']['late']:.0f} ms")
    if arguments.faults:
        # Real latencies are seconds, so the waits that are made for them shrink with the latency here.
        settings["patience"] = {"timeout": 6 * arguments.latency, "first_backoff": arguments.latency / 2}
        seeds = range(1, arguments.runs + 1)  # other faults in every run: one unlucky row makes a run long
        faulty = [measured({"latency": arguments.latency, "seed": seed, **FAULTS}, settings) for seed in seeds]
        show("faults", faulty)
        ratio = statistics.median(run["seconds"] for run in faulty) / statistics.median(run["seconds"] for run in clean)
        print(f"wall with faults / without: {ratio:.2f}")
        figures["faults"] = {"wall_ratio": ratio, "runs": faulty}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def show(name: str, runs: list[dict[str, Any]]) -> None:
    for run in runs:
        print(
            f"{name:7} {run['per_second']:6.0f}/s  {run['cpu_ms']:.2f} ms CPU  {run['rss_mb']:.0f} MB  "
            f"{run['connections']} connections  {run['calls']} calls {run['statuses']}  "
            f"too early {run['too_early']}, past a closed door {run['past_closed_door']}  "
            f"{run['verdicts']}  scored failures {run['scored_failures']}"
        )


if __name__ == "__main__":
    main()
