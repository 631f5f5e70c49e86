"""Judgements per second through the `openai` engine, and what they cost here: parsing and durable writes included.

    python benchmarks/throughput.py                      # 1,000 judgements, 50 ms latency, 64 in flight
    python benchmarks/throughput.py --faults             # and with faults of many kinds, against the same without
    python benchmarks/throughput.py --json figures.json

The server is a process of its own (`tests/serving.py`) that waits out the latency and answers with a rationale. So is
the client, whose CPU time (all of it while it judges: rendering, HTTP, parsing, journal, rows) and peak memory are
told. Figures are medians of --runs. They hold for one machine: run both sides of a comparison on a quiet one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def measured(settings: Mapping[str, Any], client: Mapping[str, Any]) -> dict[str, Any]:
    """One run: what the client says of itself, and the server of the client."""
    with server(settings) as url:
        command = [sys.executable, __file__, "--client", json.dumps({**client, "url": url})]
        told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        with urllib.request.urlopen(url) as answer:
            return told | json.load(answer)


def client(url: str, rows: int, concurrency: int, patience: Mapping[str, float]) -> dict[str, Any]:
    """Judges in this process, which should do nothing else."""
    from fathom.engines import Sampling
    from fathom.engines.cache import CachedEngine
    from fathom.engines.openai import OpenAIEngine
    from fathom.judges.mix import MixJudge
    from fathom.judging import write_verdicts

    engine = OpenAIEngine("m", base_url=url, concurrency=concurrency, **patience)
    items = pairs(rows)

    async def run(folder: Path) -> None:
        async with CachedEngine(engine, folder / "journal") as cached:
            judge = MixJudge(engine=cached, sampling=Sampling(max_tokens=1024))
            with (folder / "verdicts.jsonl").open("wb") as sink:
                await write_verdicts(judge, items, sink, lambda _: None)

    gc.freeze()  # as `fathom judge` does
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        asyncio.run(run(Path(folder)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        verdicts = [json.loads(line) for line in (Path(folder) / "verdicts.jsonl").open()]
    return {
        "seconds": wall,
        "per_second": rows / wall,
        "cpu_ms": 1000 * cpu / rows,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "verdicts": Counter(row["status"] for row in verdicts),
        "scored_failures": sum(row["winner"] is not None for row in verdicts if row["status"] != "ok"),
        "reasonless_failures": sum(not vote["error"] for row in verdicts for vote in row["votes"] if not vote["text"]),
    }


def pairs(rows: int) -> list[Any]:
    from fathom.records import Comparison

    texts = [" ".join(f"word{(number * 7 + at) % 997}" for at in range(120)) for number in range(2 * rows)]
    return [
        Comparison(id=str(number), prompt=f"Task {number}: say something of use.", responses=tuple(texts[number::rows]))
        for number in range(rows)
    ]


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    names = ("per_second", "cpu_ms", "rss_mb", "connections")
    return {name: statistics.median(run[name] for run in runs) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.05, help="Of the server, in seconds.")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--faults", action="store_true", help="Also measure with faults; use 3,000 rows or more.")
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    parser.add_argument("--client", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        print(json.dumps(client(**arguments.client)))
        return
    settings = {"rows": arguments.rows, "concurrency": arguments.concurrency, "patience": {}}
    clean = [measured({"latency": arguments.latency}, settings) for _ in range(arguments.runs)]
    figures: dict[str, Any] = {"fathom": medians(clean), "peers": {}}
    show("clean", clean)
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
