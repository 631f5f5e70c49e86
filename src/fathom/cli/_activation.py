"""`fathom train activation`: reads hidden states, fits a direction, and shows how accurate it is."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import typer

from fathom.errors import FathomError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from fathom.data.records import Comparison
    from fathom.rewards.activation import Method, Pool
    from fathom.settings import EngineSettings, SourceSettings
    from fathom.train.activation import Differences, Point


def fit(
    file: str,
    engine: EngineSettings,
    source: SourceSettings,
    out: Path,
    method: Method,
    pool: Pool,
    layers: str | None,
    annotator: str | None,
    test: Path | None,
    curve: str | None,
    *,
    draws: int,
    seed: int,
    json: Path | None,
) -> None:
    from rich.console import Console

    from fathom.cli import _source
    from fathom.cli._figures import STANDARD_OUTPUT, written
    from fathom.data.atomic import atomic_write
    from fathom.engines.checkpoints import fingerprint, resolve_checkpoint
    from fathom.engines.opening import require_model
    from fathom.rewards.activation import Direction
    from fathom.train import activation

    if curve is not None and test is None:
        raise FathomError("--curve needs --test: the pairs on which each direction is measured")
    if (annotator is None) == (method == "annotators"):
        raise FathomError(
            "--method annotators needs --annotator COLUMN, which names who labelled a pair, and vice versa"
        )
    sizes = () if curve is None else _numbers("--curve", curve, 4)
    require_model(engine)
    model = str(engine.model)
    depth = activation.depth(model)
    chosen_from = activation.spaced_layers(depth) if layers is None else _numbers("--layers", layers, 0, depth)
    files = [file] if test is None else [file, str(test)]
    used = () if annotator is None else (annotator,)
    sources = [list(_source.read(each, source, seed=seed, used=used)) for each in files]
    train, *held_out = _states(sources, engine, chosen_from, pool, annotator)
    vector, chosen = activation.fitted(train, method, seed=seed)
    direction = Direction(
        model=model,
        weights=fingerprint(resolve_checkpoint(model)),
        layer=chosen_from[chosen.layer],
        pool=pool,
        method=method,
        pairs=len(train.values),
        vector=tuple(vector.tolist()),
    )
    with atomic_write(out) as sink:
        sink.write(direction.model_dump_json().encode() + b"\n")
    found: dict[str, object] = {"layer": direction.layer, "separation": chosen.separation, "pairs": direction.pairs}
    lines = f"layer {direction.layer} of {', '.join(map(str, chosen_from))}, fitted to {direction.pairs} pairs"
    typer.echo(f"{lines}; left-out pairs: mean margin {chosen.separation:.2f} standard deviations", err=True)
    if method == "annotators":
        rationality = activation.joint(train.values[:, chosen.layer], train.annotators, chosen.decay).rationality
        found["rationality"] = rationality
        listed = sorted(rationality.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {each:.2f}" for name, each in listed)
        typer.echo(f"rationality of annotators, with a geometric mean of 1: {shown}", err=True)
    points: list[Point] = []
    if held_out:
        points = activation.curve(train, held_out[0], sizes, method, draws=draws, seed=seed)
        accuracy = activation.accuracy(held_out[0].values[:, chosen.layer], vector)
        found |= {"accuracy": accuracy, "test_pairs": len(held_out[0].values)}
        found["curve"] = [{"pairs": each.pairs, "accuracies": each.accuracies} for each in points]
        Console(stderr=json == STANDARD_OUTPUT).print(_table(points, len(train.values), accuracy, chosen_from))
    written(found, json)


def _states(
    sources: Sequence[Sequence[Comparison]],
    settings: EngineSettings,
    layers: Sequence[int],
    pool: Pool,
    annotator: str | None,
) -> list[Differences]:
    """The differences of states of each source, with one engine."""
    from fathom.cli._loop import run_loop
    from fathom.engines import check_capabilities
    from fathom.engines.cache import CachedEngine
    from fathom.engines.opening import open_engine
    from fathom.train import activation

    engine = open_engine(settings)
    check_capabilities(engine, frozenset({"hidden_states"}), "fathom train activation")

    async def collected() -> list[Differences]:
        async with CachedEngine(engine, settings.journal or ":memory:") as cached:
            columns = [annotator] + [None] * (len(sources) - 1)  # who labelled the test pairs does not matter
            return [
                await activation.read(items, cached, layers=layers, pool=pool, annotator=column)
                for items, column in zip(sources, columns, strict=True)
            ]

    found = run_loop(collected())
    for each in found:
        if each.left_out:
            typer.echo(
                f"{len(each.left_out)} pairs are left out: the model cannot read a response; the first reason: "
                f"{each.left_out[0]}",
                err=True,
            )
    return found


def _numbers(option: str, text: str, least: int, most: int = 10**6) -> tuple[int, ...]:
    """Whole numbers, separated by commas. Raises FathomError for anything else."""
    try:
        found = tuple(int(each) for each in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < least or max(found) > most:
        raise FathomError(f"{option} {text}: expected whole numbers from {least} to {most}, separated by commas")
    return found


def _table(points: Sequence[Point], pairs: int, accuracy: float, layers: Sequence[int]) -> Table:
    from rich.table import Table

    table = Table("pairs", "accuracy", "standard deviation", "draws", "layers", title="held-out pairs")
    for point in points:
        used = sorted({layers[place] for place in point.layers})
        spread = f"{stdev(point.accuracies):.3f}"
        row = str(point.pairs), f"{fmean(point.accuracies):.3f}", spread, str(len(point.accuracies))
        table.add_row(*row, ", ".join(map(str, used)))
    table.add_row(f"{pairs} (all)", f"{accuracy:.3f}", "", "1", "")
    return table
