"""Progress on stderr: a live line in a terminal, and otherwise a plain line from time to time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY_SECONDS = 30
"""Between two plain lines."""
EVERY_SECONDS_LIVE = 0.5
"""Between two updates of the live line."""

if TYPE_CHECKING:
    from fathom.judging import RowOutcome

Done = Callable[["RowOutcome"], None]
"""Called after each row."""


@contextmanager
def counting(what: str, total: int | None = None, spent: Callable[[], str] = str) -> Iterator[Done]:
    """Yield a function to call after each item. `spent` returns the spending so far, or an empty text."""
    console = Console(stderr=True, log_path=False)
    yield from _live(console, what, total, spent) if console.is_terminal else _plain(console, what, total, spent)


def _live(console: Console, what: str, total: int | None, spent: Callable[[], str]) -> Iterator[Done]:
    so_far = TextColumn("{task.fields[so_far]}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), so_far, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, so_far="")
        count = _Count(spent)

        def done(outcome: RowOutcome) -> None:
            count.add(outcome)
            progress.advance(task)
            if count.stale(EVERY_SECONDS_LIVE):
                progress.update(task, so_far=str(count))

        yield done
        progress.update(task, so_far=str(count))


def _plain(console: Console, what: str, total: int | None, spent: Callable[[], str]) -> Iterator[Done]:
    count = _Count(spent)

    def done(outcome: RowOutcome) -> None:
        count.add(outcome)
        if count.stale(EVERY_SECONDS):
            # One line, however long: `Console.log` would wrap it.
            line = f"[{datetime.now():%H:%M:%S}] {what}: {count.items}{count.of(total)}, {count}"
            console.print(line, soft_wrap=True, markup=False)

    yield done


class _Count:
    def __init__(self, spent: Callable[[], str]) -> None:
        self.items = self.unparsed = self.failed = 0
        self.spent = spent
        self.start = self.updated = time.monotonic()

    def add(self, outcome: RowOutcome) -> None:
        self.items += 1
        self.unparsed += not outcome.parsed
        self.failed += outcome.failed

    def of(self, total: int | None) -> str:
        """The total, and the estimated remaining time at the rate so far."""
        if total is None:
            return ""
        left = (total - self.items) * (time.monotonic() - self.start) / self.items
        return f" of {total}, {timedelta(seconds=round(left))} left"

    def stale(self, seconds: float) -> bool:
        """Whether the last update is older than `seconds`; if so, reset the timer."""
        now = time.monotonic()
        if now - self.updated < seconds:
            return False
        self.updated = now
        return True

    def __str__(self) -> str:
        rate = f"{self.items / max(time.monotonic() - self.start, 1e-9):.1f}/s"
        unparsed = f"{self.unparsed / self.items:.1%} unparsed" if self.unparsed else ""
        failed = f"{self.failed} failed" if self.failed else ""
        return ", ".join(part for part in (rate, unparsed, failed, self.spent()) if part)
