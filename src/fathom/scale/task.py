"""What a verb gives to its workers: what to do with each comparison, and where its rows go.

    task = JudgeTask(settings)                  # of `judging`
    with task.work(engine) as work:
        item = await work.item(comparison)      # its row, and whether it failed

A task holds settings and no engine, because Ray sends it to every worker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from fathom.data.records import Comparison
from fathom.engines import Engine
from fathom.judging import RowOutcome
from fathom.results.export import TableRow
from fathom.settings import BoundSettings, EngineSettings


class Item(NamedTuple):
    """What came of a comparison."""

    row: TableRow
    """Its values by column; `row` is a text of JSON from which the driver, or `fathom export`, makes the result."""
    outcome: RowOutcome


@dataclass(frozen=True)
class Work:
    """A task that has begun."""

    item: Callable[[Comparison], Awaitable[Item]]
    details: Callable[[], Mapping[str, Any]] = dict
    """What to add to the shard's report at its end, as plain JSON."""


class Task(Protocol):
    """What workers do. Its settings must be picklable, and the files that they name must be on every machine."""

    @property
    def engine(self) -> EngineSettings: ...

    @property
    def bounds(self) -> BoundSettings:
        """Bounds that hold for all workers together."""

    @property
    def concurrency(self) -> int:
        """Maximum comparisons of a worker in progress."""

    @property
    def folder(self) -> str:
        """The folder of the rows, within that of the run."""

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns of the rows, with pyarrow's names of their types."""

    def work(self, engine: Engine) -> AbstractContextManager[Work]:
        """Begin a shard. Raises FathomError for settings that do not fit the engine."""
