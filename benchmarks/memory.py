"""Peak memory and CPU time of `fathom judge` by the number of rows: nothing may be kept for each row of a run.

    python benchmarks/memory.py                          # 1,000, 30,000 and 300,000 rows; the last takes minutes
    python benchmarks/memory.py --rows 1000 30000

Each size runs in a process of its own, by the code that the command runs: a labelled file is read, every pair is judged
in both orders by a scripted engine, completions are stored in a journal, rows are written, figures are computed. The
growth is the peak above that of the smallest size, per row. The limit is 200 bytes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from functools import partial
from pathlib import Path

REPLY = "Principle 1: accuracy\nJudgment: The first response is right.\nVerdict: A\n\nFinal verdict: [[A]]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 30_000, 300_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.one)))
        return
    first = None
    for rows in arguments.rows:
        command = [sys.executable, __file__, "--one", str(rows)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        first = first or found
        growth = 1e6 * (found["rss_mb"] - first["rss_mb"]) / max(rows - first["rows"], 1)
        line = f"{rows:9,} rows  {found['rss_mb']:6.1f} MB  {found['cpu_ms']:.3f} ms CPU a judgment"
        print(line + (f"  {growth:6.0f} bytes a row" if found is not first else ""), flush=True)


def measured(rows: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pairs.jsonl"
        write_pairs(source, rows)
        start = time.process_time()
        judge(source, Path(folder) / "verdicts.jsonl", rows)
        cpu = time.process_time() - start
    # Of Linux, in KiB.
    return {
        "rows": rows,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "cpu_ms": 500 * cpu / rows,
    }


def write_pairs(path: Path, rows: int) -> None:
    """A prompt and two responses of 120 words a row, and a label."""
    with path.open("w") as file:
        for number in range(rows):
            texts = [
                " ".join(f"word{(number * 7 + at) % 997}" for at in range(start, start + 120)) for start in (0, 500)
            ]
            prompt = f"Task {number}: say something of use."
            file.write(json.dumps({"id": f"pair-{number}", "prompt": prompt, "responses": texts, "label": 0}) + "\n")


def judge(source: Path, out: Path, rows: int) -> None:
    """What `fathom judge SOURCE --out OUT` does, with a scripted engine."""
    from fathom.cli._judging import describe, opened, read, write
    from fathom.engines.scripted import ScriptedEngine
    from fathom.judging import write_verdicts
    from fathom.metrics.verdicts import Tally, summary
    from fathom.settings import JudgingSettings, SourceSettings

    settings = JudgingSettings()
    engine = ScriptedEngine(REPLY)
    engine.requests = deque(maxlen=0)  # it would keep every request
    comparisons, inputs = read(str(source), settings, SourceSettings())
    run = opened(settings, comparisons, inputs, out, {}, claim=None, total=rows, engine=engine)
    tallies: dict[str, Tally] = {}
    write(run, "judged", partial(write_verdicts, run.session.reward_model, comparisons, tallies=tallies))
    describe(run, summary(tallies))


if __name__ == "__main__":
    main()
