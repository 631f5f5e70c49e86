"""Progress on stderr: a live line in a terminal, and otherwise a plain line from time to time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY_SECONDS = 30
"""Between two plain lines."""
EVERY_SECONDS_LIVE = 0.5
"""Between two updates of the live line."""

if TYPE_CHECKING:
    from fathom.judging import RowOutcome
    from fathom.scale.plan import Settled

Done = Callable[["RowOutcome"], None]
"""Called after each row."""


@contextmanager
def counting(what: str, total: int | None = None, spent: Callable[[], str] = str) -> Iterator[Done]:
    """Yield a function to call after each item. `spent` returns the spending so far, or an empty text."""
    count = _Count(spent)
    with _shown(what, total, count) as show:

        def done(outcome: RowOutcome) -> None:
            count.add(outcome)
            show()

        yield done


@contextmanager
def following(what: str, total: int, spent: Callable[[Settled], str]) -> Iterator[Callable[[Settled], None]]:
    """Yield a function to call now and then with what workers have settled, at first with that of earlier runs."""
    count = _Count()
    with _shown(what, total, count) as show:

        def told(settled: Settled) -> None:
            count.become(settled)
            count.spent = partial(spent, settled)
            show()

        yield told


Show = Callable[[], None]
"""Called after each change of a count."""


@contextmanager
def _shown(what: str, total: int | None, count: _Count) -> Iterator[Show]:
    console = Console(stderr=True, log_path=False)
    yield from _live(console, what, total, count) if console.is_terminal else _plain(console, what, total, count)


def _live(console: Console, what: str, total: int | None, count: _Count) -> Iterator[Show]:
    so_far = TextColumn("{task.fields[so_far]}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), so_far, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, so_far="")

        def show() -> None:
            progress.update(task, completed=count.items)
            if count.stale(EVERY_SECONDS_LIVE):
                progress.update(task, so_far=str(count))

        yield show
        progress.update(task, so_far=str(count))


def _plain(console: Console, what: str, total: int | None, count: _Count) -> Iterator[Show]:
    def show() -> None:
        if count.stale(EVERY_SECONDS):
            # One line, however long: `Console.log` would wrap it.
            line = f"[{datetime.now():%H:%M:%S}] {what}: {count.items}{count.of(total)}, {count}"
            console.print(line, soft_wrap=True, markup=False)

    yield show


class _Count:
    def __init__(self, spent: Callable[[], str] = str) -> None:
        self.items = self.unparsed = self.failed = 0
        self.before: int | None = None
        """Items of an earlier run, which say nothing about the rate of this one; None if not yet known."""
        self.spent = spent
        self.start = self.updated = time.monotonic()

    def add(self, outcome: RowOutcome) -> None:
        self.items += 1
        self.unparsed += not outcome.parsed
        self.failed += outcome.failed

    def become(self, settled: Settled) -> None:
        """The first call tells what an earlier run had done."""
        self.items, self.unparsed, self.failed = settled.rows, settled.unparsed, settled.failed
        if self.before is None:
            self.before = self.items

    @property
    def rate(self) -> float:
        """Items of this run per second."""
        return (self.items - (self.before or 0)) / max(time.monotonic() - self.start, 1e-9)

    def of(self, total: int | None) -> str:
        """The total, and the estimated remaining time at the rate so far."""
        if total is None:
            return ""
        if self.rate <= 0:
            return f" of {total}"
        return f" of {total}, {timedelta(seconds=round((total - self.items) / self.rate))} left"

    def stale(self, seconds: float) -> bool:
        """Whether the last update is older than `seconds`; if so, reset the timer."""
        now = time.monotonic()
        if now - self.updated < seconds:
            return False
        self.updated = now
        return True

    def __str__(self) -> str:
        rate = f"{self.rate:.1f}/s"
        unparsed = f"{self.unparsed / self.items:.1%} unparsed" if self.unparsed else ""
        failed = f"{self.failed} failed" if self.failed else ""
        return ", ".join(part for part in (rate, unparsed, failed, self.spent()) if part)
