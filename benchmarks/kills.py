"""Runs that are killed again and again: how many calls are repeated, and whether the results are the same bytes.

    python benchmarks/kills.py                    # 1,000 judgments, 64 in flight, SIGKILL at 20 random points
    python benchmarks/kills.py --json figures.json

`fathom judge` runs in a process of its own, against the server of `tests/serving.py`. A call is in flight from when it
is sent until its answer is in the journal. In the end the finished run is given once more: it should ask nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from throughput import server, texts


def judging(folder: Path, url: str, concurrency: int, out: Path) -> subprocess.Popen[bytes]:
    engine = ["--engine", "openai", "--base-url", url, "--model", "m", "--engine-option", f"concurrency={concurrency}"]
    given = ["judge", str(folder / "pairs.jsonl"), *engine, "--no-swap", "--no-hedge", "--out", str(out)]
    command = [sys.executable, "-c", "from fathom.cli import main; main()", *given]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def finished(folder: Path, url: str, concurrency: int, out: Path) -> float:
    """Seconds of a run to its end."""
    start = time.perf_counter()
    if judging(folder, url, concurrency, out).wait():
        raise SystemExit(f"the run that writes {out} failed")
    return time.perf_counter() - start


def calls(url: str) -> int:
    with urllib.request.urlopen(url) as answer:
        return int(json.load(answer)["calls"])


def stored(out: Path) -> int:
    journal = out.with_name(f"{out.name}.journal")
    if not journal.exists():
        return 0
    with sqlite3.connect(journal) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'completions'").fetchone()[0]
        return int(connection.execute("SELECT count(*) FROM completions").fetchone()[0]) if tables else 0


def killed(folder: Path, url: str, concurrency: int, out: Path, points: list[int]) -> list[int]:
    """Kills a run when so many completions are stored, again and again. Calls that were in flight at each kill."""
    before, in_flight = calls(url), []
    for point in points:
        further = max(point, stored(out) + 1)  # each run gets somewhere
        run = judging(folder, url, concurrency, out)
        while run.poll() is None and stored(out) < further:
            time.sleep(0.001)
        run.kill()
        run.wait()
        in_flight.append(calls(url) - before - stored(out) - sum(in_flight))
    return in_flight


def again(folder: Path, url: str, out: Path) -> tuple[float, float]:
    """Seconds, and CPU seconds, of judging alone when the journal has all."""
    from fathom.data.reading import read
    from fathom.engines import Sampling
    from fathom.engines.cache import CachedEngine
    from fathom.engines.openai import OpenAIEngine
    from fathom.judges.mix import MixJudge
    from fathom.judging import write_verdicts

    sink = io.BytesIO()

    async def run() -> None:
        engine = OpenAIEngine("m", base_url=url)
        async with CachedEngine(engine, out.with_name(f"{out.name}.journal")) as cached:
            judge = MixJudge(engine=cached, sampling=Sampling(max_tokens=2048))
            async for _ in write_verdicts(judge, read(folder / "pairs.jsonl"), sink, {}):
                pass

    gc.freeze()  # as `fathom judge` does
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(run())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if len(sink.getvalue().splitlines()) != len(out.read_bytes().splitlines()):
        raise SystemExit("judging again gave another number of rows")
    return wall, cpu


def measured(folder: Path, rows: int, kills: int, concurrency: int, latency: float, seed: int) -> dict[str, Any]:
    lines = [
        json.dumps({"id": str(number), "prompt": prompt, "response_a": first, "response_b": second})
        for number, (prompt, first, second) in enumerate(texts(rows))
    ]
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    points = sorted(random.Random(seed).sample(range(1, rows), kills))
    whole, out = folder / "whole.jsonl", folder / "killed.jsonl"
    with server({"latency": latency}) as url:
        seconds = finished(folder, url, concurrency, whole)
        before = calls(url)
        in_flight = killed(folder, url, concurrency, out, points)
        finished(folder, url, concurrency, out)
        asked = calls(url) - before
        process = finished(folder, url, concurrency, out)
        walls, cpus = zip(*(again(folder, url, out) for _ in range(5)), strict=True)
        judging_alone = {"wall": statistics.median(walls), "cpu": statistics.median(cpus)}
        return {
            "rows": rows,
            "killed_at": points,
            "in_flight_at_kills": in_flight,
            "calls_repeated": asked - rows,
            "same_bytes": out.read_bytes() == whole.read_bytes(),
            "seconds_of_a_whole_run": seconds,
            "calls_of_a_rerun": calls(url) - before - asked,
            "seconds_of_a_rerun": {"process": process, "judging": judging_alone},
            "load": os.getloadavg(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.05, help="Of the server, in seconds.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    arguments = parser.parse_args()
    shape = (arguments.rows, arguments.kills, arguments.concurrency, arguments.latency, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), *shape)
    for name, value in figures.items():
        print(f"{name:22} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
