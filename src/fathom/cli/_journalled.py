"""Asking a teacher about all comparisons, with a journal and progress: what `synth` and `rejection-sample` do alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fathom.errors import Interrupted

if TYPE_CHECKING:
    from fathom.cli._progress import Done
    from fathom.engines import Engine

Item = TypeVar("Item")


def made(
    what: str,
    total: int,
    teacher: Engine,
    journal: Path,
    each: Callable[[Engine], AsyncIterator[Item]],
    readable: Callable[[Item], bool],
) -> list[Item]:
    """All that `each` makes with the teacher behind its journal. Raises Interrupted at Ctrl-C.

    The folder of the journal must be claimed: results of another teacher in it are refused before this one is asked.
    """
    import asyncio

    from fathom.cli._progress import counting
    from fathom.engines.cache import CachedEngine

    async def run(done: Done) -> list[Item]:
        items = []
        async with CachedEngine(teacher, journal) as engine:
            async for item in each(engine):
                items.append(item)
                done(readable(item))
        return items

    try:
        with counting(what, total) as done:
            return asyncio.run(run(done))
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; what is finished is in {journal}: give the same command again to go on") from None
