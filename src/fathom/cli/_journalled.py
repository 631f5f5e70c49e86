"""Calls a teacher for all comparisons, with a journal and progress. Shared by `synth` and `rejection-sample`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fathom.cli._failures import RowCounts

if TYPE_CHECKING:
    from fathom.cli._progress import Done
    from fathom.engines import Engine
    from fathom.engines.metering import Metered
    from fathom.judging import RowOutcome

Item = TypeVar("Item")


def made(
    what: str,
    total: int,
    teacher: Metered,
    journal: Path,
    each: Callable[[Engine], AsyncIterator[Item]],
    outcome: Callable[[Item], RowOutcome],
) -> tuple[list[Item], RowCounts]:
    """Collect all items that `each` yields with the journaled teacher, and count the failed comparisons."""
    import asyncio

    from fathom.cli._progress import counting
    from fathom.cli._running import resumable
    from fathom.engines.cache import CachedEngine

    counts = RowCounts()

    async def run(done: Done) -> list[Item]:
        items = []
        async with CachedEngine(teacher, journal) as engine:
            async for item in each(engine):
                items.append(item)
                counts.add(outcome(item))
                done(outcome(item))
        return items

    with resumable(journal, journal.parent), counting(what, total, partial(str, teacher)) as done:
        return asyncio.run(run(done)), counts
