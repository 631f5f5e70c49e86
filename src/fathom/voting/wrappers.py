"""Wrappers that cast several votes with one reward model: more samples, permuted responses, another rule.

    verdict = await Repeated(Swapped(judge), 4)(comparison)        # 8 votes: 4 samples in both orders

`Swapped` cancels position bias: a judge that always prefers the first response ties, and reversing the responses
reverses the verdict. It does not remove other biases, such as length bias.

A wrapper defines only `variants`: the orders and samples for which the inner model votes. `plan` and `votes` follow
(`fathom.judges.RewardModelWrapper`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fathom.data.records import Comparison, shuffled_order
from fathom.judges import RewardModelWrapper, Rule, Variant


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
