"""Benchmarks: `load` reads the comparisons of one, and `score` computes its official score from result rows.

    benchmark = find("judgebench")
    comparisons = benchmark.load(Path("data/judgebench"))
    score = benchmark.score(map(json.loads, open("runs/judgebench.jsonl")))
    score.figures["overall"]               # Interval(mean=0.66, low=..., high=...)

A new benchmark is a file in this package that binds a `Benchmark` to the name `BENCHMARK`, and a test. The files
`files`, `hub`, `outcomes` and `rules` hold shared functions. Scores follow each benchmark's official rule and are 0 to
1. On a part of a benchmark's data they are not comparable with published scores: see `Score.absent` and `Score.rows`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from fathom.bench.outcomes import scoring_status, unit
from fathom.bench.rules import BASELINES
from fathom.data.layouts import SourceRow
from fathom.data.records import Comparison, Domain
from fathom.errors import FathomError
from fathom.metrics.intervals import Interval, Share, clustered, means_by_name
from fathom.plugins import PluginKind
from fathom.results.rows import Row, prompt_key

Load = Callable[[Path], Iterator[Comparison]]
NamedValues = Iterable[tuple[Hashable, float]]
Figures = Callable[[Mapping[Any, float]], Mapping[str, float]]


@dataclass(frozen=True)
class Score:
    """The official scores of some rows, and which part of the benchmark these rows cover."""

    figures: Mapping[str, Interval]
    """Scores by name, 0 to 1, the headline first, with 95 % bootstrap intervals over prompts. Empty if no row could be
    scored."""
    rows: int
    failed: int
    """Rows for which the engine failed. They do not count in any score."""
    unparsed: Mapping[str, int]
    """The number of rows without a verdict, by status. `Benchmark.official` states how they count."""
    absent: tuple[str, ...]
    """Subsets of the benchmark without a scored row. If there are any, the headline is not the official score."""
    subsets: Mapping[str, int] = field(default_factory=dict)
    """The number of scored rows of each subset."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A published benchmark of judges. `load` needs only its files, and `score` only result rows."""

    name: str
    title: str
    source: str
    """The paper, the repository and, if stated, the licence."""
    files: tuple[str, ...]
    """Glob patterns of its files. Each must match at least one file."""
    hub: str | None = None
    """The dataset id on the Hugging Face hub; None if the files are not on the hub."""
    size: str
    """The number of comparisons, as published or counted."""
    layout: str
    """The columns of its files, and which real files they were checked against."""
    official: str
    """The official score in words: its weights, and how ties and unparsed verdicts count."""
    domains: Mapping[str, Domain | None]
    """The subsets, which rows have in metadata["subset"], and the domain of each."""
    load: Load
    item: Callable[[Row], Any]
    """Extracts from a row what the official score needs: named values, or a small value for `parts`."""
    figures: Figures = dict
    """Maps the mean of each name to the official scores, the headline first, and omits scores whose names are missing.
    By default the scores are the means."""
    always_first: float | None = None
    """The headline of a judge that always names the first response, asked in both orders, if no label is a tie. None
    for benchmarks of single solutions."""
    scores_steps: bool = False
    """Whether the official score needs votes that score steps."""
    baselines: Mapping[str, Callable[[Row], Row]] = field(default_factory=lambda: BASELINES)
    """Rules that read no response, by name: each rewrites a row as if it had judged."""
    of_transcript: Callable[[SourceRow], Comparison | None] | None = None
    """Makes a comparison with id, label and subset, but without texts, from a row of the authors' recorded outputs.
    Returns None for other rows."""
    parts: Callable[[Sequence[Any]], NamedValues] = chain.from_iterable
    """Maps the items of one group to named values, for scores that need several rows at a time."""
    example: Mapping[str, Sequence[Mapping[str, Any]]]
    """A few rows in the layout of each file, written for this library. Tests load them."""

    def score(self, rows: Iterable[Row]) -> Score:
        """The official scores of rows of `fathom judge`, `fathom rank` or `fathom eval`.

        Failed rows are counted, but are in no score. Intervals are bootstrapped over prompts, because rows of one
        prompt are correlated.
        """
        tally = BenchmarkTally(self)
        for row in rows:
            tally.add(row)
        return tally.score()

    def point(self, rows: Iterable[Row]) -> Mapping[str, float]:
        """The official scores, without intervals, of the rows that did not fail."""
        return self.all_rows(row for row in rows if scoring_status(row) != "failed")

    def all_rows(self, rows: Iterable[Row]) -> Mapping[str, float]:
        """The official scores, without intervals, where a failed row counts as unparsed."""
        units: dict[str, list[Any]] = {}
        for row in rows:
            units.setdefault(unit(row), []).append(self.item(row))
        found = means_by_name([self.named_values(units.values())])
        return self.figures(found) if found else {}

    def named_values(self, units: Iterable[Sequence[Any]]) -> NamedValues:
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
        state = scoring_status(row)
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
    """Accuracy over labelled rows, by domain; ties, unparsed verdicts and failed calls are wrong.

    Unlike official scores, it is defined in the same way for every benchmark.
    """
    shares: dict[str, Share] = {}
    for row in rows:
        if row["label"] is not None:
            for domain in ("all", row["domain"] or "neither"):
                shares.setdefault(domain, Share()).add(float(bool(row["correct"])), prompt_key(row))
    return {domain: interval for domain in sorted(shares) if (interval := shares[domain].interval)}


BENCHMARKS = PluginKind("benchmark", packages=(__name__,), group="fathom.benchmarks", attribute="BENCHMARK")


def names() -> list[str]:
    """The names of all installed benchmarks."""
    return BENCHMARKS.names()


def find(name: str) -> Benchmark:
    """The benchmark of that name: a file in this package (`-` may replace `_`), an entry point in `fathom.benchmarks`,
    FILE.py or MODULE:NAME. Raises FathomError, which lists all names, for an unknown name."""
    benchmark = BENCHMARKS.find(name)
    if not isinstance(benchmark, Benchmark):
        raise FathomError(f"the benchmark {name!r} is {benchmark!r}, expected a fathom.bench.Benchmark")
    return benchmark
