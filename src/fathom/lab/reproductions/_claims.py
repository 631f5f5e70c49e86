"""Shared by reproductions: one folder per experiment, parts in parallel processes, and claims that may turn out false.

claim_folder(out / "seed-0", {"settings": ...})
yield from side_by_side(train, [(arm, seed, folder) for ...])
claim({"mix - base": bootstrap([differences])}, bars={"mix - base": -0.02})
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from fathom.errors import FathomError
from fathom.metrics.intervals import Interval
from fathom.results.provenance import write_json

Part = TypeVar("Part", bound=tuple[Any, ...])


def claim_folder(folder: Path, experiment: Mapping[str, Any]) -> None:
    """Writes what the folder's results are made from; raises FathomError where others were made from something else."""
    told, made_from = json.loads(json.dumps(experiment)), folder / "experiment.json"
    if folder.is_dir() and any(folder.iterdir()) and not made_from.exists():
        raise FathomError(
            f"{folder} is not empty, and no experiment.json says that it is of this one; choose another --out"
        )
    if made_from.exists() and json.loads(made_from.read_text(encoding="utf-8")) != told:
        raise FathomError(
            f"{folder} holds results of other settings, recipes or another base model (see {made_from}); "
            "choose another --out, or remove it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(made_from, told)


def side_by_side(work: Callable[..., None], parts: Sequence[Part]) -> Iterator[Part]:
    """Does `work(*part)` for every part in processes of their own, one a core; yields each part as it is done.

    `work` must be a function of a module. In each process torch should have one thread.
    """
    context = multiprocessing.get_context("spawn")
    workers = min(os.cpu_count() or 1, len(parts))
    with ProcessPoolExecutor(max_workers=workers, mp_context=context, initializer=_end_with_the_parent) as pool:
        futures = {pool.submit(work, *part): part for part in parts}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _end(multiprocessing.active_children())
            raise


def _end(processes: Sequence[BaseProcess]) -> None:
    """More than once: a process takes the first signal for a failure of its part, and may go on with the next one."""
    while living := [process for process in processes if process.is_alive()]:
        for process in living:
            process.terminate()
        living[0].join(0.5)


def _end_with_the_parent() -> None:
    """In each process: Ctrl-C reaches all, and the first one ends the others, so that only it says so.

    Ended, a process still removes files that are half written.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def claim(contrasts: Mapping[str, Interval], bars: Mapping[str, float] | None = None) -> dict[str, Any]:
    """A claim and its contrasts. It holds if the interval of every contrast lies above its threshold, usually 0."""
    bars = bars or {}
    lines = [f"{name}: {_signed(interval)} (bar {bars.get(name, 0.0):+.2f})" for name, interval in contrasts.items()]
    return {
        "holds": all(interval.low > bars.get(name, 0.0) for name, interval in contrasts.items()),
        "evidence": "; ".join(lines),
        "contrasts": {
            name: {**named("difference", interval), "bar": bars.get(name, 0.0)} for name, interval in contrasts.items()
        },
    }


def below(most: float, interval: Interval) -> Interval:
    """The margin below an allowed maximum."""
    return Interval(most - interval.mean, most - interval.high, most - interval.low)


def named(name: str, interval: Interval) -> dict[str, float]:
    """An interval as JSON, its mean under `name`."""
    return {name: interval.mean, "low": interval.low, "high": interval.high}


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
