"""`fathom judge FILE`: a verdict for every comparison of a file."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fathom.errors import FathomError, Interrupted

if TYPE_CHECKING:
    from fathom.bench.metrics import Tally
    from fathom.engines.cache import CachedEngine
    from fathom.judges import Voter
    from fathom.records import Comparison


def command(
    file: Annotated[str, typer.Argument(help="JSONL, JSON, Parquet or a datasets folder of any layout; - for stdin.")],
    model: Annotated[str, typer.Option(help="A checkpoint's folder, a name on the hub or the server, or mini.")],
    engine: Annotated[str, typer.Option(help="What runs the model: local, or openai for a server.")] = "local",
    base_url: Annotated[str | None, typer.Option(help="(openai) The server, as in http://localhost:8000/v1.")] = None,
    engine_option: Annotated[
        list[str], typer.Option(help="NAME=VALUE in YAML, any setting of the engine: concurrency=256, timeout=60, ...")
    ] = [],  # noqa: B006
    judge: Annotated[
        str | None, typer.Option(help="A file in fathom/judges. Default: the checkpoint's, or mix.")
    ] = None,
    style: Annotated[
        Literal["vanilla", "breadth", "depth", "mix", "hybrid"] | None,
        typer.Option(help="The structure of the rationale. Default: the checkpoint's, or mix."),
    ] = None,
    prompt: Annotated[
        Literal["trained", "instruct"] | None,
        typer.Option(help="The plain prompt of training, or full instructions. Default: what the checkpoint needs."),
    ] = None,
    votes: Annotated[int, typer.Option(min=1, help="Votes on each comparison, in each order.")] = 1,
    swap: Annotated[bool, typer.Option("--swap", help="Vote in both orders of the responses.")] = False,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest rationale.")] = 2048,
    seed: Annotated[int, typer.Option(help="Of the random draws, and of the order of chosen and rejected.")] = 0,
    map: Annotated[list[str], typer.Option(help="FIELD=COLUMN, where a column's name does not say it.")] = [],  # noqa: B006
    on_error: Annotated[Literal["stop", "skip"], typer.Option(help="What a row that cannot be read does.")] = "stop",
    limit: Annotated[int | None, typer.Option(min=1, help="Judge this many rows at most.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the verdicts go; without it, to standard output.")] = None,
    journal: Annotated[Path | None, typer.Option(help="Finished completions. Default: OUT.journal.")] = None,
    device: Annotated[str | None, typer.Option(help="(local) auto, cpu, cuda, cuda:1, ...")] = None,
    dtype: Annotated[str | None, typer.Option(help="(local) auto, float32, bfloat16, ...")] = None,
    max_batch_tokens: Annotated[int | None, typer.Option(min=1, help="(local) Lower it if memory runs out.")] = None,
) -> None:
    """Judge the comparisons of a file: one verdict a line, and a summary on stderr.

        fathom judge pairs.jsonl --model runs/sft --swap --out verdicts.jsonl
        fathom judge pairs.jsonl --engine openai --base-url http://localhost:8000/v1 --model Qwen/Qwen3-32B

    Every finished completion is kept in a journal beside OUT. To go on after an interruption, give the same command
    again. OUT.meta.json says what made the file, OUT.skipped.jsonl which rows --on-error skip left out and why. A text
    that holds no verdict has a status that says so and counts for nobody.
    """
    if votes > 1 and temperature == 0:
        raise FathomError(f"--votes {votes} at temperature 0 casts one vote {votes} times; add --temperature 0.8, say")
    settings = {key: value for key, value in locals().items() if key not in {"out", "journal"}}
    from fathom import engines
    from fathom.checkpoints import located
    from fathom.cli._engine import options
    from fathom.cli._skipped import report
    from fathom.engines.cache import CachedEngine
    from fathom.judging import as_trained
    from fathom.reading import as_mapping, read
    from fathom.scaling.votes import Repeated, Swapped

    model = located(model)
    comparisons = read(file, mapping=as_mapping(map), seed=seed, on_error=on_error, limit=limit)
    flags = {"base_url": base_url, "device": device, "dtype": dtype, "max_batch_tokens": max_batch_tokens}
    runner = engines.open(engine, model, **options(engine_option, flags))
    cached = CachedEngine(runner, journal or (f"{out}.journal" if out else ":memory:"))
    made = as_trained(
        Path(model),
        name=judge,
        style=style,
        trained=None if prompt is None else prompt == "trained",
        engine=cached,
        sampling=engines.Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed),
    )
    tallies = _judged(cached, Repeated(Swapped(made) if swap else made, votes), comparisons, out, limit)
    if out:
        _describe(out, file, settings | {"engine": runner.identity, "judge": repr(replace(made, engine=None))}, tallies)
    _show(tallies)
    report(comparisons.skipped, out.with_name(f"{out.name}.skipped.jsonl") if out else None)


def _judged(
    cached: CachedEngine, voter: Voter, comparisons: Iterable[Comparison], out: Path | None, limit: int | None
) -> dict[str, Tally]:
    import asyncio
    import gc

    from fathom.atomic import replacing
    from fathom.cli._progress import counting
    from fathom.judging import write_verdicts

    gc.freeze()  # so that the collector does not walk through all that is loaded by now, again and again

    async def run() -> dict[str, Tally]:
        async with cached:
            return await write_verdicts(voter, comparisons, sink, done)

    try:
        with replacing(out) if out else nullcontext(sys.stdout.buffer) as sink, counting("judged", limit) as done:
            return asyncio.run(run())
    except KeyboardInterrupt:
        kept = cached.path.name != ":memory:"
        on = f"what is finished is in {cached.path}: give the same command again to go on"
        raise Interrupted(f"stopped; {on if kept else 'nothing was kept: --out or --journal keeps it'}") from None


def _describe(out: Path, file: str, settings: Mapping[str, Any], tallies: Mapping[str, Tally]) -> None:
    from fathom.bench.metrics import summary
    from fathom.provenance import provenance, write_json

    inputs = [] if file == "-" else [Path(file)]
    write_json(out.with_name(f"{out.name}.meta.json"), provenance(settings, inputs) | {"summary": summary(tallies)})


def _show(tallies: Mapping[str, Tally]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", *tallies, title="verdicts")
    for name, cell in _LINES.items():
        table.add_row(name, *(cell(tallied) for tallied in tallies.values()))
    Console(stderr=True).print(table)


_LINES: Mapping[str, Callable[[Tally], str]] = {
    "rows": lambda tally: str(tally.rows),
    "status": lambda tally: _shares(tally.status),
    "accuracy, unreadable is wrong": lambda tally: str(tally.strict or "no labels"),
    "accuracy of the readable": lambda tally: str(tally.readable or "nothing readable with a label"),
    "share readable": lambda tally: str(tally.readable_share or "no rows"),
    "structure": lambda tally: _shares(tally.structure),
    "tokens read, written": lambda tally: f"{tally.prompt_tokens}, {tally.completion_tokens}",
}


def _shares(counts: Counter[str]) -> str:
    return "\n".join(f"{name} {count} ({count / counts.total():.0%})" for name, count in counts.most_common()) or "none"
