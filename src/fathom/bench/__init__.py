"""Benchmarks: one file each, found by its name; what it loads is judged, and what was judged is scored from rows alone.

    benchmark = find("judgebench")
    comparisons = benchmark.load(Path("data/judgebench"))
    score = benchmark.score(map(json.loads, open("runs/judgebench.jsonl")))
    score.figures["overall"]               # Interval(mean=0.66, low=..., high=...)

A new benchmark is a file here that binds a `Benchmark` to the name `BENCHMARK`, and its test; the other files
hold what benchmarks share. Figures follow each benchmark's official rule, 0 to 1. They are not comparable
with published ones where the data are a part of the benchmark: `Score.absent` and `Score.rows` say so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from fathom.bench.outcomes import status, unit
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain
from fathom.errors import FathomError
from fathom.metrics.intervals import Interval, Share, clustered, means
from fathom.plugins import Kind
from fathom.results.rows import Row, prompt_key

Load = Callable[[Path], Iterator[Comparison]]
Named = Iterable[tuple[Hashable, float]]
Figures = Callable[[Mapping[Any, float]], Mapping[str, float]]


@dataclass(frozen=True)
class Score:
    """The official figures of some rows, and how much of the benchmark they speak of."""

    figures: Mapping[str, Interval]
    """0 to 1, the headline first; intervals at 95 %, bootstrapped over prompts. Empty where no row could be scored."""
    rows: int
    failed: int
    """Rows for which the engine failed. They are in no figure."""
    unparsed: Mapping[str, int]
    """Rows whose texts hold no verdict, by status. What they count for is said in `Benchmark.official`."""
    absent: tuple[str, ...]
    """Subsets of the benchmark of which no row was scored. The headline is not official while there are any."""
    subsets: Mapping[str, int] = field(default_factory=dict)
    """The number of scored rows of each subset."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A published test of judges. `load` and `score` need nothing but its files and the rows of its results."""

    name: str
    title: str
    source: str
    """Who published it, and where: paper, repository, licence as far as it is stated."""
    files: tuple[str, ...]
    """Patterns of the files that are read, each of which must be there; `*` stands for any part of a name."""
    hub: str | None = None
    """The id of the dataset on the Hugging Face hub whose files these are; None where it is not kept there."""
    size: str
    """How many comparisons there are, as published or counted."""
    layout: str
    """The columns of its files, and what was checked against real files."""
    official: str
    """The official score in words: its weights, what a tie counts for, and what an unparsed verdict does."""
    domains: Mapping[str, Domain | None]
    """The subsets, as rows have them in metadata["subset"], and the domain in which each counts."""
    load: Load
    item: Callable[[Row], Any]
    """What the official score needs of a row, made once: values with names, or a small value that `parts` takes."""
    figures: Figures = dict
    """Official figures of the means of all values of a name, the headline first; one without its values is left out.
    The means themselves, unless the benchmark makes others of them."""
    always_first: float
    """The headline of a judge that names whatever it is shown first, asked in both orders, where no label is a tie."""
    of_transcript: Callable[[SourceRow], Comparison | None] | None = None
    """The comparison that a row of the authors' own outputs is about, as far as the row says it: id, label and subset,
    without the texts. None of a row that is no such output."""
    parts: Callable[[Sequence[Any]], Named] = chain.from_iterable
    """Values with names of the items of one group, where they are not those of its rows one by one."""
    example: Mapping[str, Sequence[Mapping[str, Any]]]
    """A few rows in the layout, by file name, written for this library: what `load` understands, and a test of it."""

    def score(self, rows: Iterable[Row]) -> Score:
        """The official figures of rows as `fathom judge`, `fathom rank` or `fathom eval` write them.

        Rows that failed are counted and in no figure. Intervals are bootstrapped over prompts, because the verdicts on
        one prompt are not independent.
        """
        tally = BenchmarkTally(self)
        for row in rows:
            tally.add(row)
        return tally.score()

    def point(self, rows: Iterable[Row]) -> Mapping[str, float]:
        """The official figures without their intervals, of rows that did not fail."""
        return self.all_rows(row for row in rows if status(row) != "failed")

    def all_rows(self, rows: Iterable[Row]) -> Mapping[str, float]:
        """The official figures without their intervals, where a row that failed counts as one that cannot be read."""
        units: dict[str, list[Any]] = {}
        for row in rows:
            units.setdefault(unit(row), []).append(self.item(row))
        found = means([self.named_values(units.values())])
        return self.figures(found) if found else {}

    def named_values(self, units: Iterable[Sequence[Any]]) -> Named:
        """The named values of items, grouped by unit of the score."""
        return chain.from_iterable(map(self.parts, units))


@dataclass
class BenchmarkTally:
    """Collects what the official score needs of each row, one row at a time, and none of its texts."""

    benchmark: Benchmark
    items: dict[int, dict[str, list[Any]]] = field(default_factory=lambda: defaultdict(dict))
    """By prompt and unit of the score."""
    statuses: Counter[str] = field(default_factory=Counter)
    subsets: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        state = status(row)
        self.statuses[state] += 1
        if state != "failed":
            self.subsets[row["metadata"]["subset"]] += 1
            units = self.items[prompt_key(row, self.benchmark.name)]
            units.setdefault(unit(row), []).append(self.benchmark.item(row))

    def score(self) -> Score:
        """The official figures of the rows so far."""
        named = (self.benchmark.named_values(units.values()) for units in self.items.values())
        return Score(
            figures=clustered(self.benchmark.figures, named),
            rows=self.statuses.total(),
            failed=self.statuses["failed"],
            unparsed={state: count for state, count in self.statuses.items() if state not in ("ok", "failed")},
            absent=tuple(subset for subset in self.benchmark.domains if subset not in self.subsets),
            subsets=dict(self.subsets),
        )


def by_domain(rows: Iterable[Row]) -> dict[str, Interval]:
    """The share of labelled rows with the right verdict, by domain; a tie, no verdict and a failed call are wrong.

    Unlike official figures these mean the same for every benchmark.
    """
    shares: dict[str, Share] = {}
    for row in rows:
        if row["label"] is not None:
            for domain in ("all", row["domain"] or "neither"):
                shares.setdefault(domain, Share()).add(float(bool(row["correct"])), prompt_key(row))
    return {domain: interval for domain in sorted(shares) if (interval := shares[domain].interval)}


BENCHMARKS = Kind("benchmark", package=__name__, group="fathom.benchmarks", attribute="BENCHMARK")


def names() -> list[str]:
    """The names of all installed benchmarks."""
    return BENCHMARKS.names()


def find(name: str) -> Benchmark:
    """The benchmark of a name: a file in this package (`-` may stand for `_`), an entry point in `fathom.benchmarks`,
    FILE.py or MODULE:NAME. Raises FathomError for a name that stands for no benchmark, with the names of all."""
    benchmark = BENCHMARKS.find(name)
    if not isinstance(benchmark, Benchmark):
        raise FathomError(f"the benchmark {name!r} is {benchmark!r}, expected a fathom.bench.Benchmark")
    return benchmark
