"""Memory and time of the parts of a large run that one process does: `gather`, `export` and the metrics.

    python benchmarks/gather.py                                  # a million rows
    python benchmarks/gather.py --rows 100000 --work metrics     # of verdicts: bytes per row, which they keep

Each figure is of a process of its own: the growth of its peak resident memory over that after its imports.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet  # noqa: F401 - so that its memory is not counted

from fathom.data.folders import Folder
from fathom.data.records import Comparison, Label
from fathom.engines.batch_files import Results
from fathom.engines.scripted import ScriptedEngine
from fathom.judges.mix import MixJudge
from fathom.metrics.verdicts import summary, tally
from fathom.results import export, parts, runs
from fathom.results.rows import to_row

PART_ROWS = 10_000


def keys(rows: int) -> Iterator[str]:
    """As the ids of requests: hashes."""
    return (hashlib.sha256(str(number).encode()).hexdigest() for number in range(rows))


def write_results(path: Path, rows: int) -> None:
    """An output file of a batch, with short texts."""
    with path.open("w") as file:
        for key in keys(rows):
            message = {"choices": [{"message": {"content": "[[A]]"}, "finish_reason": "stop"}]}
            file.write(json.dumps({"custom_id": key, "response": {"status_code": 200, "body": message}}) + "\n")


def write_parts(folder: Path, rows: int) -> None:
    """Parts with the verdict on a labelled pair, each of another prompt."""
    pair = Comparison(id="0", prompt="Task", responses=("yes", "no"), label=Label(best=0), domain="correctness")
    judge = MixJudge(engine=ScriptedEngine("Final verdict: [[A]]"))
    [(_, verdict)] = judge.run([pair])
    row = to_row(pair, verdict)
    for shard, start in enumerate(range(0, rows, PART_ROWS)):
        each = ({**row, "id": f"{n}", "prompt": f"Task {n}"} for n in range(start, min(start + PART_ROWS, rows)))
        content = parts.encode({"id": one["id"], "row": json.dumps(one)} for one in each)
        (Folder.at(folder) / parts.PARTS).write(parts.part_name(shard), content)


def gather(folder: Path, rows: int) -> None:
    """Index all results, and look each up."""
    results = Results([folder / "results.jsonl"])
    assert len(results) == rows
    for key in keys(rows):
        assert len(results.find(key)) == 1
    results.close()


def export_parts(folder: Path, rows: int) -> None:
    assert export.copied(runs.open(folder), folder / "rows.jsonl") == rows


def metrics(folder: Path, rows: int) -> None:
    tallies = tally(runs.open(folder).rows())
    assert summary(tallies)["all"]["rows"] == rows


WORK: dict[str, Callable[[Path, int], None]] = {"gather": gather, "export": export_parts, "metrics": metrics}


def measured(name: str, folder: Path, rows: int) -> dict[str, float]:
    """Run one kind of work in this process."""
    before, start = peak(), time.process_time()
    WORK[name](folder, rows)
    return {
        "imports_mb": round(before),
        "more_mb": round(peak() - before, 1),
        "cpu_us_per_row": round((time.process_time() - start) / rows * 1e6, 1),
    }


def peak() -> float:
    """Peak resident memory in MB. Not `getrusage`, which starts at that of the parent process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", choices=WORK, nargs="+", default=["gather", "export"])
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    parser.add_argument("--measure", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measured(given.measure, given.folder, given.rows)))
        return
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        if "gather" in given.work:
            write_results(Path(folder) / "results.jsonl", given.rows)
        if {"export", "metrics"} & set(given.work):
            write_parts(Path(folder), given.rows)
        for name in given.work:
            command = [sys.executable, __file__, "--measure", name, "--folder", folder, "--rows", str(given.rows)]
            figures[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"{name:8} {figures[name]}", flush=True)
    if given.json:
        given.json.write_text(json.dumps({"rows": given.rows, **figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
