"""`fathom compare-engines FILE`: the same comparisons judged by two engines, and where their texts part."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fathom.cli import _options as options
from fathom.cli._verb import Force
from fathom.errors import FathomError, Interrupted

if TYPE_CHECKING:
    from fathom.comparing import Cause, Pair, Tally
    from fathom.engines import Engine
    from fathom.judges import Voter


def command(
    file: options.File,
    model: Annotated[str, typer.Option(help="What both run, where --engine names no other; the judge is its judge.")],
    engine: Annotated[
        list[str],
        typer.Option(help='Twice: "NAME SETTING=VALUE ...", such as "openai base_url=http://localhost:8000/v1".'),
    ],
    out: options.Out = None,
    judge: Annotated[str | None, typer.Option(help="A file in fathom/judges. Default: the checkpoint's.")] = None,
    style: Annotated[
        Literal["vanilla", "breadth", "depth", "mix", "hybrid"] | None,
        typer.Option(help="The structure of the rationale. Default: the checkpoint's, or mix."),
    ] = None,
    prompt: Annotated[
        Literal["trained", "instruct"] | None,
        typer.Option(help="The plain prompt of training, or full instructions. Default: the checkpoint's."),
    ] = None,
    judge_option: Annotated[
        list[str], typer.Option(help="NAME=VALUE in YAML, any other setting of the judge, such as binary=true.")
    ] = [],  # noqa: B006
    swap: Annotated[bool, typer.Option(help="Judge a pair in both orders.")] = True,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest rationale.")] = 2048,
    seed: Annotated[int, typer.Option(help="Of the order of chosen and rejected.")] = 0,
    map: Annotated[list[str], typer.Option(help="FIELD=COLUMN, where a column's name does not say it.")] = [],  # noqa: B006
    limit: Annotated[int | None, typer.Option(min=1, help="Read this many rows at most.")] = None,
    journal: Annotated[Path | None, typer.Option(help="Finished completions. Default: OUT.journal.")] = None,
    force: Force = False,
) -> None:
    """Judge the comparisons of a file with two engines at temperature 0, and show where they differ.

        fathom compare-engines pairs.jsonl --model runs/sft --out differences.jsonl \\
            --engine local --engine "openai base_url=http://localhost:8000/v1 model=sft timeout=60"

    Every `--engine` is one text: the engine's name, then its settings, as `--engine-option` of `fathom judge` takes
    them, with `model=` where it is not `--model`. The judge is that of `--model`, for both. Either may be given twice:
    `--engine "local dtype=float32" --engine "local dtype=bfloat16"` tells what half of the precision changes.

    A row a comparison says both verdicts and, for every text, whether it is equal, and otherwise where the two part,
    what stands before, how each goes on, the log-probabilities of the tokens there (where the engine tells them) and
    what the figures suggest as the cause. stderr gets the counts and the first divergences.

    Exit code: 0 where all verdicts are equal, 1 where any differs or a call failed.
    """
    given = dict(locals())
    from fathom.cli._judging import claim_rows, show
    from fathom.outputs import beside, is_replaceable
    from fathom.provenance import provenance, write_json

    first, second = _engines(engine)
    claim_rows(given, engines=engine)
    tally, identities = _compared(given, first, second)
    show("engines", {"both": tally}, _LINES)
    for id, pair in tally.first:
        typer.echo(_told(id, pair), err=True)
    if out and is_replaceable(out):
        inputs = [] if file == "-" else [Path(file)]
        made = {name: value for name, value in given.items() if name not in {"out", "journal", "force"}}
        said = {"engines": identities, "summary": tally.summary()}
        write_json(beside(out, "meta.json"), provenance(made, inputs) | said)
    raise typer.Exit(int(tally.agree < tally.comparisons))


def _compared(
    given: Mapping[str, Any], first: Mapping[str, Any], second: Mapping[str, Any]
) -> tuple[Tally, tuple[str, str]]:
    """Writes the rows. Returns what they amount to, and what tells the two engines from others."""
    import asyncio

    from fathom import engines
    from fathom.atomic import replacing
    from fathom.checkpoints import located
    from fathom.cli._engine import options
    from fathom.cli._judging import journal_of
    from fathom.cli._progress import counting
    from fathom.comparing import Compare, write_compared
    from fathom.engines.cache import CachedEngine
    from fathom.reading import as_mapping, read

    out, path = given["out"], str(journal_of(given) or ":memory:")
    comparisons = read(given["file"], mapping=as_mapping(given["map"]), seed=given["seed"], limit=given["limit"])
    opened = (
        engines.open(each["name"], located(each.get("model", given["model"])), **options(each["settings"], {}))
        for each in (first, second)
    )
    one, other = (CachedEngine(engine, path) for engine in opened)
    compare = Compare(_voter_of(given, one), (one, other))

    async def writing() -> Tally:
        async with one, other:
            return await write_compared(compare, comparisons, sink, lambda: done(True))

    try:
        with (
            replacing(out) if out else nullcontext(sys.stdout.buffer) as sink,
            counting("compared", given["limit"]) as done,
        ):
            return asyncio.run(writing()), (one.identity, other.identity)
    except KeyboardInterrupt:
        on = f"what is finished is in {path}: give the same command again to go on"
        kept = on if path != ":memory:" else "nothing was kept: --out or --journal keeps it"
        raise Interrupted(f"stopped; {kept}") from None


def _voter_of(given: Mapping[str, Any], engine: Engine) -> Callable[[Engine], Voter]:
    """What makes the judge that asks an engine, the same for both."""
    from fathom.cli._judging import judge_of
    from fathom.scaling.votes import Swapped

    judge = judge_of({**given, "temperature": 0.0, "aggregate": None}, engine)
    swap = given["swap"] and judge.pattern == "pairwise"
    return lambda asked: Swapped(replace(judge, engine=asked)) if swap else replace(judge, engine=asked)


def _engines(arguments: Sequence[str]) -> list[dict[str, Any]]:
    if len(arguments) != 2:
        raise FathomError(
            f"--engine is given {len(arguments)} times; allowed is twice, as in "
            '--engine local --engine "openai base_url=http://localhost:8000/v1"'
        )
    return [_engine(argument) for argument in arguments]


def _engine(argument: str) -> dict[str, Any]:
    """The engine's `name`, its `settings` as NAME=VALUE, and its `model` where it has one of its own."""
    try:
        name, *settings = shlex.split(argument)
    except ValueError as error:
        raise FathomError(f"--engine {argument!r}: allowed is NAME SETTING=VALUE ...: {error}") from None
    models = {setting for setting in settings if setting.startswith("model=")}
    given: dict[str, Any] = {"name": name, "settings": [setting for setting in settings if setting not in models]}
    return given | {"model": models.pop().removeprefix("model=")} if models else given


