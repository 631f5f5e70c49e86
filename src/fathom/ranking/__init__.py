"""A ranking of n responses: by the pairs that a pairwise judge compares, or by the scores that another judge gives.

    ranking = await rank(Swapped(judge), comparison, swiss, bradley_terry)
    ranking.order                     # ((2,), (0, 3), (1,)): best first, equal scores together
    ranking.winner, ranking.missing

The voter casts what votes it casts on each pair, so `Repeated`, `Swapped` and a journal work as they do for one pair. A
pair whose verdict could not be read is missing: it moves no score. The order in which the responses stand decides which
one is shown first in a pair (the earlier one), so a voter that is not `Swapped` may favour places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fathom.data.records import Comparison
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import RewardModel, Verdict, Vote, bounded_gather
from fathom.ranking.reducers import Reducer, Scores, Shares, bradley_terry
from fathom.ranking.schedules import Outcomes, Pair, Schedule, round_robin
from fathom.rationale import Status

Tells = Literal["verdict", "votes"]
"""What a pair tells a reducer: its verdict, which is a win, a tie or a loss, or the share of its votes."""


class Votes(NamedTuple):
    """How the readable votes divide between two responses."""

    one: int
    other: int
    tied: int

    @property
    def share(self) -> float | None:
        """The share of the votes for the first, a tie half; None where there is no vote."""
        return (self.one + self.tied / 2) / sum(self) if sum(self) else None


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

    def votes(self, one: int, other: int) -> Votes:
        """How the votes divide between two responses, where both were compared or seen together."""
        found = Votes(0, 0, 0)
        for shown, verdict in self.verdicts.items():
            if {one, other} <= set(shown):
                cast = votes_between(verdict, shown.index(one), shown.index(other))
                found = Votes(*(sum(each) for each in zip(found, cast, strict=True)))
        return found

    @property
    def usage(self) -> Usage:
        return sum((verdict.usage for verdict in self.verdicts.values()), Usage())


async def rank(
    voter: RewardModel,
    comparison: Comparison,
    schedule: Schedule = round_robin,
    reduce: Reducer = bradley_terry,
    tells: Tells = "verdict",
) -> Ranking:
    """Asks the pairs of a round at once, round after round, and makes scores of their outcomes.

    With several votes on each pair, `tells="votes"` gives the reducer the share of the votes, so that 9 to 7 counts for
    less than 16 to 0 and fewer responses tie. Schedules go by verdicts in any case.

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
        asked = await bounded_gather(lambda pair: voter(comparison.of(pair)), pairs)
        verdicts |= zip(pairs, asked, strict=True)
        try:
            pairs = rounds.send(_outcomes(verdicts))
        except StopIteration:
            break
    outcomes = _shares(verdicts) if tells == "votes" else _outcomes(verdicts)
    return Ranking(reduce(n, outcomes), dict(sorted(verdicts.items())))


def check(comparison: Comparison) -> None:
    """Raises FathomError for a comparison of one response."""
    if len(comparison.responses) < 2:
        raise FathomError(f"comparison {comparison.id!r} has 1 response; a ranking takes at least 2")


def _shares(verdicts: Mapping[Pair, Verdict]) -> Shares:
    return {pair: won for pair, verdict in verdicts.items() if (won := share(verdict)) is not None}


def share(verdict: Verdict) -> float | None:
    """How much of a verdict on a pair is for its first response, 0 to 1; None where it could not be read.

    That is the share of the votes, a tie half; where probabilities are counted, the share of the probability.
    """
    if verdict.status is not Status.OK:
        return None
    if verdict.rule.aggregate == "probability" and verdict.scores is not None:
        total = sum(verdict.scores)
        return verdict.scores[0] / total if total else 0.5
    return votes_between(verdict, 0, 1).share


def votes_between(verdict: Verdict, one: int, other: int) -> Votes:
    """The votes for either of two responses, by their scores where there are any and else by the winner."""
    counted = [vote for vote in verdict.votes if vote.counted and vote.status is Status.OK]
    leads = [_lead(vote, one, other) for vote in counted]
    return Votes(sum(lead > 0 for lead in leads), sum(lead < 0 for lead in leads), leads.count(0))


def _lead(vote: Vote, one: int, other: int) -> float:
    if vote.scores is not None:
        return vote.scores[one] - vote.scores[other]
    return float(vote.winner == one) - float(vote.winner == other)


def _outcomes(verdicts: Mapping[Pair, Verdict]) -> Outcomes:
    readable = {pair: verdict for pair, verdict in verdicts.items() if verdict.status is Status.OK}
    return {pair: None if verdict.winner is None else pair[verdict.winner] for pair, verdict in readable.items()}
