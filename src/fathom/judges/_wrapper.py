"""A reward model around another: the base of all ways to cast more votes, or to aggregate them by another rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fathom.data.records import Comparison
from fathom.engines import Capability
from fathom.judges._reward_model import Arity, Ask, RewardModel
from fathom.judges._running import bounded_gather
from fathom.judges._verdict import Rule, Vote

Variant = tuple[tuple[int, ...] | None, int]
"""The order in which the responses are shown (None: unchanged), and the sample number."""


@dataclass(frozen=True)
class RewardModelWrapper(RewardModel):
    """A reward model that wraps another and inherits its traits. Subclasses override `variants` or `votes`."""

    model: RewardModel

    @property
    def arity(self) -> Arity:
        return self.model.arity

    @property
    def rule(self) -> Rule:
        return self.model.rule

    @property
    def threshold(self) -> float | None:
        return self.model.threshold

    @property
    def gives_scores(self) -> bool:
        return self.model.gives_scores

    @property
    def scores_steps(self) -> bool:
        return self.model.scores_steps

    @property
    def needs(self) -> frozenset[Capability]:
        return self.model.needs

    def variants(self, comparison: Comparison, sample: int) -> Sequence[Variant]:
        """The orders and samples for which the inner model votes on a comparison."""
        return [(None, sample)]

    def plan(self, comparison: Comparison, sample: int = 0) -> list[Ask]:
        asks: list[Ask] = []
        for order, number in self.variants(comparison, sample):
            shown = self.model.plan(_permuted(comparison, order), number)
            asks += shown if order is None else [_unpermuted(ask, order) for ask in shown]
        return asks

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        async def cast(variant: Variant) -> list[Vote]:
            order, number = variant
            votes = await self.model.votes(_permuted(comparison, order), number)
            return votes if order is None else [vote.unpermuted(order) for vote in votes]

        cast_by_variant = await bounded_gather(cast, self.variants(comparison, sample))
        return [vote for votes in cast_by_variant for vote in votes]


def _permuted(comparison: Comparison, order: tuple[int, ...] | None) -> Comparison:
    return comparison if order is None else comparison.permuted(order)


def _unpermuted(ask: Ask, order: Sequence[int]) -> Ask:
    """An ask planned on responses in `order`, with its own order in terms of the original comparison."""
    return replace(ask, order=tuple(order[place] for place in ask.order))
