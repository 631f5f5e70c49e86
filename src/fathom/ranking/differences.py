"""Pairwise differences within a group of responses, from which GRPO takes advantages without pointwise rewards.

    result = await differences(judge, comparison)
    advantages = pairwise_advantages(result.matrix)                      # from fathom.judges; one per response

Method: Think-RM (arXiv 2505.16265), pairwise RLHF. All G (G - 1) / 2 pairs are judged, and the outcomes are not reduced
to scores of single responses. The paper judges each pair in one order; `Swapped(judge)` also cancels position bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from fathom.data.records import Comparison
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import RewardModel, Vote, bounded_gather
from fathom.ranking.schedules import Pair
from fathom.rationale import Status


@dataclass(frozen=True, slots=True)
class Differences:
    """A skew-symmetric matrix: `matrix[i][j]` is how much better response i is than j, and 0 for `missing` pairs."""

    matrix: tuple[tuple[float, ...], ...]
    missing: tuple[Pair, ...]
    usage: Usage


async def differences(model: RewardModel, comparison: Comparison) -> Differences:
    """Judge every pair, the response with the smaller index first, and average the differences of its readable votes.

    The difference of a vote is that of its two scores; of a vote without scores 1 or -1 for the winner, 0 for a tie.
    Raises FathomError for fewer than two responses and for a model that is not pairwise.
    """
    count = len(comparison.responses)
    if count < 2 or model.arity != "pairwise":
        raise FathomError(
            f"expected a pairwise judge and at least 2 responses; the judge is {model.arity}, and comparison "
            f"{comparison.id!r} has {count}"
        )
    pairs = list(combinations(range(count), 2))
    cast = await bounded_gather(lambda pair: model.votes(comparison.subset(pair)), pairs)
    readable = {pair: _counted(votes) for pair, votes in zip(pairs, cast, strict=True)}
    means = {pair: fmean(map(_difference, votes)) for pair, votes in readable.items() if votes}
    # Only pairs with i < j have an entry, so one of the two terms is always 0.
    matrix = tuple(tuple(means.get((i, j), 0.0) - means.get((j, i), 0.0) for j in range(count)) for i in range(count))
    usage = sum((vote.usage for votes in cast for vote in votes), Usage())
    return Differences(matrix, tuple(pair for pair in pairs if pair not in means), usage)


def _counted(votes: list[Vote]) -> list[Vote]:
    return [vote for vote in votes if vote.status is Status.OK and vote.included]


def _difference(vote: Vote) -> float:
    """How much better the first response of a pair is than the second."""
    if vote.scores is not None:
        return vote.scores[0] - vote.scores[1]
    return 0.0 if vote.winner is None else (1.0, -1.0)[vote.winner]
