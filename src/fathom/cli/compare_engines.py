"""`fathom compare-engines FILE`: judges the same comparisons with two engines, and shows where their texts diverge."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli._options import DryRun, File, Out, assignments, with_settings
from fathom.cli._verb import Force
from fathom.errors import FathomError
from fathom.settings import MAX_COUNT, BoundSettings, EngineSettings, JudgeSettings, SourceSettings

if TYPE_CHECKING:
    from fathom.data.reading import Comparisons
    from fathom.engines import Engine
    from fathom.engines.metering import Metered
    from fathom.judges import EngineRewardModel, RewardModel
    from fathom.judging.compare_engines import Cause, Pair, Tally


@with_settings
def command(
    file: File,
    judge: JudgeSettings,
    bounds: BoundSettings,
    source: SourceSettings,
    model: Annotated[str, typer.Option(help="The model, for engines without model=NAME; also sets the default judge.")],
    engine: Annotated[
        list[str],
        typer.Option(help='Give twice: "NAME SETTING=VALUE ...", as in "openai base_url=http://localhost:8000/v1".'),
    ],
    out: Out = None,
    swap: Annotated[bool, typer.Option(help="Judge a pair in both orders.")] = True,
    max_tokens: Annotated[int, typer.Option(min=1, max=MAX_COUNT, help="Maximum tokens per completion.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, max=MAX_COUNT, help="Seed of the order of chosen and rejected.")] = 0,
    journal: Annotated[
        Path | None, typer.Option(help="Store finished completions in this file. Default: OUT.journal.")
    ] = None,
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Judge the comparisons of a file with two engines at temperature 0, and show where they differ.

        fathom compare-engines pairs.jsonl --model runs/sft --out differences.jsonl \\
            --engine local --engine "openai base_url=http://localhost:8000/v1 model=sft timeout=60"

    Each `--engine` is one argument: the engine's name, its options as for `--engine-option` of `fathom judge`, and
    `model=NAME` if its model differs from `--model`. The judge is the same for both engines; its default depends on
    `--model`. The same engine may be given twice: `--engine "local dtype=float32" --engine "local dtype=bfloat16"`
    compares bfloat16 with float32. Bounds apply to each engine separately.

    Each row has both verdicts of a comparison. For every pair of texts that differ, it shows where they diverge, the
    text before, both continuations, the log-probabilities of their tokens (if the engine returns them) and the likely
    cause. Counts and the first divergences are printed on stderr.

    The exit code is 0 if all verdicts are equal, and 1 if any differs or a call failed.
    """
    from fathom.cli._dry_run import compared
    from fathom.cli._judging import claim_rows, journal_of, show, space_of
    from fathom.cli._running import spending
    from fathom.cli._source import read
    from fathom.judging.choice import described
    from fathom.judging.session import judge_of
    from fathom.results.outputs import beside, is_replaceable
    from fathom.results.provenance import provenance, write_json
    from fathom.settings import JudgingSettings, SamplingSettings, flatten_settings

    sampling = SamplingSettings(max_tokens=max_tokens, seed=seed)
    engines = _engines(engine, model)
    claim = claim_rows(out, journal, space=space_of(file, source.limit), engines=engine)
    asker = judge_of(JudgingSettings(judge=judge, sampling=sampling, engine=EngineSettings(model=model)))
    comparisons = read(file, source, seed=seed)
    path = journal_of(journal, out)
    if dry_run:
        return compared(engines, bounds, _model(asker, swap), comparisons, path)
    metered = [_metered(each, bounds) for each in engines]
    if claim:
        claim.settle(engines=[each.identity for each in metered])
    model_of = partial(_with_engine, asker, swap)
    tally = _compared(model_of, metered, comparisons, path or Path(":memory:"), out, source.limit)
    if claim:
        claim.seal()
    show("engines", {"both": tally}, _LINES)
    for id, pair in tally.first:
        typer.echo(_difference(id, pair), err=True)
    _report(comparisons, metered, out, path)
    if out and is_replaceable(out):
        config = (
            flatten_settings(judge)
            | flatten_settings(bounds)
            | source.model_dump()
            | {"judge": described(asker, judge.judge)}
        )
        config |= {"file": file, "model": model, "engine": engine, "swap": swap, "max_tokens": max_tokens, "seed": seed}
        results = {
            "engines": [each.identity for each in metered],
            "summary": tally.summary(),
            "spent": [spending(each, path) for each in metered],
        }
        write_json(beside(out, "meta.json"), provenance(config, comparisons.files) | results)
    raise typer.Exit(int(tally.agree < tally.comparisons))


