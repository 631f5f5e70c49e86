"""How long work shows itself on stderr: a live line in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY_SECONDS = 30
"""Between two plain lines."""


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each item."""
    console = Console(stderr=True, log_path=False)
    yield from _live(console, what, total) if console.is_terminal else _plain(console, what)


def _live(console: Console, what: str, total: int | None) -> Iterator[Callable[[], None]]:
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn())
    start = time.monotonic()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, rate="")

        def done() -> None:
            progress.advance(task)
            progress.update(task, rate=_rate(progress.tasks[0].completed, start))

        yield done


def _plain(console: Console, what: str) -> Iterator[Callable[[], None]]:
    start = said = time.monotonic()
    count = 0

    def done() -> None:
        nonlocal count, said
        count += 1
        if time.monotonic() - said > EVERY_SECONDS:
            said = time.monotonic()
            console.log(f"{what}: {count}, {_rate(count, start)}")

    yield done


def _rate(count: float, start: float) -> str:
    return f"{count / max(time.monotonic() - start, 1e-9):.1f}/s"
