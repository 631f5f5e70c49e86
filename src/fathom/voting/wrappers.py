"""Several votes of one judge: more samples, other orders of the responses, and the rule that counts them.

    verdict = await Repeated(Swapped(judge), 4)(comparison)

`Swapped` removes what the order of the responses does: a judge that always prefers the first one ties, and judging the
mirrored comparison gives the mirrored verdict. It does not remove other biases, such as that for length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fathom.data.records import Comparison, placement
from fathom.judges import Pattern, Rule, Vote, Voter

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 64
"""Requests for one comparison that wait at the same time. Many comparisons are judged side by side, so more would only
take memory: millions of votes would be millions of tasks before the first call, even where a bound ends the run soon.
"""


async def gathered(ask: Callable[[Item], Awaitable[Result]], items: Sequence[Item]) -> list[Result]:
    """What `ask` gives for each item, in their order; `AT_ONCE` of them at the same time."""
    results: list[Result] = []
    for start in range(0, len(items), AT_ONCE):
        results += await asyncio.gather(*map(ask, items[start : start + AT_ONCE]))
    return results


@dataclass(frozen=True)
class Wrapped(Voter):
    """A voter around another, whose pattern and rule it has."""

    voter: Voter

    @property
    def pattern(self) -> Pattern:
        return self.voter.pattern

    @property
    def rule(self) -> Rule:
        return self.voter.rule

    @property
    def threshold(self) -> float | None:
        return self.voter.threshold


@dataclass(frozen=True)
class Repeated(Wrapped):
    """Asks `times` times, with another random draw each time. At temperature 0 every vote is the same."""

    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"times is {self.times}; at least 1 vote is needed")

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        # Numbered so that wrappers inside and outside never ask for the same draw twice.
        samples = range(sample * self.times, (sample + 1) * self.times)
        cast = await gathered(lambda number: self.voter.votes(comparison, number), samples)
        return [vote for votes in cast for vote in votes]


@dataclass(frozen=True)
class Swapped(Wrapped):
    """Asks once as the responses stand and once in reverse; every vote speaks of the responses as they stand."""

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        reverse = tuple(reversed(range(len(comparison.responses))))
        straight, swapped = await asyncio.gather(
            self.voter.votes(comparison, sample), self.voter.votes(comparison.reordered(reverse), sample)
        )
        return [*straight, *(vote.seen_in(reverse) for vote in swapped)]


@dataclass(frozen=True)
class Shuffled(Wrapped):
    """Shows the responses in another random order for every sample (DeepSeek-GRM, arXiv 2504.02495, section 4).

    The order is a pure function of the seed, the comparison's id and the sample; votes speak of the responses as they
    stand.
    """

    seed: int = 0

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        order = placement(self.seed, f"{comparison.id}#{sample}", len(comparison.responses))
        return [vote.seen_in(order) for vote in await self.voter.votes(comparison.reordered(order), sample)]


@dataclass(frozen=True)
class Counted(Wrapped):
    """Makes verdicts of the same votes by another rule: `Counted(Repeated(judge, 8), Rule(aggregate="sum"))`."""

    by: Rule

    @property
    def rule(self) -> Rule:
        return self.by

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        return await self.voter.votes(comparison, sample)
