"""Reads the comparisons of a verb's FILE by its options for sources: --map, --on-error and --limit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fathom.data.reading import Comparisons
    from fathom.data.records import Comparison
    from fathom.settings import SourceSettings


def read(
    file: str,
    source: SourceSettings,
    *,
    seed: int,
    check: Callable[[Comparison], None] | None = None,
    used: Collection[str] = (),
) -> Comparisons:
    """The comparisons of a file. Raises FathomError for a mapping that cannot be parsed, and as `reading.read` does."""
    from fathom.data import reading

    return reading.read(
        file,
        mapping=reading.parse_mapping(source.map),
        check=check,
        seed=seed,
        on_error=source.on_error,
        limit=source.limit,
        neutral=source.neutral,
        used=used,
    )
