"""Votes until the outcome is settled: few where all agree, many where they do not.

    voter = Adaptive(Swapped(judge), most=32, error=0.03)
    verdict = await voter(comparison)
    len(verdict.votes)                          # a few, or up to 32 samples

After each sample the chance is computed that the verdict of all `most` samples would be another than that of those so
far; asking stops when it is at most `error`. That chance is Bayesian: the votes on one comparison are exchangeable, and
nothing is known of them before the first. It is looked at after every sample without a penalty, because each look
already speaks of the end: the expected share of verdicts that differ from those of `most` samples is at most `error`
where the prior holds. Verdicts that differ are contested ones, so accuracy moves by much less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import erfc, exp, inf, lgamma, sqrt

from fathom.rationale import Status
from fathom.records import Comparison
from fathom.scaling.votes import Wrapped
from fathom.verdict import Rule, Vote

UNIFORM = 1.0
"""Both parameters of the Beta prior on how often a vote is for the leader and not for a rival."""
LEAST = 2
"""Samples of which scores tell a spread."""


@dataclass(frozen=True)
class Adaptive(Wrapped):
    """Asks until the verdict is settled, `most` samples at most.

    `error` is the chance that is accepted of another verdict than that of `most` samples. 0 stops only where no further
    votes could change the majority.
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
            votes += await self.voter.votes(comparison, sample * self.most + number)
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

    A bound where there are more than two outcomes: the chances of all rivals added up. 1 where nothing leads yet.
    """
    readable = [vote for vote in votes if vote.status is Status.OK and vote.counted]
    if left == 0:
        return 0.0
    if not readable or (rule.invalid == "require" and len(readable) < len(votes)):
        return 1.0 if not readable else 0.0
    if rule.ties == "drop":
        readable = [vote for vote in readable if vote.winner is not None]
    chances = _of_counts(readable, left) if rule.aggregate == "majority" else _of_totals(readable, rule, left)
    return min(1.0, sum(chances))


def _of_counts(votes: Sequence[Vote], left: int) -> list[float]:
    ranked = Counter(vote.winner for vote in votes).most_common()
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return [1.0]
    (_, leads), *rivals = ranked
    # Whoever has no votes yet is a rival too, told from the others by nothing.
    return [overtakes(leads, count, left) for _, count in rivals] or [overtakes(leads, 0, left)]


@lru_cache(maxsize=65536)
def overtakes(leads: int, follows: int, left: int) -> float:
    """The chance that a rival with `follows` votes has as many as the leader after `left` more between the two.

    How many of those go to the leader is beta-binomial: a uniform prior, and the votes so far.
    """
    lead = leads - follows
    most_for_leader = (left - lead) // 2
    for_leader, for_rival = leads + UNIFORM, follows + UNIFORM
    terms = (
        _log_choose(left, k) + _log_beta(k + for_leader, left - k + for_rival) - _log_beta(for_leader, for_rival)
        for k in range(most_for_leader + 1)
    )
    return sum(map(exp, terms))


def _of_totals(votes: Sequence[Vote], rule: Rule, left: int) -> list[float]:
    told = [vote.probabilities if rule.aggregate == "probability" else vote.scores for vote in votes]
    rows = [values for values in told if values is not None]
    if len(rows) < LEAST:
        return [1.0]
    totals = [sum(values) for values in zip(*rows, strict=True)]
    first = totals.index(max(totals))
    return [_is_caught([row[first] - row[i] for row in rows], left) for i in range(len(totals)) if i != first]


def _is_caught(leads: Sequence[float], left: int) -> float:
    """The chance that differences which add up to a lead add up to none at the end: a normal prediction.

    The variance has a prior of one observation, as large as the differences themselves: few that happen to agree do not
    tell that all will.
    """
    n, lead = len(leads), sum(leads)
    if lead <= 0:
        return 1.0
    mean = lead / n
    square = sum(each * each for each in leads) / n
    variance = (sum((each - mean) ** 2 for each in leads) + square) / n
    deviation = sqrt(variance * left * (1 + left / n))
    return erfc((lead + left * mean) / deviation / sqrt(2)) / 2 if deviation else 0.0


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) if 0 <= k <= n else -inf
