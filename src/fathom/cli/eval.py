"""`fathom eval NAME...`: benchmarks, judged and scored by their official rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from fathom.cli._failures import FailOn
from fathom.cli._options import DryRun, Limit, with_settings
from fathom.cli._verb import Force
from fathom.settings import JudgingSettings, RaySettings

if TYPE_CHECKING:
    from fathom.bench import Benchmark, Score
    from fathom.cli._judging import Run
    from fathom.data.reading import Comparisons
    from fathom.engines import Engine
    from fathom.metrics.intervals import Interval
    from fathom.results.outputs import Claim
    from fathom.results.rows import Row


class Source(NamedTuple):
    """A benchmark with its folder and the files there."""

    benchmark: Benchmark
    place: Path
    files: Sequence[Path]


@with_settings
def command(
    settings: JudgingSettings,
    ray: RaySettings,
    names: Annotated[list[str], typer.Argument(help="Benchmarks to run. Default: describe all.")] = [],  # noqa: B006
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with the files, or with a subfolder NAME per benchmark. Default: the hub."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Write NAME.jsonl and its companion files to this folder.")] = Path("runs"),
    listed: Annotated[bool, typer.Option("--list", help="Describe the benchmarks instead of running them.")] = False,
    limit: Limit = None,
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Judge benchmarks and score them by their official rules.

        fathom eval
        fathom eval judgebench rm-bench --data benchmarks/ --model runs/sft --out runs/sft-eval
        fathom eval rewardbench --engine openai --base-url http://localhost:8000/v1 --model Qwen/Qwen3-32B

    Pairs are judged in both orders by default. If a prompt has more than two responses, a pairwise judge compares all
    pairs of them. OUT/NAME.jsonl has the rows; `fathom score` computes the metrics from them again. To resume an
    interrupted run, repeat the command. With --ray, OUT/NAME is a folder of Parquet parts per benchmark.
    """
    from fathom import bench
    from fathom.cli._dry_run import evaluated
    from fathom.cli._judging import claim_rows, finish
    from fathom.engines.opening import require_model
    from fathom.judging.session import shared_engine

    if listed or not names:
        typer.echo("\n\n".join(map(_described, map(bench.find, names or bench.names()))))
        return
    require_model(settings.engine)
    sources = [_source(bench.find(name), data) for name in names]
    if ray.ray and not dry_run:
        return _on_ray(sources, settings, limit, out, ray, fail_on, force)
    claims = [claim_rows(_rows_file(each, out), settings.engine.journal, reads=each.files) for each in sources]
    if dry_run:
        for source in sources:
            evaluated(settings, _comparisons(source, limit), _rows_file(source, out), source.benchmark.name)
        return
    with shared_engine(settings) as engine:
        each = zip(sources, claims, strict=True)
        runs = [_evaluate(source, settings, limit, _rows_file(source, out), claim, engine) for source, claim in each]
    for run in runs:
        finish(run, fail_on)


def _comparisons(source: Source, limit: int | None) -> Comparisons:
    from fathom.data.reading import Comparisons

    return Comparisons(islice(source.benchmark.load(source.place), limit), [])


def _rows_file(source: Source, out: Path) -> Path:
    return out / f"{source.benchmark.name}.jsonl"


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


def _source(benchmark: Benchmark, data: Path | None) -> Source:
    from fathom.bench.files import found
    from fathom.bench.hub import folder

    place = folder(benchmark, data)
    return Source(benchmark, place, found(place, *benchmark.files))


def _evaluate(
    source: Source,
    settings: JudgingSettings,
    limit: int | None,
    out: Path,
    claim: Claim | None,
    engine: Engine,
) -> Run:
    """Judges one benchmark, writes what came of it and shows its scores."""
    from fathom.cli._judging import describe, opened, write
    from fathom.judging import write_judged
    from fathom.results import runs

    comparisons, config = _comparisons(source, limit), _config(source, limit)
    run = opened(settings, comparisons, source.files, out, config, claim=claim, total=limit, engine=engine)
    write(run, source.benchmark.name, partial(write_judged, run.session.reward_model, comparisons))
    _score(source.benchmark, runs.open(out).rows, partial(describe, run))
    return run


def _config(source: Source, limit: int | None) -> dict[str, Any]:
    """What a run records beside the settings."""
    return {"file": str(source.place), "benchmark": source.benchmark.name, "limit": limit}


def _score(
    benchmark: Benchmark, rows: Callable[[], Iterable[Row]], describe: Callable[[Mapping[str, Any]], None]
) -> None:
    """Score a benchmark: record the summary by `describe`, and show the scores."""
    from dataclasses import asdict

    from fathom import bench

    score, domains = benchmark.score(rows()), bench.by_domain(rows())
    describe({"score": asdict(score), "domains": domains})
    _show(benchmark, score, _baselines(benchmark, rows), domains)


def _on_ray(
    sources: Sequence[Source],
    settings: JudgingSettings,
    limit: int | None,
    out: Path,
    ray: RaySettings,
    fail_on: str,
    force: bool,
) -> None:
    """Judge each benchmark into a folder of parts. Their bounds are common, so their workers share one ledger."""
    from fathom.cli._ray import claim_on_ray, on_ray
    from fathom.results import runs
    from fathom.scale.judging import JudgeTask
    from fathom.scale.pool import shared_ledger
    from fathom.settings import flatten_settings

    folders = [out / source.benchmark.name for source in sources]
    claims = [claim_on_ray(folder, settings.engine) for folder in folders]
    task, ledger, done = JudgeTask(settings, rankings=True), cache(partial(shared_ledger, settings.bounds, ray)), []
    for source, folder, claim in zip(sources, folders, claims, strict=True):
        recorded = flatten_settings(settings) | _config(source, limit)
        name, rows = source.benchmark.name, _comparisons(source, limit)
        run = on_ray(task, name, rows, source.files, folder, recorded, ray, force=force, ledger=ledger)
        _score(source.benchmark, runs.open(run.folder.address).rows, run.describe)
        if claim:
            claim.seal()
        done.append(run)
    for run in done:
        run.finish(fail_on)


def _baselines(benchmark: Benchmark, rows: Callable[[], Iterable[Row]]) -> dict[str, Mapping[str, float]]:
    return {name: benchmark.point(map(baseline, rows())) for name, baseline in benchmark.baselines.items()}


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
    right = Table("domain", "accuracy", title="accuracy")
    for name, interval in domains.items():
        right.add_row(name, str(interval))
    print_ = Console().print
    print_(table)
    print_(right)
    statuses = ", ".join(f"{count} {status}" for status, count in score.unparsed.items())
    unparsed = f"{sum(score.unparsed.values())} unparsed" + (f" ({statuses})" if statuses else "")
    print_(f"{score.rows} rows: {score.failed} failed (excluded from the official score), {unparsed}")
    if score.absent:
        print_(f"not the official score of the whole benchmark: no scored rows in {', '.join(score.absent)}")
