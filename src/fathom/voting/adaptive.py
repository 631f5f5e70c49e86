"""Votes until the outcome is settled: few where all agree, many where they do not.

    voter = Adaptive(Swapped(judge), most=32, error=0.03)
    verdict = await voter(comparison)
    len(verdict.votes)                          # a few, or up to 32 samples

After each sample the chance is computed that the verdict of all `most` samples would be another than that of those so
far; asking stops when it is at most `error`. That chance is Bayesian: the votes on one comparison are exchangeable, and
nothing is known of them before the first. It is looked at after every sample without a penalty, because each look
already speaks of the end: the expected share of verdicts that differ from those of `most` samples is at most `error`
where the prior holds. Verdicts that differ are contested ones, so accuracy moves by much less.

Of scores the same is asked: how often the leader stays ahead, and by how much each side is (`is_caught`). What no vote
has shown yet is a guess there, made on the side of more votes; where rare votes weigh many times as much as the usual
ones, more verdicts differ than `error` says. A single response has no rival, and every vote moves its score: all are
asked.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import erfc, exp, inf, lgamma, sqrt
from statistics import fmean

from fathom.data.records import Comparison
from fathom.judges import Rule, Vote
from fathom.rationale import Status
from fathom.voting.wrappers import RewardModelWrapper

UNIFORM = 1.0
"""Both parameters of the Beta prior on how often a vote is for the leader and not for a rival."""
UNSEEN = 1 / 3
"""The lead that a vote may have where none had as large a one yet, as a share of the largest score. Measured: with a
third, `error` holds for leads of usual shapes, and few more votes are asked for than with less."""
ROUNDING = 1e-9
"""Differences of scores as small as this share of the largest one are taken for none."""


@dataclass(frozen=True)
class Adaptive(RewardModelWrapper):
    """Asks until the verdict is settled, `most` samples at most.

    `error` is the chance that is accepted of another verdict than that of `most` samples. 0 stops only where no further
    votes could change it: that can be known of majorities and of probabilities, and never of scores, as no vote tells
    how large others may be.
    """

    most: int = 32
    error: float = 0.03

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"most is {self.most}; at least 1 sample is needed")
        if not 0 <= self.error < 1:
            raise ValueError(f"error is {self.error}; allowed is a probability below 1")

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        votes: list[Vote] = []
        for number in range(self.most):
            votes += await self.model.votes(comparison, sample * self.most + number)
            left = (self.most - number - 1) * len(votes) // (number + 1)
            if chance_of_another(votes, self.rule, left) <= self.error:
                break
        return votes


def settled_after(votes: Sequence[Vote], rule: Rule, error: float) -> int:
    """How many of these recorded votes would have been asked for, were they all that there can be."""
    for count in range(1, len(votes)):
        if chance_of_another(votes[:count], rule, len(votes) - count) <= error:
            return count
    return len(votes)


def chance_of_another(votes: Sequence[Vote], rule: Rule, left: int) -> float:
    """The chance, 0 to 1, that `left` more votes change the verdict that `rule` makes of `votes`.

    A bound where there are more than two outcomes: the chances of all rivals added up. A tie is a rival from the first
    vote for one. 1 where nothing leads yet, and for a single response. 0 where a vote is unreadable that must not be:
    there is no verdict any more.
    """
    admitted = [vote for vote in votes if vote.counted]
    readable = [vote for vote in admitted if _can_count(vote, rule)]
    if left == 0 or (rule.invalid == "require" and len(readable) < len(admitted)):
        return 0.0
    count = max((len(vote.order) or (vote.winner or 0) + 1 for vote in readable), default=0)
    if rule.ties == "drop":
        readable = [vote for vote in readable if vote.winner is not None]
    if count < 2 or not readable:
        return 1.0
    chances = _of_counts(readable, count, left) if rule.aggregate == "majority" else _of_totals(readable, rule, left)
    return min(1.0, sum(chances))


def _can_count(vote: Vote, rule: Rule) -> bool:
    return vote.status is Status.OK and (rule.aggregate == "majority" or rule.values(vote) is not None)


def _of_counts(votes: Sequence[Vote], count: int, left: int) -> list[float]:
    ranked = Counter(vote.winner for vote in votes).most_common()
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        return [1.0]
    (_, leads), *rivals = ranked
    follows = [follows for _, follows in rivals]
    # Responses without votes are told from one another by nothing: together they are a rival too.
    unnamed = set(range(count)) - {winner for winner, _ in ranked}
    follows += [0] if unnamed else []
    return [_unless_out_of_reach(overtakes(leads, each, left), leads - each, left) for each in follows]


@lru_cache(maxsize=65536)
def overtakes(leads: int, follows: int, left: int) -> float:
    """The chance that a rival with `follows` votes has as many as the leader after `left` more between the two.

    How many of those go to the leader is beta-binomial: a uniform prior, and the votes so far.
    """
    most_for_leader = (left - leads + follows) // 2
    return sum(_shares(leads, follows, left)[: max(0, most_for_leader + 1)])


@lru_cache(maxsize=8192)
def _shares(leads: int, follows: int, left: int) -> tuple[float, ...]:
    """The chances that 0, 1, ... `left` of as many further votes go to the leader."""
    for_leader, for_rival = leads + UNIFORM, follows + UNIFORM
    terms = (
        _log_choose(left, k) + log_beta(k + for_leader, left - k + for_rival) - log_beta(for_leader, for_rival)
        for k in range(left + 1)
    )
    return tuple(map(exp, terms))


def _of_totals(votes: Sequence[Vote], rule: Rule, left: int) -> list[float]:
    rows = [values for vote in votes if (values := rule.values(vote)) is not None]
    totals = [sum(values) for values in zip(*rows, strict=True)]
    first = totals.index(max(totals))
    unseen = UNSEEN * max(abs(value) for values in rows for value in values)
    most = 1.0 if rule.aggregate == "probability" else inf
    rivals = ([row[first] - row[i] for row in rows] for i in range(len(totals)) if i != first)
    return [_unless_out_of_reach(is_caught(leads, unseen, left), sum(leads), left * most) for leads in rivals]


def _unless_out_of_reach(chance: float, lead: float, reach: float) -> float:
    """0 only where the votes that are left can make up for `reach` at most, however small the chance may come out."""
    return 0.0 if lead > reach else max(chance, sys.float_info.min)


def is_caught(leads: Sequence[float], unseen: float, left: int) -> float:
    """The chance that leads which add up to a lead of one response add up to none after `left` more.

    How many of those are the leader's is beta-binomial, as for majorities. So many of one side, so many of the other
    add up to about a normal variable, with the mean and variance of the sizes seen on each side. To these one more is
    added, the largest lead of either or `unseen` if that is more: few votes do not tell that none can be large. Leads
    of 1 and -1, and `unseen` of no more, give exactly `overtakes`.
    """
    lead = sum(leads)
    if lead <= 0:
        return 1.0
    largest = max(unseen, *map(abs, leads))
    ours, theirs = [each for each in leads if each > 0], [-each for each in leads if each < 0]
    gain, gains = _moments([*ours, largest])
    loss, losses = _moments([*theirs, largest])
    return sum(
        share * _at_most_zero(lead + k * gain - (left - k) * loss, k * gains + (left - k) * losses, ROUNDING * largest)
        for k, share in enumerate(_shares(len(ours), len(theirs), left))
    )


def _moments(sizes: Sequence[float]) -> tuple[float, float]:
    """Mean and variance."""
    mean = fmean(sizes)
    return mean, fmean((each - mean) ** 2 for each in sizes)


def _at_most_zero(mean: float, variance: float, rounding: float) -> float:
    """The chance that a normal variable is 0 or less. What is no larger than `rounding` counts as 0."""
    if sqrt(variance) <= rounding:
        return float(mean <= rounding)
    return erfc(mean / sqrt(2 * variance)) / 2


def log_beta(a: float, b: float) -> float:
    """The logarithm of the Beta function."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) if 0 <= k <= n else -inf
