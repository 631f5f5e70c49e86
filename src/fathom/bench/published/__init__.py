"""Recompute published results of judges from the texts that these judges wrote.

    for figure in figures(Path("data")):
        print(figure.run, figure.name, figure.published, figure.ours)

    python -m fathom.bench.published --data data --out docs/benchmarks.md

There is one file per source of transcripts. Its texts go through a judge's `read`, a `Rule` and `to_row`, as in any
run, and the benchmark computes its scores from these rows. The transcripts belong to their authors and are not shipped
with Fathom; a source that is not in the folder is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from fathom.plugins import PluginKind

Stated = Mapping[str, Any]
"""The published numbers of a source in `reference_numbers.json`."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number, in the unit in which it was published."""

    benchmark: str
    run: str
    name: str
    ours: float
    published: float | None
    """None if it was not published."""
    tolerance: float
    """The largest difference that counts as equal: usually half a unit of the last published digit."""
    rows: int
    as_recorded: int = 0
    """The number of rows that use the recorded value, because there is no text that could be parsed."""
    source: str
    group: str = ""
    """Figures of one group share a line of the page."""

    @property
    def difference(self) -> float | None:
        return None if self.published is None else self.ours - self.published

    @property
    def agrees(self) -> bool:
        """Whether both are equal within the tolerance. True if both are NaN and if there is no published number."""
        if self.published is None or (isnan(self.ours) and isnan(self.published)):
            return True
        return abs(self.ours - self.published) <= self.tolerance


SOURCES = PluginKind("source of transcripts", packages=(__name__,), group="fathom.published")


def names() -> list[str]:
    """The names of all sources."""
    return SOURCES.names()


def figures(data: Path) -> Iterator[Figure]:
    """The figures of every source whose folder is in `data`."""
    stated = json.loads(path.read_text()) if (path := data / "reference_numbers.json").is_file() else {}
    for source in map(SOURCES.find, names()):
        if (data / source.FOLDER).is_dir():
            yield from source.figures(data / source.FOLDER, stated.get(source.FOLDER, {}))
