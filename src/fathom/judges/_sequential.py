"""Votes whose later calls depend on earlier answers, or on a second model, so that they are no plan of one engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.engines import Answer, AnyRequest, Engine, EngineError, Sampling
from fathom.errors import FathomError
from fathom.judges._reward_model import Arity, Ask, EngineRewardModel, failed_vote, merge_pointwise
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


@dataclass(frozen=True, kw_only=True)
class SequentialRewardModel(EngineRewardModel):
    """A reward model that writes text in several calls, of which each depends on the answers to those before it.

    Subclasses implement `vote`. Its calls cannot be planned, so `--dry-run` and engine processors refuse it.
    """

    sampling: Sampling = field(default_factory=Sampling)
    arity: ClassVar[Arity] = "pointwise"

    @abstractmethod
    async def vote(self, engine: Engine, comparison: Comparison, sample: int) -> Vote:
        """The vote on a single response. May raise EngineError, which gives a failed vote."""

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        return await sequential_votes(self, comparison, lambda engine, shown: self.vote(engine, shown, sample))

    def plan(self, comparison: Comparison, sample: int = 0) -> list[Ask]:
        raise FathomError(
            f"{type(self).__name__}: its calls depend on earlier answers, so they cannot be planned, counted or made "
            "ahead; judge a few rows with --limit to see their number"
        )

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        raise NotImplementedError(f"{type(self).__name__} has no fixed requests")

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        raise NotImplementedError(f"{type(self).__name__} reads no single answers")
