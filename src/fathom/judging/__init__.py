"""Judging a whole source: comparisons in, one row of plain JSON a verdict out; or a ranking, or a preference.

    judge = as_trained(checkpoint, engine=engine, sampling=Sampling(max_tokens=1024))
    async for row in rows(judge, read("pairs.jsonl")):
        ...

A row holds all that any metric needs, so that figures can be computed from the file again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fathom.data.records import Comparison
from fathom.engines.scoring import Scorer
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Judge, RewardModel, Verdict, judge_all
from fathom.judging.choice import make_judge
from fathom.metrics import rankings
from fathom.metrics.verdicts import Tally, count
from fathom.ranking import Ranking, rank
from fathom.ranking.preferences import LeftOut, Preference
from fathom.rationale import Status
from fathom.results.rows import VerdictRow, preference_row, to_row, write_row
from fathom.voting.meta import MetaRewardModel

DESCRIPTION = "fathom.json"
"""Stands beside the weights of a trained judge: its `name`, its `style`, and that it is `trained`."""
META = "meta"
"""The `kind` that it names beside those of a meta reward model, whose judge's votes it scores."""


class RowOutcome(NamedTuple):
    """What became of one row."""

    parsed: bool
    """Whether it has a verdict, or, of a ranking, whether no pair is missing."""
    failed: bool = False
    """Whether any call for it failed, also where other votes give it a verdict."""


def as_trained(checkpoint: Path | None, **settings: Any) -> Judge:
    """The judge that a checkpoint was trained to be, or the Mix judge with instructions where nothing is said.

    `settings` are the judge's own; those that are not None go before what the checkpoint says, which holds for the
    judge that it names alone. Raises FathomError for an unknown judge or setting, for a value that a setting does not
    take, and for a description that cannot be read.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    described = {"name": "mix"} | (_description(checkpoint / DESCRIPTION) if checkpoint else {})
    if described.pop("kind", None) == META:
        raise FathomError(f"{checkpoint} is a meta reward model, which scores a judge's votes: give it as --meta")
    chosen = given if given.get("name", described["name"]) != described["name"] else described | given
    # A description may be a stranger's, and must not choose which code runs; a name that the user gives may.
    return make_judge(**chosen, installed="name" not in given)


def meta_reward_model(checkpoint: Path, guided: Judge | None = None, **options: Any) -> MetaRewardModel:
    """The meta reward model that `fathom train meta` left in a folder; `options` are those of `Scorer`.

    Raises FathomError as `judge_of_meta` does, and for weights that cannot be loaded.
    """
    judge = judge_of_meta(checkpoint, guided)
    return MetaRewardModel(Scorer(checkpoint, **options), judge)


def judge_of_meta(checkpoint: Path, guided: Judge | None = None) -> Judge:
    """The judge whose votes a meta reward model scores. No weights are loaded.

    Raises FathomError for a checkpoint that is none, and where it scores votes of another judge than the `guided` one.
    """
    described = _description(checkpoint / DESCRIPTION)
    if described.pop("kind", None) != META:
        raise FathomError(f"{checkpoint} is no meta reward model; fathom train meta makes one")
    judge = make_judge(**described, installed=True)
    if guided is not None and type(guided) is not type(judge):
        raise FathomError(
            f"{checkpoint} scores votes of {type(judge).__name__}, as its {DESCRIPTION} says, and not of "
            f"{type(guided).__name__}; judge with --judge {described['name']}, or train one on votes of that judge"
        )
    return judge


def _description(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        described = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FathomError(f"{path} is not JSON: {error}") from error
    if not isinstance(described, dict) or not isinstance(described.get("name", ""), str):
        raise FathomError(f"{path} must hold an object with name, style, trained")
    return described


async def rows(
    voter: RewardModel, comparisons: Iterable[Comparison], *, concurrency: int = 256
) -> AsyncIterator[VerdictRow]:
    """One row a comparison, in their order."""
    async for comparison, verdict in judge_all(voter, comparisons, concurrency=concurrency):
        yield to_row(comparison, verdict)


async def write_verdicts(
    model: RewardModel, comparisons: Iterable[Comparison], sink: BinaryIO, tallies: dict[str, Tally]
) -> AsyncGenerator[RowOutcome, None]:
    """Write one line of JSON per verdict, count it in `tallies`, and yield its outcome."""
    async with aclosing(judge_all(model, comparisons, concurrency=256)) as judged:
        async for comparison, verdict in judged:
            row = to_row(comparison, verdict)
            write_row(sink, row)
            count(row, tallies)
            yield RowOutcome(verdict.status is Status.OK, verdict.failed)


async def write_judged(
    model: RewardModel, comparisons: Iterable[Comparison], sink: BinaryIO
) -> AsyncGenerator[RowOutcome, None]:
    """Write one line of JSON per comparison: a verdict, or a pairwise judge's ranking of more than two responses."""

    async def judge(comparison: Comparison) -> Verdict | Ranking:
        ranked = model.arity == "pairwise" and len(comparison.responses) > 2
        return await (rank(model, comparison) if ranked else model(comparison))

    async with aclosing(judge_all(judge, comparisons)) as judged:
        async for comparison, result in judged:
            write_row(sink, to_row(comparison, result))
            if isinstance(result, Ranking):
                yield _ranked(result)
            else:
                yield RowOutcome(result.status is Status.OK, result.failed)


# Rankings and preferences ---------------------------------------------------------------------------------------------

Ranked = Callable[[Comparison], Awaitable[Ranking]]


def _ranked(ranking: Ranking) -> RowOutcome:
    return RowOutcome(not ranking.missing, any(verdict.failed for verdict in ranking.verdicts.values()))


async def write_rankings(
    ranked: Ranked,
    comparisons: Iterable[Comparison],
    sink: BinaryIO,
    tallies: dict[str, rankings.RankingTally],
    *,
    texts: bool = True,
) -> AsyncGenerator[RowOutcome, None]:
    """Write one line of JSON per ranking, count it in `tallies`, and yield its outcome."""
    async with aclosing(judge_all(ranked, comparisons)) as results:
        async for comparison, ranking in results:
            row = to_row(comparison, ranking, texts=texts)
            write_row(sink, row)
            rankings.count(row, tallies)
            yield _ranked(ranking)


@dataclass
class PreferenceCounts:
    """What became of the rankings of a run."""

    written: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)


async def write_preferences(
    ranked: Ranked,
    prefer: Callable[[Ranking], Preference | LeftOut],
    comparisons: Iterable[Comparison],
    sink: BinaryIO,
    counts: PreferenceCounts,
) -> AsyncGenerator[RowOutcome, None]:
    """Write one line of JSON per preference, count it in `counts`, and yield the outcome of each ranking."""
    async with aclosing(judge_all(ranked, comparisons)) as results:
        async for comparison, ranking in results:
            preference = prefer(ranking)
            if isinstance(preference, Preference):
                write_row(sink, preference_row(comparison, preference, ranking))
                counts.written += 1
            else:
                counts.left_out[preference] += 1
            counts.usage += ranking.usage
            yield _ranked(ranking)