def _metered(settings: EngineSettings, bounds: BoundSettings) -> Metered:
    from fathom.engines.opening import meter, open_engine

    return meter(open_engine(settings), settings, bounds)


def _compared(
    model_of: Callable[[Engine], RewardModel],
    metered: Sequence[Metered],
    comparisons: Comparisons,
    journal: Path,
    out: Path | None,
    total: int | None,
) -> Tally:
    """Write the rows, and return their tally."""
    from fathom.cli._loop import run_loop
    from fathom.cli._progress import counting
    from fathom.cli._running import resumable
    from fathom.data.atomic import atomic_write
    from fathom.engines.cache import CachedEngine
    from fathom.judging import RowOutcome
    from fathom.judging.compare_engines import Compare, write_compared

    one, other = (CachedEngine(each, journal) for each in metered)
    compare = Compare(model_of, (one, other))

    with (
        resumable(journal, out),
        atomic_write(out) if out else nullcontext(sys.stdout.buffer) as sink,
        counting("compared", total) as done,
    ):

        async def writing() -> Tally:
            async with one, other:
                return await write_compared(compare, comparisons, sink, partial(done, RowOutcome(True)))

        return run_loop(writing())


def _model(judge: EngineRewardModel, swap: bool) -> RewardModel:
    from fathom.voting.wrappers import Swapped

    return Swapped(judge) if swap and judge.arity == "pairwise" else judge


def _with_engine(judge: EngineRewardModel, swap: bool, engine: Engine) -> RewardModel:
    return _model(replace(judge, engine=engine), swap)


def _report(comparisons: Comparisons, metered: Sequence[Metered], out: Path | None, journal: Path | None) -> None:
    from fathom.cli._running import spent_in_words
    from fathom.cli._skipped import report
    from fathom.results.outputs import beside, is_replaceable

    report(comparisons.skipped, beside(out, "skipped.jsonl") if out and is_replaceable(out) else None)
    for number, each in enumerate(metered, 1):
        typer.echo(f"engine {number}: {spent_in_words(each, journal)}", err=True)


def _engines(arguments: Sequence[str], model: str) -> list[EngineSettings]:
    if len(arguments) != 2:
        raise FathomError(
            f"--engine is given {len(arguments)} times; expected twice, as in "
            '--engine local --engine "openai base_url=http://localhost:8000/v1"'
        )
    return [_engine(argument, model) for argument in arguments]


def _engine(argument: str, model: str) -> EngineSettings:
    """Parse an engine's name and its settings NAME=VALUE; `model=` overrides `model`."""
    try:
        name, *settings = shlex.split(argument)
    except ValueError as error:
        raise FathomError(f"--engine {argument!r}: expected NAME SETTING=VALUE ...: {error}") from None
    named = [setting.removeprefix("model=") for setting in settings if setting.startswith("model=")]
    options = assignments([setting for setting in settings if not setting.startswith("model=")])
    return EngineSettings(engine=name, model=named[-1] if named else model, options=options)


_LINES: Mapping[str, Callable[[Tally], str]] = {
    "verdicts equal": lambda tally: f"{tally.agree} of {tally.comparisons}",
    "texts equal": lambda tally: f"{tally.equal} of {tally.texts}",
    "prompts with equal token counts": lambda tally: f"{tally.prompts[True]} of {tally.prompts.total()}",
    "causes of differences": lambda tally: _causes(tally.causes),
}


def _causes(causes: Counter[Cause]) -> str:
    from fathom.judging.compare_engines import CAUSES

    return "\n".join(f"{count}: {CAUSES[cause]}" for cause, count in causes.most_common()) or "none"


def _difference(id: str, pair: Pair) -> str:
    """The divergence of two texts, or the failures of the calls, in a few lines."""
    if pair.divergence is None:
        failures = [str(result) for result in pair.results if isinstance(result, Exception)]
        return "\n".join([f"{id}: {pair.cause}", *failures])
    at = pair.divergence
    lines = [f"{id}: {pair.cause}, at character {at.character} (word {at.word}), after {at.before!r}"]
    for number, (after, token) in enumerate(zip(at.after, at.tokens, strict=True), 1):
        probability = f" ({token.token!r} has log-probability {token.logprob:.3f})" if token else ""
        lines.append(f"  engine {number} continues {after!r}{probability}")
    return "\n".join(lines)
