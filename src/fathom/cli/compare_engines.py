"""`fathom compare-engines FILE`: judges the same comparisons with two engines, and shows where they differ and why."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NamedTuple, TypeVar

import typer

from fathom.cli._options import DryRun, Out, assignments, with_settings
from fathom.cli._verb import Force
from fathom.errors import FathomError
from fathom.settings import MAX_COUNT, BoundSettings, EngineSettings, JudgeSettings, SourceSettings

if TYPE_CHECKING:
    from fathom.data.reading import Comparisons
    from fathom.engines import Engine
    from fathom.engines.cache import CachedEngine
    from fathom.engines.metering import Metered
    from fathom.judges import EngineRewardModel, RewardModel
    from fathom.judging.compare_engines import Cause, Pair, Tally
    from fathom.judging.compare_scores import Agreement

Result = TypeVar("Result")


@with_settings
def command(
    judge: JudgeSettings,
    bounds: BoundSettings,
    source: SourceSettings,
    model: Annotated[str, typer.Option(help="The model, for engines without model=NAME; also sets the default judge.")],
    file: Annotated[str | None, typer.Argument(help="The comparisons, as for fathom judge; - for stdin.")] = None,
    engine: Annotated[
        list[str],
        typer.Option(help='Give twice: "NAME SETTING=VALUE ...", as in "openai base_url=http://localhost:8000/v1".'),
    ] = [],  # noqa: B006 - as typer wants
    base_url: Annotated[
        str | None, typer.Option(help='Short for --engine "scores base_url=URL", a vLLM server of a scalar model.')
    ] = None,
    expect: Annotated[
        Path | None, typer.Option(help="Compare one engine with the scores in this file, instead of two engines.")
    ] = None,
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

    For a reward model that writes no text, the scores are compared: the largest difference, the rank correlation, the
    first response whose scores differ, and the likely reason. `--expect FILE` compares one engine with the label
    scores of a file:

        fathom compare-engines --expect expected.jsonl --model MODEL --base-url http://localhost:8000

    Each row has both verdicts of a comparison. For every pair of texts that differ, it shows where they diverge, the
    text before, both continuations, the log-probabilities of their tokens (if the engine returns them) and the likely
    cause. Counts and the first divergences are printed on stderr.

    The exit code is 0 if all verdicts are equal, and 1 if any differs or a call failed.
    """
    from fathom.cli._dry_run import compared
    from fathom.cli._judging import claim_rows, journal_of, space_of
    from fathom.cli._running import spending
    from fathom.cli._source import read
    from fathom.judging.choice import described
    from fathom.results.outputs import beside, is_replaceable
    from fathom.results.provenance import provenance, write_json
    from fathom.settings import flatten_settings

    given = file if file is not None else str(expect)
    engine = [*engine, *([] if base_url is None else [f"scores base_url={base_url}"])]
    claim = claim_rows(out, journal, space=space_of(given, source.limit), engines=engine)
    if (file is None) == (expect is None):
        raise FathomError("expected either a FILE of comparisons, or --expect FILE with known scores")
    engines = _engines(engine, model, 1 if expect else 2)
    asker, comparisons = _asker(judge, model, engines, max_tokens, seed), read(given, source, seed=seed)
    path = journal_of(journal, out)
    if dry_run:
        return compared(engines, bounds, _model(asker, swap), comparisons, path)
    metered = [_metered(each, bounds) for each in engines]
    if claim:
        claim.settle(engines=[each.identity for each in metered])
    compared_by = _compared_scores if _writes_none(asker) else _compared
    if expect and compared_by is _compared:
        raise FathomError(f"--expect compares scores; {type(asker).__name__} writes text: give --judge scalar")
    model_of = partial(_with_engine, asker, swap)
    found = compared_by(model_of, metered, comparisons, path or Path(":memory:"), out, source.limit)
    if claim:
        claim.seal()
    found.show()
    _report(comparisons, metered, out, path)
    if out and is_replaceable(out):
        config = (
            flatten_settings(judge)
            | flatten_settings(bounds)
            | source.model_dump()
            | {"judge": described(asker, judge.judge)}
        )
        config |= {"file": given, "model": model, "engine": engine, "swap": swap, "max_tokens": max_tokens}
        config |= {"seed": seed, "expect": expect is not None}
        results = {
            "engines": [each.identity for each in metered],
            "summary": found.summary,
            "spent": [spending(each, path) for each in metered],
        }
        write_json(beside(out, "meta.json"), provenance(config, comparisons.files) | results)
    raise typer.Exit(int(not found.agree))


