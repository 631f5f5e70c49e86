"""What judging would ask, counted without asking: the plan behind `--dry-run`.

    counting = preview(settings.engine).engine
    rows = plan(settings, comparisons, counting, verdict)
    counting.plan.calls, counting.plan.at_most

Adaptive votes, and the schedules of rankings that follow outcomes, are planned by the most that they can ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial

from fathom.data.records import Comparison
from fathom.engines.planning import CountingEngine
from fathom.judges import RewardModel, judge_all
from fathom.judging import judge_of_meta
from fathom.judging.session import in_both_orders, judge_of, voter_of
from fathom.ranking import check
from fathom.ranking.schedules import FIXED, SCHEDULES, Pair, most_pairs
from fathom.settings import JudgingSettings

Work = Callable[[RewardModel, Comparison], Awaitable[object]]
"""What a verb asks a voter about one comparison."""


def plan(
    settings: JudgingSettings,
    comparisons: Iterable[Comparison],
    counting: CountingEngine,
    work: Work,
    *,
    pairs_alone: bool = False,
) -> int:
    """Counts in `counting.plan` what `work` asks about all comparisons; returns how many those are.

    `pairs_alone`: a judge of lists sees both orders of its pairs, as `fathom probe` shows them.
    """
    judge = replace(judge_of(settings), engine=counting)
    if settings.voting.meta:
        judge_of_meta(settings.voting.meta, judge)
    counting.plan.at_most |= settings.voting.votes == "adaptive"
    every = settings.voting.model_copy(update={"votes": settings.voting.most, "meta": None})
    voter = (in_both_orders if pairs_alone else voter_of)(judge, every, settings.sampling.seed)
    return counted(partial(work, voter), comparisons)


def counted(work: Callable[[Comparison], Awaitable[object]], comparisons: Iterable[Comparison]) -> int:
    """Does `work`, which asks a counting engine, about all comparisons; returns how many those are."""

    async def counting() -> int:
        return sum([1 async for _ in judge_all(work, comparisons)])

    return asyncio.run(counting())


async def verdict(voter: RewardModel, comparison: Comparison) -> None:
    await voter(comparison)


def ranking(schedule: str, counting: CountingEngine) -> Work:
    """The pairs that a schedule asks: all of them where it is fixed, else the longest of as many as it can ask."""

    async def ranked(voter: RewardModel, comparison: Comparison) -> None:
        check(comparison)
        if voter.pattern != "pairwise":
            return await verdict(voter, comparison)
        pairs = _pairs(schedule, comparison)
        counting.plan.at_most |= schedule not in FIXED and len(comparison.responses) > 2
        await asyncio.gather(*(voter(comparison.subset(pair)) for pair in pairs))

    return ranked


def _pairs(schedule: str, comparison: Comparison) -> list[Pair]:
    n = len(comparison.responses)
    if schedule in FIXED:
        return next(SCHEDULES[schedule](n))
    lengths = [len(response) for response in comparison.responses]
    pairs = next(SCHEDULES["round-robin"](n))
    return sorted(pairs, key=lambda pair: -lengths[pair[0]] - lengths[pair[1]])[: most_pairs(schedule, n)]


async def judged(voter: RewardModel, comparison: Comparison) -> None:
    """As `fathom eval` asks: a judge of pairs about all pairs of more than two responses, any other as it does."""
    several = voter.pattern == "pairwise" and len(comparison.responses) > 2
    pairs = [comparison.subset(pair) for pair in _pairs("round-robin", comparison)] if several else [comparison]
    await asyncio.gather(*map(voter, pairs))
