"""Runs the tests as other processors, thread counts and busy machines would, and prints a table.

    python benchmarks/processors.py                                     # the whole fast suite, in every configuration
    python benchmarks/processors.py tests/test_train.py -k reward       # what follows goes to pytest
    python benchmarks/processors.py --only avx2 --only busy -m slow

Results of float32 arithmetic differ in their last digits between instruction sets, because sums are added up in another
order. `default` and `avx2` make torch and the libraries below it (oneDNN, MKL, numpy) use older instruction sets than
the processor has; `rounding` adds noise of that size to every linear layer (tests/rounding.py), so it also stands for
processors that nobody here has. `busy` runs beside one process a core that never rests.

Exit code 1 if a test failed in any configuration. Not covered: GPUs, and processors that are not x86.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
BELOW_AVX512 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
CONFIGURATIONS = {
    "default": {"ATEN_CPU_CAPABILITY": "default", **BELOW_AVX512},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", **BELOW_AVX512},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "busy": {},
    "rounding 1": {"FATHOM_ROUNDING": "1"},
    "rounding 2": {"FATHOM_ROUNDING": "2"},
    "rounding 3": {"FATHOM_ROUNDING": "3"},
}
"""Environment variables by configuration; whatever else the environment sets of them is removed first."""
VARIABLES = {name for settings in CONFIGURATIONS.values() for name in settings}


class Outcome(NamedTuple):
    """`seconds`: elapsed, and of all cores together as the tests used them."""

    passed: int
    failed: list[str]
    skipped: int
    seconds: tuple[float, float]


def run(configuration: str, arguments: Sequence[str]) -> Outcome:
    """Runs pytest once. A run that ends before it has a report counts as one failure."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    with tempfile.TemporaryDirectory() as folder, busy_cores(configuration == "busy"):
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
        start, used = time.monotonic(), processor_seconds()
        done = subprocess.run(command, cwd=ROOT, env=inherited | CONFIGURATIONS[configuration], check=False)
        seconds = (time.monotonic() - start, processor_seconds() - used)
        if not report.exists():
            return Outcome(0, [f"pytest ended with exit code {done.returncode}"], 0, seconds)
        return outcome(report, seconds)


def outcome(report: Path, seconds: tuple[float, float]) -> Outcome:
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Outcome(len(cases) - len(failed) - skipped, failed, skipped, seconds)


@contextmanager
def busy_cores(wanted: bool) -> Iterator[None]:
    """A process for every core that computes until the block ends."""
    count = (os.cpu_count() or 1) if wanted else 0
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(outcomes: dict[str, Outcome]) -> str:
    lines = ["| configuration | passed | failed | skipped | minutes | processor minutes |", "|---|---|---|---|---|---|"]
    for name, (passed, failed, skipped, (elapsed, used)) in outcomes.items():
        lines.append(f"| {name} | {passed} | {len(failed)} | {skipped} | {elapsed / 60:.1f} | {used / 60:.1f} |")
    lines += [f"failed, {name}: {test}" for name, (_, failed, *_) in outcomes.items() for test in failed]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="other arguments go to pytest", allow_abbrev=False)
    parser.add_argument("--only", action="append", choices=CONFIGURATIONS, help="one configuration; may be repeated")
    chosen, arguments = parser.parse_known_args()
    outcomes = {}
    for name in chosen.only or CONFIGURATIONS:
        print(f"== {name}", flush=True)
        outcomes[name] = run(name, arguments)
    print(table(outcomes))
    sys.exit(any(outcome.failed or not outcome.passed for outcome in outcomes.values()))