def _asker(
    judge: JudgeSettings, model: str, engines: Sequence[EngineSettings], max_tokens: int, seed: int
) -> EngineRewardModel:
    """The reward model of both engines. One that writes no text takes no limit on tokens."""
    from fathom.judging.session import judge_of
    from fathom.settings import JudgingSettings, SamplingSettings

    served = all(each.name == "scores" for each in engines)
    engine = EngineSettings(model=model, engine="scores" if served else None)
    settings = JudgingSettings(judge=judge, engine=engine, sampling=SamplingSettings(seed=seed))
    asker = judge_of(settings)
    if _writes_none(asker):
        return asker
    return judge_of(settings.model_copy(update={"sampling": SamplingSettings(max_tokens=max_tokens, seed=seed)}))


def _writes_none(model: EngineRewardModel) -> bool:
    from fathom.judges import Judge

    return not isinstance(model, Judge)


class _Found(NamedTuple):
    """The result of a comparison of engines."""

    agree: bool
    summary: dict[str, Any]
    show: Callable[[], None]


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
) -> _Found:
    """Write the rows with the texts of two engines, and summarize them."""
    from fathom.judging.compare_engines import Compare, write_compared

    one, other = _cached(metered, journal)
    compare = Compare(model_of, (one, other))
    tally = _written((one, other), partial(write_compared, compare, comparisons), journal, out, total)
    return _Found(tally.agree == tally.comparisons, tally.summary(), partial(_show_texts, tally))


def _compared_scores(
    model_of: Callable[[Engine], RewardModel],
    metered: Sequence[Metered],
    comparisons: Comparisons,
    journal: Path,
    out: Path | None,
    total: int | None,
) -> _Found:
    """Write the rows with the scores of two engines, or of one and the expected ones, and summarize them."""
    from dataclasses import asdict

    from fathom.judging.compare_scores import CompareScores, agreement, write_scores

    engines = _cached(metered, journal)
    compare = CompareScores(model_of, engines)
    entries = _written(engines, partial(write_scores, compare, comparisons), journal, out, total)
    if not entries:
        raise FathomError("the file has no comparisons, so there are no scores to compare")
    found = agreement(entries)
    return _Found(found.agrees, asdict(found), partial(_show_scores, found))


def _cached(metered: Sequence[Metered], journal: Path) -> list[CachedEngine]:
    from fathom.engines.cache import CachedEngine

    return [CachedEngine(each, journal) for each in metered]


def _written(
    engines: Sequence[CachedEngine],
    write: Callable[[BinaryIO, Callable[[], None]], Coroutine[Any, Any, Result]],
    journal: Path,
    out: Path | None,
    total: int | None,
) -> Result:
    """Write rows to a file or standard output while the engines are open."""
    from fathom.cli._loop import run_loop
    from fathom.cli._progress import counting
    from fathom.cli._running import resumable
    from fathom.data.atomic import atomic_write
    from fathom.judging import RowOutcome

    with (
        resumable(journal, out),
        atomic_write(out) if out else nullcontext(sys.stdout.buffer) as sink,
        counting("compared", total) as done,
    ):

        async def writing() -> Result:
            async with AsyncExitStack() as stack:
                for engine in engines:
                    await stack.enter_async_context(engine)
                return await write(sink, partial(done, RowOutcome(True)))

        return run_loop(writing())


def _show_texts(tally: Tally) -> None:
    from fathom.cli._judging import show

    show("engines", {"both": tally}, _LINES)
    for id, pair in tally.first:
        typer.echo(_difference(id, pair), err=True)


def _show_scores(found: Agreement) -> None:
    from fathom.cli._judging import show

    show("scores", {"both": found}, _SCORE_LINES)


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


def _engines(arguments: Sequence[str], model: str, count: int) -> list[EngineSettings]:
    if len(arguments) != count:
        example = '--engine local --engine "openai base_url=http://localhost:8000/v1"'
        expected = f"twice, as in {example}" if count == 2 else "once beside --expect, or --base-url"
        raise FathomError(f"--engine is given {len(arguments)} times; expected {expected}")
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


_SCORE_LINES: Mapping[str, Callable[[Agreement], str]] = {
    "responses": lambda found: f"{found.responses}",
    "without both scores": lambda found: f"{found.failed}",
    "largest difference": lambda found: f"{found.largest:.4g} ({found.largest_at})",
    "spread of the scores": lambda found: f"{found.spread:.4g}",
    "rank correlation": lambda found: "none" if found.correlation is None else f"{found.correlation:.4f}",
    "responses apart": lambda found: f"{found.apart}, the first: {found.first_apart}" if found.apart else "0",
    "likely reason": lambda found: found.reason_in_words(),
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
