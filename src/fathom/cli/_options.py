"""Options that several verbs share, made into values."""

from __future__ import annotations

from collections.abc import Iterable

from fathom.errors import FathomError


def mapping(pairs: Iterable[str]) -> dict[str, str]:
    """Of `--map FIELD=COLUMN`, given any number of times."""
    columns = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals:
            raise FathomError(f"--map takes FIELD=COLUMN, got {pair!r}")
        columns[field] = column
    return columns
