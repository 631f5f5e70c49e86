"""Rank n responses, from the outcomes of pairs that a pairwise judge compares or from the scores of another judge.

    ranking = await rank(Swapped(judge), comparison, swiss, bradley_terry)
    ranking.order                     # ((2,), (0, 3), (1,)): best first, responses with equal scores together
    ranking.winner, ranking.missing

Each pair is judged like any other comparison, so wrappers such as `Repeated` and `Swapped`, and the journal, apply. A
pair without a readable verdict is missing: it changes no score. The prompt shows the response with the smaller index
first, so a judge with position bias should be `Swapped`.
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
"""What a reducer gets for a pair: its verdict (win, tie or loss), or the share of its votes."""


class PairVotes(NamedTuple):
    """Counts of the readable votes between two responses."""

    one: int
    other: int
    tied: int

    @property
    def share(self) -> float | None:
        """The first response's share of the votes, 0 to 1; a tie counts 1/2. None if there are no votes."""
        return (self.one + self.tied / 2) / sum(self) if sum(self) else None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The scores of n responses, and the verdicts they come from.

    `scores[i]` is None if no verdict on response i could be read. `verdicts` maps the indices of the responses judged
    together to their verdict. Within the verdict on (i, j), response 0 is i and response 1 is j. A pointwise or
    listwise judge has one verdict, on all n.
    """

    scores: Scores
    verdicts: Mapping[tuple[int, ...], Verdict]

    @property
    def order(self) -> tuple[tuple[int, ...], ...]:
        """The indices of the responses that have a score, best first, grouped by equal scores."""
        levels = sorted({score for score in self.scores if score is not None}, reverse=True)
        return tuple(tuple(i for i, score in enumerate(self.scores) if score == level) for level in levels)

    @property
    def winner(self) -> int | None:
        """The index of the response with the highest score; None if several share it or no response has a score."""
        best = self.order[:1]
        return best[0][0] if best and len(best[0]) == 1 else None

    @property
    def missing(self) -> tuple[tuple[int, ...], ...]:
        """The pairs (or the whole comparison) without a readable verdict."""
        return tuple(pair for pair, verdict in self.verdicts.items() if verdict.status is not Status.OK)

    def votes(self, one: int, other: int) -> PairVotes:
        """The votes between two responses, over all verdicts in which both were shown."""
        total = PairVotes(0, 0, 0)
        for shown, verdict in self.verdicts.items():
            if {one, other} <= set(shown):
                counts = count_votes_between(verdict, shown.index(one), shown.index(other))
                total = PairVotes(*(sum(each) for each in zip(total, counts, strict=True)))
        return total

    @property
    def usage(self) -> Usage:
        return sum((verdict.usage for verdict in self.verdicts.values()), Usage())


async def rank(
    model: RewardModel,
    comparison: Comparison,
    schedule: Schedule = round_robin,
    reduce: Reducer = bradley_terry,
    tells: Tells = "verdict",
) -> Ranking:
    """Judge the pairs that `schedule` lists, round by round, and reduce their outcomes to scores.

    The pairs of one round are judged concurrently. With several votes per pair, `tells="votes"` passes the share of the
    votes to the reducer instead of the verdict: 9 to 7 then counts less than 16 to 0, and fewer responses tie.
    Schedules always use verdicts.

    A pointwise or listwise judge judges all responses at once and its scores become the ranking's; `schedule` and
    `reduce` are then ignored. Raises FathomError for a comparison of one response.
    """
    check(comparison)
    n = len(comparison.responses)
    if model.arity != "pairwise":
        whole = await model(comparison)
        return Ranking(whole.scores or (None,) * n, {tuple(range(n)): whole})
    verdicts: dict[Pair, Verdict] = {}
    rounds = schedule(n)
    pairs = next(rounds)
    while pairs:
        verdicts |= zip(pairs, await bounded_gather(lambda pair: model(comparison.subset(pair)), pairs), strict=True)
        try:
            pairs = rounds.send(_outcomes(verdicts))
        except StopIteration:
            break
    outcomes = _shares(verdicts) if tells == "votes" else _outcomes(verdicts)
    return Ranking(reduce(n, outcomes), dict(sorted(verdicts.items())))


def check(comparison: Comparison) -> None:
    """Raise FathomError for a comparison of one response."""
    if len(comparison.responses) < 2:
        raise FathomError(f"comparison {comparison.id!r} has 1 response; expected at least 2 to rank")


def _shares(verdicts: Mapping[Pair, Verdict]) -> Shares:
    return {pair: won for pair, verdict in verdicts.items() if (won := share(verdict)) is not None}


def share(verdict: Verdict) -> float | None:
    """The first response's share in a verdict on a pair, 0 to 1; None if the verdict could not be read.

    This is its share of the votes, with a tie counted 1/2, or its share of the probability under
    `aggregate="probability"`.
    """
    if verdict.status is not Status.OK:
        return None
    if verdict.rule.aggregate == "probability" and verdict.scores is not None:
        total = sum(verdict.scores)
        return verdict.scores[0] / total if total else 0.5
    return count_votes_between(verdict, 0, 1).share


def count_votes_between(verdict: Verdict, one: int, other: int) -> PairVotes:
    """Count the votes between two responses of a verdict: by score if the votes have scores, else by winner."""
    counted = [vote for vote in verdict.votes if vote.included and vote.status is Status.OK]
    leads = [_lead(vote, one, other) for vote in counted]
    return PairVotes(sum(lead > 0 for lead in leads), sum(lead < 0 for lead in leads), leads.count(0))


def _lead(vote: Vote, one: int, other: int) -> float:
    if vote.scores is not None:
        return vote.scores[one] - vote.scores[other]
    return float(vote.winner == one) - float(vote.winner == other)


def _outcomes(verdicts: Mapping[Pair, Verdict]) -> Outcomes:
    readable = {pair: verdict for pair, verdict in verdicts.items() if verdict.status is Status.OK}
    return {pair: None if verdict.winner is None else pair[verdict.winner] for pair, verdict in readable.items()}
