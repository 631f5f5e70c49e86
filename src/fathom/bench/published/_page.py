"""docs/benchmarks.md: published figures beside ours, and what every benchmark is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import log10

from fathom import bench
from fathom.bench import Benchmark
from fathom.bench.published import Figure

HEAD = """\
# Benchmarks

How to run a benchmark: [eval.md](eval.md). This page has published figures, recomputed from what the judges wrote, and
below them what each benchmark is. The recorded texts go through `Judge.read`, a `Rule` and a row of results into the
benchmark's official score, like those of any other judge.

This page is written by

```
python -m fathom.bench.published --data DATA --out docs/benchmarks.md
```

where `DATA` holds the transcripts, which belong to others and do not come with Fathom. `--lines FILE` writes every
single figure too. The tests write the page again and compare, where the transcripts are at hand.

## Published figures

`difference` is our figure minus the published one, which is usually rounded; 0 means less than 1e-9. `rows` counts
pairs or responses, as the figure does. For rows "as recorded" the transcripts hold no text, or a text that the
published rule cannot parse; they enter with the value that the authors recorded.

| benchmark | run | figure | published | ours | difference | rows | source |
|---|---|---|---|---|---|---|---|
"""


def page(figures: Sequence[Figure]) -> str:
    sources = list(dict.fromkeys(figure.source for figure in figures))
    table = "".join(f"{line}\n" for line in _lines(figures, sources))
    notes = "".join(f"{number}. {source}\n" for number, source in enumerate(sources, 1))
    benchmarks = "\n".join(_benchmark(bench.find(name)) for name in bench.names())
    return f"{HEAD}{table}\nSources:\n\n{notes}\n## What each benchmark is\n\n{benchmarks}"


# Figures --------------------------------------------------------------------------------------------------------------


def _lines(figures: Sequence[Figure], sources: Sequence[str]) -> Iterator[str]:
    for (benchmark, group), members in groupby(figures, key=lambda figure: (figure.benchmark, figure.group)):
        for cells in [_together(list(members))] if group else map(_alone, members):
            number = sources.index(cells[-1]) + 1
            yield _row(benchmark, *cells[:-1], str(number))


def _alone(figure: Figure) -> tuple[str, ...]:
    decimals = min(6, round(-log10(2 * figure.tolerance))) if 0 < figure.tolerance < 1 else 0
    published = "-" if figure.published is None else f"{figure.published:.{decimals}f}"
    ours = f"{figure.ours:.{decimals and max(decimals, 4)}f}"
    rows = f"{figure.rows:,}" + (f", {figure.as_recorded:,} as recorded" if figure.as_recorded else "")
    return figure.run, figure.name, published, ours, _difference([figure]), rows, figure.source


def _together(figures: Sequence[Figure]) -> tuple[str, ...]:
    runs = {figure.run: figure.rows for figure in figures}
    names = {figure.name for figure in figures}
    published = [figure for figure in figures if figure.published is not None]
    agreeing = sum(figure.agrees for figure in published)
    return (
        f"{figures[0].group}, {len(runs)} runs",
        f"{len(names)} statistics each",
        f"{len(published)} figures",
        f"{agreeing} equal",
        _difference(published),
        f"{sum(runs.values()):,}",
        figures[0].source,
    )


def _difference(figures: Iterable[Figure]) -> str:
    """The largest."""
    found = [figure.difference for figure in figures if figure.difference is not None]
    if not found:
        return "-"
    largest = max(found, key=abs)
    return "0" if abs(largest) < 1e-9 else f"{largest:+.1e}" if abs(largest) < 1e-4 else f"{largest:+.4f}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


# What there is --------------------------------------------------------------------------------------------------------


def _benchmark(benchmark: Benchmark) -> str:
    domains = ", ".join(f"{subset} ({domain or 'neither'})" for subset, domain in benchmark.domains.items())
    facts = {
        "Source": benchmark.source,
        "Files": ", ".join(f"`{pattern}`" for pattern in benchmark.files),
        "Hugging Face hub": f"`{benchmark.hub}`" if benchmark.hub else "none",
        "Size": f"{benchmark.size}.",
        "Layout": benchmark.layout,
        "Official score": benchmark.official,
        "Always naming the first": f"{benchmark.always_first:g}",
        "Subsets and their domains": f"{domains}.",
    }
    told = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    return f"### {benchmark.title} (`fathom eval {benchmark.name}`)\n\n{told}\n"
