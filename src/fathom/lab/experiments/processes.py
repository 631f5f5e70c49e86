"""Runs the parts of experiments in processes of their own, one per core, and keeps folders of other settings apart."""

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
from fathom.plugins import from_file
from fathom.results.provenance import write_json

Part = TypeVar("Part", bound=tuple[Any, ...])


def claim_folder(folder: Path, experiment: Mapping[str, Any]) -> None:
    """Record what the results in a folder are made from. Raises FathomError if it holds results of anything else."""
    now, made_from = json.loads(json.dumps(experiment)), folder / "experiment.json"
    if folder.is_dir() and any(folder.iterdir()) and not made_from.exists():
        raise FathomError(
            f"{folder} is not empty, and no experiment.json shows that an experiment wrote it; choose another --out"
        )
    if made_from.exists() and json.loads(made_from.read_text(encoding="utf-8")) != now:
        raise FathomError(
            f"{folder} contains results of other settings, recipes or another base model (see {made_from}); "
            "choose another --out, or remove it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(made_from, now)


def side_by_side(work: Callable[..., None], parts: Sequence[Part], own: Path | None = None) -> Iterator[Part]:
    """Call `work(*part)` for every part, each in a process of its own, one per core; yield each part as it finishes.

    `work` must be a function of a module. `own` is a file that was imported as a plug-in and defines what the parts
    hold; each process imports it first. In each process torch should use one thread.
    """
    if not parts:
        return
    context = multiprocessing.get_context("spawn")
    workers = min(os.cpu_count() or 1, len(parts))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(own,)) as pool:
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
    """Repeat the signal: a process takes the first for a failure of its part, and may go on with the next part."""
    while living := [process for process in processes if process.is_alive()]:
        for process in living:
            process.terminate()
        living[0].join(0.5)


def _begin(own: Path | None) -> None:
    """In each process: import the file that defines what the parts hold, and end with the parent.

    Ctrl-C reaches all, so that only the parent reacts to it and ends the others.

    A process that is ended still removes its half-written files.
    """
    if own:
        from_file(own)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
