"""`fathom eval NAME...`: benchmarks, judged and scored by their official rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fathom.cli import _options as options
from fathom.errors import FathomError

if TYPE_CHECKING:
    from fathom.bench import Benchmark, Score
    from fathom.bench._outcomes import Row
    from fathom.engines import Engine
    from fathom.metrics.intervals import Interval


@options.judging
def command(
    names: Annotated[list[str], typer.Argument(help="Benchmarks; without any, all are listed.")] = [],  # noqa: B006
    model: Annotated[str, typer.Option(help="A checkpoint's folder, a name on the hub or the server, mini.")] = "",
    data: Annotated[
        Path | None, typer.Option(help="Their files, or a folder NAME for each. Without it, from the hub.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for NAME.jsonl and what made it.")] = Path("runs"),
    listed: Annotated[bool, typer.Option("--list", help="Say what the benchmarks are.")] = False,
    **given: Any,
) -> None:
    """Judge benchmarks and score them by their official rules.

        fathom eval
        fathom eval judgebench rm-bench --data benchmarks/ --model runs/sft --out runs/sft-eval
        fathom eval rewardbench --engine openai --base-url http://localhost:8000/v1 --model Qwen/Qwen3-32B

    Pairs are judged in both orders. Where there are more than two responses, a judge of pairs compares all of them, and
    other judges read them as they do. OUT/NAME.jsonl holds the rows, and figures can be computed from them again. To go
    on after an interruption, give the same command again.
    """
    from fathom import bench
    from fathom.cli._judging import claim_rows, lent

    if listed or not names:
        typer.echo("\n\n".join(map(_described, map(bench.find, names or bench.names()))))
        return
    if given["map"] or given["on_error"] != "stop":
        raise FathomError("--map and --on-error are for files of any layout; that of a benchmark is known")
    if not model:
        raise FathomError("--model is missing: which model judges? mini is the small one that comes with Fathom")
    given["model"] = model
    benchmarks = [bench.find(name) for name in names]
    sources = [_source(benchmark, data) for benchmark in benchmarks]
    each = [given | {"out": out / f"{benchmark.name}.jsonl"} for benchmark in benchmarks]
    for run, (_, inputs) in zip(each, sources, strict=True):
        claim_rows(run, reads=inputs)
    with lent(given) as engine:
        for benchmark, source, run in zip(benchmarks, sources, each, strict=True):
            _evaluate(benchmark, *source, run, engine)


def _described(benchmark: Benchmark) -> str:
    parts = {
        "size": benchmark.size,
        "source": benchmark.source,
        "hub": benchmark.hub or "not on the hub as one dataset",
        "files": ", ".join(benchmark.files),
        "layout": benchmark.layout,
        "score": benchmark.official,
    }
    return "\n".join([f"{benchmark.name}: {benchmark.title}", *(f"  {name}: {text}" for name, text in parts.items())])


def _source(benchmark: Benchmark, data: Path | None) -> tuple[Path, list[Path]]:
    """Its folder, and its files there."""
    from fathom.bench._files import found
    from fathom.bench._hub import folder

    place = folder(benchmark, data)
    return place, found(place, *benchmark.files)


def _evaluate(
    benchmark: Benchmark, place: Path, inputs: Sequence[Path], given: Mapping[str, Any], engine: Engine
) -> None:
    from dataclasses import asdict

    from fathom import bench, runs
    from fathom.cli._judging import describe, opened, run
    from fathom.judging import write_judged
    from fathom.reading import Comparisons

    comparisons = Comparisons(islice(benchmark.load(place), given["limit"]), [])
    named = {**given, "file": str(place), "benchmark": benchmark.name}
    ready = opened(named, (comparisons, inputs), runner=engine)
    run(ready, benchmark.name, partial(write_judged, ready.voter, comparisons))
    rows = runs.open(given["out"]).rows
    score, domains = benchmark.score(rows()), bench.by_domain(rows())
    describe(ready, {"score": asdict(score), "domains": domains})
    _show(benchmark, score, _baselines(benchmark, rows), domains)


def _baselines(benchmark: Benchmark, rows: Callable[[], Iterable[Row]]) -> dict[str, Mapping[str, float]]:
    from fathom.bench._rules import RULES, ruled

    return {name: benchmark.point(ruled(row, rule) for row in rows()) for name, rule in RULES.items()}


def _show(
    benchmark: Benchmark, score: Score, baselines: Mapping[str, Mapping[str, float]], domains: Mapping[str, Interval]
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "official", *baselines, title=benchmark.title)
    for name, interval in score.figures.items():
        table.add_row(
            name, str(interval), *(f"{other[name]:.3f}" if name in other else "" for other in baselines.values())
        )
    right = Table("domain", "right verdicts", title="strict accuracy")
    for name, interval in domains.items():
        right.add_row(name, str(interval))
    print_ = Console().print
    print_(table)
    print_(right)
    unreadable = ", ".join(f"{count} {status}" for status, count in score.unreadable.items()) or "none"
    print_(f"{score.rows} rows; failed and in no figure: {score.failed}; unreadable: {unreadable}")
    if score.absent:
        print_(f"not the official score of the whole: nothing scored of {', '.join(score.absent)}")
