"""Several votes of one reward model: more samples, other orders of the responses, and the rule that aggregates them.

    verdict = await Repeated(Swapped(judge), 4)(comparison)

`Swapped` removes the effect of the order of the responses: a judge that always prefers the first one ties, and the
mirrored comparison gets the mirrored verdict. It does not remove other biases, such as that for length.

Each wrapper says one thing, its `variants`: in which orders, and for which samples, the inner model votes. What is
planned and what is voted both follow from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fathom.data.records import Comparison, placement
from fathom.judges import Ask, Pattern, RewardModel, Rule, Vote, bounded_gather

Variant = tuple[tuple[int, ...] | None, int]
"""The order in which the responses are shown (None: as they stand), and the number of the sample."""


@dataclass(frozen=True)
class RewardModelWrapper(RewardModel):
    """A reward model around another, with its traits. Subclasses change `variants`, or more."""

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
        """How often, and how, the inner model votes on a comparison."""
        return [(None, sample)]

    def plan(self, comparison: Comparison, sample: int = 0) -> list[Ask]:
        asks: list[Ask] = []
        for order, number in self.variants(comparison, sample):
            shown = self.model.plan(_shown(comparison, order), number)
            asks += shown if order is None else [_in_terms_of_the_source(ask, order) for ask in shown]
        return asks

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        async def cast(variant: Variant) -> list[Vote]:
            order, number = variant
            votes = await self.model.votes(_shown(comparison, order), number)
            return votes if order is None else [vote.seen_in(order) for vote in votes]

        cast_by_variant = await bounded_gather(cast, self.variants(comparison, sample))
        return [vote for votes in cast_by_variant for vote in votes]


def _shown(comparison: Comparison, order: tuple[int, ...] | None) -> Comparison:
    return comparison if order is None else comparison.reordered(order)


def _in_terms_of_the_source(ask: Ask, order: Sequence[int]) -> Ask:
    """A call about responses in `order`, whose own order refers to the comparison before that."""
    return replace(ask, order=tuple(order[place] for place in ask.order))


@dataclass(frozen=True)
class Repeated(RewardModelWrapper):
    """Asks `n` times, with another random draw each time. At temperature 0 every vote is the same."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is {self.n}; at least 1 vote is needed")

    def variants(self, comparison: Comparison, sample: int) -> Sequence[Variant]:
        # Numbered so that wrappers inside and outside never ask for the same draw twice.
        return [(None, number) for number in range(sample * self.n, (sample + 1) * self.n)]


@dataclass(frozen=True)
class Swapped(RewardModelWrapper):
    """Asks with the responses as they stand, and in reverse; every vote refers to the responses as they stand."""

    def variants(self, comparison: Comparison, sample: int) -> Sequence[Variant]:
        return [(None, sample), (tuple(reversed(range(len(comparison.responses)))), sample)]


@dataclass(frozen=True)
class Shuffled(RewardModelWrapper):
    """Shows the responses in another random order for every sample (DeepSeek-GRM, arXiv 2504.02495, section 4).

    The order is a pure function of the seed, the comparison's id and the sample; votes refer to the responses as they
    stand.
    """

    seed: int = 0

    def variants(self, comparison: Comparison, sample: int) -> Sequence[Variant]:
        return [(placement(self.seed, f"{comparison.id}#{sample}", len(comparison.responses)), sample)]


@dataclass(frozen=True)
class WithRule(RewardModelWrapper):
    """Makes verdicts of the same votes by another rule: `WithRule(Repeated(judge, 8), Rule(aggregate="sum"))`."""

    by: Rule

    @property
    def rule(self) -> Rule:
        return self.by