_LINES: Mapping[str, Callable[[Tally], str]] = {
    "verdicts equal": lambda tally: f"{tally.agree} of {tally.comparisons}",
    "texts equal": lambda tally: f"{tally.equal} of {tally.texts}",
    "prompts of as many tokens": lambda tally: f"{tally.prompts[True]} of {tally.prompts.total()}",
    "why texts differ": lambda tally: _causes(tally.causes),
}


def _causes(causes: Counter[Cause]) -> str:
    from fathom.comparing import CAUSES

    return "\n".join(f"{count}: {CAUSES[cause]}" for cause, count in causes.most_common()) or "none does"


def _told(id: str, pair: Pair) -> str:
    """A divergence, or the failures in its place, in a few lines."""
    if pair.divergence is None:
        failures = [str(result) for result in pair.results if isinstance(result, Exception)]
        return "\n".join([f"{id}: {pair.cause}", *failures])
    at = pair.divergence
    lines = [f"{id}: {pair.cause}, at character {at.character} (word {at.word}), after {at.before!r}"]
    for number, (after, token) in enumerate(zip(at.after, at.tokens, strict=True), 1):
        told = f" ({token.token!r} has log-probability {token.logprob:.3f})" if token else ""
        lines.append(f"  engine {number} goes on {after!r}{told}")
    return "\n".join(lines)
