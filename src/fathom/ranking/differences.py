"""How much better each response of a group is than each, as a pairwise voter says: for GRPO without rewards.

    told = await differences(judge, comparison)
    advantages = difference_advantages(told.matrix)                        # fathom.judges; one a response

Method: Think-RM (arXiv 2505.16265), pairwise RLHF: all G (G - 1) / 2 pairs are judged, and their outcomes are never
made into scores of single responses. `Swapped(judge)` removes what the order of a pair does, which the paper does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from fathom.data.records import Comparison
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import RewardModel, Vote, bounded_gather
from fathom.ranking.schedules import Pair
from fathom.rationale import Status

Difference = Callable[[Vote], float]
"""How much better the first response of a pair is than the second, as one vote says."""


@dataclass(frozen=True, slots=True)
class Differences:
    """A skew-symmetric matrix: `matrix[i][j]` is how much better response i is than j. `missing` pairs have 0 there."""

    matrix: tuple[tuple[float, ...], ...]
    missing: tuple[Pair, ...]
    usage: Usage


def of_scores(vote: Vote) -> float:
    """The difference of the vote's scores; 1, -1, or 0 for a tie, where it has none."""
    if vote.scores is not None:
        return vote.scores[0] - vote.scores[1]
    return 0.0 if vote.winner is None else (1.0, -1.0)[vote.winner]


def by_length(vote: Vote) -> float:
    """1 or -1, over the characters that the judge wrote, its thought among them: what takes long to say is less sure.

    Source: arXiv 2505.16265, its code for binary Think-RM.
    """
    apart = "" if vote.reasoning in vote.text else vote.reasoning  # a thought in the text is kept in both
    return 0.0 if vote.winner is None else (1.0, -1.0)[vote.winner] / max(len(apart + vote.text), 1)


async def differences(voter: RewardModel, comparison: Comparison, difference: Difference = of_scores) -> Differences:
    """Judges every pair once, the earlier response first, and takes the mean of what its readable votes say.

    Raises FathomError for fewer than two responses, and for a voter that does not judge pairs.
    """
    count = len(comparison.responses)
    if count < 2 or voter.pattern != "pairwise":
        raise FathomError(
            f"differences take a pairwise voter and 2 responses or more; this one is {voter.pattern}, "
            f"and comparison {comparison.id!r} has {count}"
        )
    pairs = list(combinations(range(count), 2))
    cast = await bounded_gather(lambda pair: voter.votes(comparison.of(pair)), pairs)
    readable = {pair: _counted(votes) for pair, votes in zip(pairs, cast, strict=True)}
    told = {pair: fmean(map(difference, votes)) for pair, votes in readable.items() if votes}
    matrix = tuple(tuple(told.get((i, j), 0.0) - told.get((j, i), 0.0) for j in range(count)) for i in range(count))
    usage = sum((vote.usage for votes in cast for vote in votes), Usage())
    return Differences(matrix, tuple(pair for pair in pairs if pair not in told), usage)


def _counted(votes: list[Vote]) -> list[Vote]:
    return [vote for vote in votes if vote.status is Status.OK and vote.counted]
