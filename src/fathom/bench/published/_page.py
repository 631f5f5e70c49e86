"""The page docs/benchmarks.md: published and recomputed numbers, and a description of every benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import log10

from fathom import bench
from fathom.bench import Benchmark
from fathom.bench.published import Figure

HEAD = """\
# Benchmarks

[eval.md](eval.md) shows how to run a benchmark. This page compares published figures with figures that Fathom computes
from the recorded texts of the judges, and then describes each benchmark. The texts are parsed by `Judge.read`,
aggregated by a `Rule`, and scored by the benchmark's official rule, like those of any other judge.

This command writes the page:

```
python -m fathom.bench.published --data DATA --out docs/benchmarks.md
```

`DATA` is a folder with the transcripts, which others own and which are not distributed with Fathom. `--lines FILE` also
writes every single figure to a file. If the transcripts are available, the tests check that the page is up to date.

## Published figures

`ours` is Fathom's figure, and `difference` is that figure minus the published one, which is usually rounded; 0 means
less than 1e-9. `rows` is the number of pairs or responses over which the figure is computed. Rows "as recorded" have no
text in the transcripts, or a text that the published rule cannot parse; for these, the value that the authors recorded
is used.

| benchmark | run | figure | published | ours | difference | rows | source |
|---|---|---|---|---|---|---|---|
"""


def page(figures: Sequence[Figure]) -> str:
    sources = list(dict.fromkeys(figure.source for figure in figures))
    table = "".join(f"{line}\n" for line in _lines(figures, sources))
    notes = "".join(f"{number}. {source}\n" for number, source in enumerate(sources, 1))
    benchmarks = "\n".join(_benchmark(bench.find(name)) for name in bench.names())
    return f"{HEAD}{table}\nSources:\n\n{notes}\n## The benchmarks\n\n{benchmarks}"


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
    """The largest difference of several figures."""
    differences = [figure.difference for figure in figures if figure.difference is not None]
    if not differences:
        return "-"
    largest = max(differences, key=abs)
    return "0" if abs(largest) < 1e-9 else f"{largest:+.1e}" if abs(largest) < 1e-4 else f"{largest:+.4f}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


# Benchmarks -----------------------------------------------------------------------------------------------------------


def _benchmark(benchmark: Benchmark) -> str:
    domains = ", ".join(f"{subset} ({domain or 'neither'})" for subset, domain in benchmark.domains.items())
    first = benchmark.always_first
    facts = {
        "Source": benchmark.source,
        "Files": ", ".join(f"`{pattern}`" for pattern in benchmark.files),
        "Hugging Face hub": f"`{benchmark.hub}`" if benchmark.hub else "none",
        "Size": f"{benchmark.size}.",
        "Layout": benchmark.layout,
        "Official score": benchmark.official,
        **({} if first is None else {"Score of always choosing the first": f"{first:g}"}),
        "Subsets and their domains": f"{domains}.",
    }
    listed = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    return f"### {benchmark.title} (`fathom eval {benchmark.name}`)\n\n{listed}\n"
