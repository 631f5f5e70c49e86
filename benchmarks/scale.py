"""Rows per second of `fathom judge --ray` with 1, 2, ... workers, what a row costs beside the calls, and its bytes.

    python benchmarks/scale.py                         # 6,000 rows, a server of 50 ms, 8 calls in flight per worker
    python benchmarks/scale.py --workers 1 2 4 --runs 5 --json figures.json

The server is a process of its own (`tests/serving.py`). Ray is started once and told of 8 CPUs; a worker takes half a
CPU. Time runs from the first finished shard to the end of the last, so it is without the start of the workers. The run
on one machine has as many calls in flight as one worker. Everything runs on this machine, so workers compete with the
server, and with other programs, for its processors: `busy` is the share of all processor time that was used. Each run
has all numbers of workers one after another, and its scaling is the ratio of their times.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from throughput import server

from fathom.data.folders import Folder
from fathom.data.reading import read
from fathom.judging.session import Session
from fathom.metrics.verdicts import summary, tally
from fathom.results import runs
from fathom.scale.judging import JudgeTask
from fathom.scale.plan import write_plan
from fathom.scale.pool import completed, started
from fathom.scale.work import Job
from fathom.settings import EngineSettings, JudgingSettings, RaySettings, VotingSettings

IN_FLIGHT = 8


def settings(url: str) -> JudgingSettings:
    options = {"concurrency": IN_FLIGHT}
    engine = EngineSettings(model="m", base_url=url, hedge=False, options=options)
    return JudgingSettings(engine=engine, voting=VotingSettings(swap=False))


def pairs(folder: Path, rows: int) -> Path:
    path = folder / "pairs.jsonl"
    row = {"response_a": "yes", "response_b": "no", "label": "A"}
    path.write_text("".join(json.dumps(row | {"id": str(n), "prompt": f"Task {n}"}) + "\n" for n in range(rows)))
    return path


def on_one_machine(file: Path, url: str) -> float:
    start = time.perf_counter()
    with Session(settings(url)) as session:
        for _ in session.judge(read(file)):
            pass
    return time.perf_counter() - start


def on_ray(file: Path, url: str, out: Path, workers: int, shard_rows: int) -> tuple[float, float]:
    """Seconds of the plan, and of judging it, both without starting Ray."""
    start = time.perf_counter()
    folder = Folder.at(out)
    plan = write_plan(read(file), folder, "benchmark", shard_rows)
    planned = time.perf_counter()
    ray = RaySettings(ray=True, workers=workers, worker_cpus=0.5, shard_rows=shard_rows)
    job = Job(JudgeTask(settings(url)), folder, plan.identity)
    # The first report comes when a worker has been started, which is left out: workers start once in a long run.
    times = [time.perf_counter() for _ in completed(job, range(plan.shards), ray)]
    # Whatever the other workers had done by then is not counted as theirs, so scaling is understated.
    counted = plan.rows - workers * shard_rows
    return planned - start, (time.perf_counter() - times[0]) / counted


def size(folder: Path, rows: int) -> dict[str, float]:
    """Bytes per row, and files per 1,000 rows, of a finished run."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    sizes = dict.fromkeys(("plan", "journal", "parts", "reports"), 0)
    for file in files:
        name = file.relative_to(folder).parts[0]
        if name in sizes:
            sizes[name] += file.stat().st_size
    return {name: round(total / rows, 1) for name, total in sizes.items()} | {"files": 1000 * len(files) / rows}


def seconds_to_summarize(folder: Path) -> float:
    """Seconds of one process for the metrics of a finished run, as at its end."""
    start = time.perf_counter()
    summary(tally(runs.open(str(folder)).rows()))
    return time.perf_counter() - start


def measured(folder: Path, rows: int, workers: list[int], runs_each: int, shard_rows: int) -> dict[str, Any]:
    file = pairs(folder, rows)
    began = time.perf_counter()
    import ray

    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False)
    started(RaySettings(ray=True))
    figures: dict[str, Any] = {"seconds_to_start_ray": time.perf_counter() - began, "rows": rows}
    with server({"latency": 0.05}) as url:
        one = [on_one_machine(file, url) / rows for _ in range(runs_each)]
        figures["one_machine"] = spread(one)
        busy, each = Busy(), {count: [] for count in workers}
        for run in range(runs_each):
            for count in workers:
                each[count].append(on_ray(file, url, folder / f"{count}-{run}", count, shard_rows))
        figures["busy"] = busy.share()
    for count, found in each.items():
        figures[f"planning_{count}"] = spread([plan / rows for plan, _ in found])
        figures[f"workers_{count}"] = spread([seconds for _, seconds in found])
    for count in workers[1:]:
        pairs_of = zip(each[workers[0]], each[count], strict=True)
        figures[f"scaling_{workers[0]}_to_{count}"] = [round(less / more, 2) for (_, less), (_, more) in pairs_of]
    last = folder / f"{workers[-1]}-{runs_each - 1}"
    figures["bytes_per_row"] = size(last, rows)
    figures["summary"] = spread([seconds_to_summarize(last) / rows for _ in range(runs_each)])
    # The server answers 8 calls in 50 ms, so a row takes 6.25 ms; the rest is the client's.
    figures["ideal_ms_per_row_of_a_worker"] = 1000 * 0.05 / IN_FLIGHT
    figures["driver_cpu_seconds"] = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    figures["cpus"], figures["load"] = len(os.sched_getaffinity(0)), os.getloadavg()
    return figures


class Busy:
    """The share of the processors' time that all programs of this machine used since it was made (Linux)."""

    def __init__(self) -> None:
        self.before = self.times()

    def times(self) -> list[int]:
        return [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]

    def share(self) -> float:
        used = [after - before for after, before in zip(self.times(), self.before, strict=True)]
        return round(1 - (used[3] + used[4]) / sum(used), 2)  # idle, and waiting for disks


def spread(seconds: list[float]) -> dict[str, float]:
    """Milliseconds per row."""
    ms = [1000 * each for each in seconds]
    return {"median": statistics.median(ms), "least": min(ms), "most": max(ms)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--shard-rows", type=int, default=200)
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), given.rows, given.workers, given.runs, given.shard_rows)
    for name, value in figures.items():
        print(f"{name:28} {value}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
