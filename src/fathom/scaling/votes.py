"""Several votes of one judge: more samples, and both orders of the responses.

    verdict = await Repeated(Swapped(judge), 4)(comparison)

`Swapped` removes what the order of the responses does: a judge that always prefers the first one ties, and judging the
mirrored comparison gives the mirrored verdict. It does not remove other biases, such as that for length.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fathom.judges import Voter
from fathom.records import Comparison
from fathom.verdict import Vote


@dataclass(frozen=True)
class Repeated(Voter):
    """Asks `times` times, with another random draw each time. At temperature 0 every vote is the same."""

    voter: Voter
    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"times is {self.times}; at least 1 vote is needed")

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        # Numbered so that wrappers inside and outside never ask for the same draw twice.
        samples = range(sample * self.times, (sample + 1) * self.times)
        cast = await asyncio.gather(*(self.voter.votes(comparison, number) for number in samples))
        return [vote for votes in cast for vote in votes]


@dataclass(frozen=True)
class Swapped(Voter):
    """Asks once as the responses stand and once in reverse; every vote speaks of the responses as they stand."""

    voter: Voter

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        reverse = tuple(reversed(range(len(comparison.responses))))
        straight, swapped = await asyncio.gather(
            self.voter.votes(comparison, sample), self.voter.votes(comparison.reordered(reverse), sample)
        )
        return [*straight, *(vote.seen_in(reverse) for vote in swapped)]
