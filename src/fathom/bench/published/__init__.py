"""Published figures of judges, computed again from the texts that these judges wrote.

    for figure in figures(Path("data")):
        print(figure.run, figure.name, figure.published, figure.ours)

    python -m fathom.bench.published --data data --out docs/benchmarks.md

One file a source of transcripts: what it reads goes through a judge's `read`, a `Rule` and `to_row` like
everything else, and its figures are what the benchmark makes of these rows. The transcripts belong to others and do not
come with Fathom; a source that is not in the folder gives no figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from fathom.plugins import Kind

Stated = Mapping[str, Any]
"""What `reference_numbers.json` says of a source."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number, in the units in which it was published."""

    benchmark: str
    run: str
    name: str
    ours: float
    published: float | None
    """None where nobody states it: then it is ours alone."""
    tolerance: float
    """How far apart they may be: half a unit of the last digit that was published, as a rule."""
    rows: int
    as_recorded: int = 0
    """Of the rows, those that count with the value that was recorded, because there is nothing to read it from."""
    source: str
    group: str = ""
    """Figures of one group are told in one line, where they are too many for a page."""

    @property
    def difference(self) -> float | None:
        return None if self.published is None else self.ours - self.published

    @property
    def agrees(self) -> bool:
        """Whether both are the same; two that are not a number are, and one without a published figure is."""
        if self.published is None or (isnan(self.ours) and isnan(self.published)):
            return True
        return abs(self.ours - self.published) <= self.tolerance


SOURCES = Kind("source of transcripts", package=__name__, group="fathom.published")


def names() -> list[str]:
    """The names of all sources."""
    return SOURCES.names()


def figures(data: Path) -> Iterator[Figure]:
    """Those of every source whose folder is in `data`."""
    stated = json.loads(path.read_text()) if (path := data / "reference_numbers.json").is_file() else {}
    for source in map(SOURCES.find, names()):
        if (data / source.FOLDER).is_dir():
            yield from source.figures(data / source.FOLDER, stated.get(source.FOLDER, {}))
