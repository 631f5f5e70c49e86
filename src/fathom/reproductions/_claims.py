"""What reproductions share: folders that hold one experiment, parts side by side, claims that may come out false.

claim_folder(out / "seed-0", {"settings": ...})
yield from side_by_side(train, [(arm, seed, folder) for ...])
claim({"mix - base": bootstrap([differences])}, bars={"mix - base": -0.02})
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from fathom.errors import FathomError
from fathom.metrics.intervals import Interval
from fathom.provenance import write_json

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
    with ProcessPoolExecutor(max_workers=min(os.cpu_count() or 1, len(parts)), mp_context=context) as pool:
        futures = {pool.submit(work, *part): part for part in parts}
        for future in as_completed(futures):
            future.result()
            yield futures[future]


def claim(contrasts: Mapping[str, Interval], bars: Mapping[str, float] | None = None) -> dict[str, Any]:
    """A claim with the contrasts it rests on. It holds when the interval of every one lies above its bar, mostly 0."""
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
    """By how much something stays below the most that is allowed."""
    return Interval(most - interval.mean, most - interval.high, most - interval.low)


def named(name: str, interval: Interval) -> dict[str, float]:
    """An interval as JSON, its mean under `name`."""
    return {name: interval.mean, "low": interval.low, "high": interval.high}


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
