"""A ranking of n responses: by the pairs that a pairwise judge compares, or by the scores that another judge gives.

    ranking = await rank(Swapped(judge), comparison, swiss, bradley_terry)
    ranking.order                     # ((2,), (0, 3), (1,)): best first, equal scores together
    ranking.winner, ranking.missing

The voter casts what votes it casts on each pair, so `Repeated`, `Swapped` and a journal work as they do for one pair. A
pair whose verdict could not be read is missing: it moves no score. The order in which the responses stand decides which
one is shown first in a pair (the earlier one), so a voter that is not `Swapped` may favour places.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from fathom.errors import FathomError
from fathom.judges import Voter
from fathom.rationale import Status
from fathom.records import Comparison
from fathom.scaling.schedules import Outcomes, Pair, Schedule, round_robin
from fathom.scaling.scores import Reducer, Scores, bradley_terry
from fathom.verdict import Usage, Verdict


@dataclass(frozen=True, slots=True)
class Ranking:
    """One score a response, None for those of which nothing could be read; the verdict on each pair that was asked.

    In the verdict on (i, j), response 0 is i and response 1 is j. A judge that is shown all responses at once has one
    verdict, on all of them.
    """

    scores: Scores
    verdicts: Mapping[tuple[int, ...], Verdict]

    @property
    def order(self) -> tuple[tuple[int, ...], ...]:
        """The responses that have a score, best first; those with equal scores together."""
        levels = sorted({score for score in self.scores if score is not None}, reverse=True)
        return tuple(tuple(i for i, score in enumerate(self.scores) if score == level) for level in levels)

    @property
    def winner(self) -> int | None:
        """The response with the highest score; None where several share it, or there is none."""
        best = self.order[:1]
        return best[0][0] if best and len(best[0]) == 1 else None

    @property
    def missing(self) -> tuple[tuple[int, ...], ...]:
        """What was asked and could not be read."""
        return tuple(pair for pair, verdict in self.verdicts.items() if verdict.status is not Status.OK)

    @property
    def usage(self) -> Usage:
        return sum((verdict.usage for verdict in self.verdicts.values()), Usage())


async def rank(
    voter: Voter, comparison: Comparison, schedule: Schedule = round_robin, reduce: Reducer = bradley_terry
) -> Ranking:
    """Asks the pairs of a round at once, round after round, and makes scores of their outcomes.

    A pointwise or listwise judge is asked once for all responses; its verdict's scores are the ranking's, and
    `schedule` and `reduce` do nothing. Raises FathomError for a comparison of one response.
    """
    check(comparison)
    n = len(comparison.responses)
    if voter.pattern != "pairwise":
        whole = await voter(comparison)
        return Ranking(whole.scores or (None,) * n, {tuple(range(n)): whole})
    verdicts: dict[Pair, Verdict] = {}
    rounds = schedule(n)
    pairs = next(rounds)
    while pairs:
        asked = await asyncio.gather(*(voter(comparison.of(pair)) for pair in pairs))
        verdicts |= zip(pairs, asked, strict=True)
        try:
            pairs = rounds.send(_outcomes(verdicts))
        except StopIteration:
            break
    return Ranking(reduce(n, _outcomes(verdicts)), dict(sorted(verdicts.items())))


def check(comparison: Comparison) -> None:
    """Raises FathomError for a comparison of one response."""
    if len(comparison.responses) < 2:
        raise FathomError(f"comparison {comparison.id!r} has 1 response; a ranking takes at least 2")


def _outcomes(verdicts: Mapping[Pair, Verdict]) -> Outcomes:
    readable = {pair: verdict for pair, verdict in verdicts.items() if verdict.status is Status.OK}
    return {pair: None if verdict.winner is None else pair[verdict.winner] for pair, verdict in readable.items()}
