"""Judging a whole source: comparisons in, one row of plain JSON a verdict out; or a ranking, or a preference.

    judge = as_trained(checkpoint, engine=engine, sampling=Sampling(max_tokens=1024))
    async for row in rows(judge, read("pairs.jsonl")):
        ...

A row holds all that any metric needs, so that figures can be computed from the file again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
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


Done = Callable[[RowOutcome], None]
"""Called after each row that was written."""


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
    voter: RewardModel, comparisons: Iterable[Comparison], sink: BinaryIO, done: Done
) -> dict[str, Tally]:
    """Writes a line of JSON per verdict and returns the tallies; calls `done` after each."""
    tallies: dict[str, Tally] = {}
    async for comparison, verdict in judge_all(voter, comparisons, concurrency=256):
        row = to_row(comparison, verdict)
        write_row(sink, row)
        count(row, tallies)
        done(RowOutcome(verdict.status is Status.OK, verdict.failed))
    return tallies


async def write_judged(voter: RewardModel, comparisons: Iterable[Comparison], sink: BinaryIO, done: Done) -> None:
    """Writes a line of JSON for each comparison: a verdict, or the ranking by a judge of pairs of more than two."""

    async def judged(comparison: Comparison) -> Verdict | Ranking:
        ranked = voter.pattern == "pairwise" and len(comparison.responses) > 2
        return await (rank(voter, comparison) if ranked else voter(comparison))

    async for comparison, result in judge_all(judged, comparisons):
        write_row(sink, to_row(comparison, result))
        if isinstance(result, Ranking):
            done(_ranked(result))
        else:
            done(RowOutcome(result.status is Status.OK, result.failed))


# Rankings and preferences ---------------------------------------------------------------------------------------------

Ranked = Callable[[Comparison], Awaitable[Ranking]]


def _ranked(ranking: Ranking) -> RowOutcome:
    return RowOutcome(not ranking.missing, any(verdict.failed for verdict in ranking.verdicts.values()))


async def write_rankings(
    ranked: Ranked, comparisons: Iterable[Comparison], sink: BinaryIO, done: Done, *, texts: bool = True
) -> dict[str, rankings.RankingTally]:
    """Writes a line of JSON per ranking and returns the tallies; calls `done` after each."""
    tallies: dict[str, rankings.RankingTally] = {}
    async for comparison, ranking in judge_all(ranked, comparisons):
        row = to_row(comparison, ranking, texts=texts)
        write_row(sink, row)
        rankings.count(row, tallies)
        done(_ranked(ranking))
    return tallies


async def write_preferences(
    ranked: Ranked,
    prefer: Callable[[Ranking], Preference | LeftOut],
    comparisons: Iterable[Comparison],
    sink: BinaryIO,
    done: Done,
) -> tuple[Counter[str], Usage]:
    """Writes a line of JSON a preference. Returns how many were "written" and left out, by reason, and the tokens."""
    counts: Counter[str] = Counter(written=0)
    usage = Usage()
    async for comparison, ranking in judge_all(ranked, comparisons):
        preference = prefer(ranking)
        if isinstance(preference, Preference):
            write_row(sink, preference_row(comparison, preference, ranking))
        counts["written" if isinstance(preference, Preference) else preference] += 1
        usage += ranking.usage
        done(_ranked(ranking))
    return counts, usage
