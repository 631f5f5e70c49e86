"""Votes whose later calls depend on earlier answers, or on a second model, so that they are no plan of one engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from fathom.data.records import Comparison
from fathom.engines import Engine, EngineError
from fathom.errors import FathomError
from fathom.judges._reward_model import EngineRewardModel, failed_vote, merge_pointwise
from fathom.judges._running import bounded_gather
from fathom.judges._verdict import Vote

Cast = Callable[[Engine, Comparison], Awaitable[Vote]]
"""Casts the vote on a comparison with one response. May raise EngineError, which gives a failed vote."""


async def sequential_votes(model: EngineRewardModel, comparison: Comparison, cast: Cast) -> list[Vote]:
    """The vote of a pointwise model on each response, merged into one vote.

    Raises FathomError for a model without an engine.
    """
    engine = model.engine
    if engine is None:
        raise FathomError(f"{type(model).__name__} has no engine; pass engine=...")

    async def vote(place: int) -> Vote:
        shown = comparison.subset((place,))
        model.check(shown)
        try:
            cast_vote = model.decided(shown) or await cast(engine, shown)
        except EngineError as error:
            cast_vote = failed_vote(error)
        return replace(cast_vote, order=(0,))

    votes = await bounded_gather(vote, range(len(comparison.responses)))
    return votes if len(votes) == 1 else [merge_pointwise(votes)]
