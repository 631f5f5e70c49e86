"""Wrappers that cast several votes with one reward model: more samples, permuted responses, another rule.

    verdict = await Repeated(Swapped(judge), 4)(comparison)        # 8 votes: 4 samples in both orders

`Swapped` cancels position bias: a judge that always prefers the first response ties, and reversing the responses
reverses the verdict. It does not remove other biases, such as length bias.

A wrapper defines only `variants`: the orders and samples for which the inner model votes. `plan` and `votes` follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fathom.data.records import Comparison, shuffled_order
from fathom.judges import Ask, Pattern, RewardModel, Rule, Vote, bounded_gather

Variant = tuple[tuple[int, ...] | None, int]
"""The order in which the responses are shown (None: unchanged), and the sample number."""


@dataclass(frozen=True)
class RewardModelWrapper(RewardModel):
    """A reward model that wraps another and inherits its traits. Subclasses override `variants` or `votes`."""

    model: RewardModel

    @property
    def pattern(self) -> Pattern:
        return self.model.pattern

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
    def needs(self) -> frozenset[str]:
        return self.model.needs

    def variants(self, comparison: Comparison, sample: int) -> Sequence[Variant]:
        """The orders and samples for which the inner model votes on a comparison."""
        return [(None, sample)]

    def plan(self, comparison: Comparison, sample: int = 0) -> list[Ask]:
        asks: list[Ask] = []
        for order, number in self.variants(comparison, sample):
            shown = self.model.plan(_shown(comparison, order), number)
            asks += shown if order is None else [_unpermuted(ask, order) for ask in shown]
        return asks

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        async def cast(variant: Variant) -> list[Vote]:
            order, number = variant
            votes = await self.model.votes(_shown(comparison, order), number)
            return votes if order is None else [vote.unpermuted(order) for vote in votes]

        cast_by_variant = await bounded_gather(cast, self.variants(comparison, sample))
        return [vote for votes in cast_by_variant for vote in votes]


def _shown(comparison: Comparison, order: tuple[int, ...] | None) -> Comparison:
    return comparison if order is None else comparison.permuted(order)


def _unpermuted(ask: Ask, order: Sequence[int]) -> Ask:
    """An ask planned on responses in `order`, with its own order in terms of the original comparison."""
    return replace(ask, order=tuple(order[place] for place in ask.order))


@dataclass(frozen=True)
class Repeated(RewardModelWrapper):
    """Votes `n` times with independent samples. At temperature 0 all votes are equal. Raises ValueError for n < 1."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is {self.n}; expected at least 1")

    def variants(self, comparison: Comparison, sample: int) -> Sequence[Variant]:
        # Disjoint ranges of sample numbers per outer sample, so that nested wrappers never repeat a draw.
        return [(None, number) for number in range(sample * self.n, (sample + 1) * self.n)]


@dataclass(frozen=True)
class Swapped(RewardModelWrapper):
    """Votes twice: with the responses in the original and in reversed order. Votes refer to the original order."""

    def variants(self, comparison: Comparison, sample: int) -> Sequence[Variant]:
        return [(None, sample), (tuple(reversed(range(len(comparison.responses)))), sample)]


@dataclass(frozen=True)
class Shuffled(RewardModelWrapper):
    """Permutes the responses at random for every sample (DeepSeek-GRM, arXiv 2504.02495, section 4).

    The order is a pure function of `seed`, the comparison's id and the sample. Votes refer to the original order.
    """

    seed: int = 0

    def variants(self, comparison: Comparison, sample: int) -> Sequence[Variant]:
        return [(shuffled_order(self.seed, f"{comparison.id}#{sample}", len(comparison.responses)), sample)]


@dataclass(frozen=True)
class WithRule(RewardModelWrapper):
    """Aggregates the same votes by another rule: `WithRule(Repeated(judge, 8), Rule(aggregate="sum"))`."""

    by: Rule

    @property
    def rule(self) -> Rule:
        return self.by
