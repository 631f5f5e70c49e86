"""Adaptive voting: stop sampling once further votes are unlikely to change the verdict.

    model = Adaptive(Swapped(judge), max_votes=32, tolerance=0.03)
    verdict = await model(comparison)
    len(verdict.votes)                          # a few if the votes agree, up to 32 samples if they do not

After each sample, `flip_probability` estimates the probability that the verdict after all `max_votes` samples differs
from the current one. Sampling stops when it is at most `tolerance`.

The estimate is a Beta-binomial posterior predictive. It treats the votes on one comparison as exchangeable and puts a
uniform prior on the leader's vote share. Repeated checks need no correction for multiple looks: each check predicts the
final verdict itself, so the expected share of verdicts that differ from those of `max_votes` samples is at most
`tolerance` if the prior holds. Those verdicts are close calls, so accuracy changes by less.

Limit: the prior says that vote shares differ evenly from comparison to comparison. If votes are nearly independent,
with the same probability p of the right verdict everywhere, and p is near 1/2, the share of other verdicts exceeds the
tolerance: for 32 votes and 0.03 it is 0.08 at p = 0.50, 0.07 at 0.55, 0.05 at 0.60 and 0.03 at 0.65, and up to 1.8
points of accuracy are lost (benchmarks/adaptive.py). A prior that keeps the tolerance there depends on `tolerance` and
`max_votes`, and costs votes everywhere else. For such judges use a fixed number of votes.

Sums and means of scores use the same model for who leads in a vote, and a normal approximation for by how much
(`score_catch_up_probability`). Lead sizes that no vote has shown yet are guessed conservatively. If rare votes weigh
many times as much as typical ones, more verdicts than `tolerance` can differ. A single response has no rival and every
vote moves its score, so all votes are cast.
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
from fathom.judges import RewardModelWrapper, Rule, Vote
from fathom.rationale import Status

UNIFORM = 1.0
"""Both parameters of the Beta prior on the probability that a vote goes to the leader rather than to a given rival."""
UNSEEN = 1 / 3
"""Assumed size of a lead larger than any seen so far, as a fraction of the largest score. Chosen on simulated
scores (benchmarks/adaptive.py): with 1/3 the tolerance holds for common distributions of leads, at few more votes than
with smaller values."""
ROUNDING = 1e-9
"""Score differences below this fraction of the largest lead count as zero."""


@dataclass(frozen=True)
class Adaptive(RewardModelWrapper):
    """Casts votes until the verdict is settled, at most `max_votes` samples.

    `tolerance`, from 0 to below 1, is the accepted probability that the verdict after `max_votes` samples would differ.
    With 0, voting stops only when the remaining votes cannot change the verdict. That can be known for majorities and
    probabilities, but never for scores, because the size of future scores is unbounded.

    Raises ValueError for `max_votes` below 1 and for a `tolerance` outside [0, 1).
    """

    max_votes: int = 32
    tolerance: float = 0.03

    def __post_init__(self) -> None:
        if self.max_votes < 1:
            raise ValueError(f"max_votes is {self.max_votes}; expected at least 1")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance is {self.tolerance}; expected a probability from 0 to below 1")

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        votes: list[Vote] = []
        for drawn in range(self.max_votes):
            votes += await self.model.votes(comparison, sample * self.max_votes + drawn)
            # A sample may cast several votes (both orders), so remaining samples are converted to remaining votes.
            remaining = (self.max_votes - drawn - 1) * len(votes) // (drawn + 1)
            if flip_probability(votes, self.rule, remaining) <= self.tolerance:
                break
        return votes


def votes_until_settled(votes: Sequence[Vote], rule: Rule, tolerance: float) -> int:
    """The number of these recorded votes that adaptive voting would have cast if `len(votes)` were the maximum."""
    for count in range(1, len(votes)):
        if flip_probability(votes[:count], rule, len(votes) - count) <= tolerance:
            return count
    return len(votes)


def flip_probability(votes: Sequence[Vote], rule: Rule, remaining: int) -> float:
    """The probability, 0 to 1, that `remaining` more votes change the verdict of `rule` on `votes`.

    With more than two outcomes this is an upper bound. A tie competes as an outcome as soon as one vote names it.
    Returns 1 while nothing leads and for a single response. Returns 0 if no votes are left, or if an unreadable vote
    already rules out a verdict (`invalid="require"`).
    """
    admitted = [vote for vote in votes if vote.included]
    readable = [vote for vote in admitted if _can_count(vote, rule)]
    if remaining == 0 or (rule.invalid == "require" and len(readable) < len(admitted)):
        return 0.0
    count = max((len(vote.order) or (vote.winner or 0) + 1 for vote in readable), default=0)
    if rule.ties == "drop":
        readable = [vote for vote in readable if vote.winner is not None]
    if count < 2 or not readable:
        return 1.0
    majority = rule.aggregate == "majority"
    by_rival = _majority_flips(readable, count, remaining) if majority else _score_flips(readable, rule, remaining)
    # Union bound: P(some rival catches up) <= sum over rivals of P(that rival catches up).
    return min(1.0, sum(by_rival))


def _can_count(vote: Vote, rule: Rule) -> bool:
    return vote.status is Status.OK and (rule.aggregate == "majority" or rule.values(vote) is not None)


def _majority_flips(votes: Sequence[Vote], count: int, remaining: int) -> list[float]:
    """For each rival outcome, the probability that it draws level with the leader."""
    ranked = Counter(vote.winner for vote in votes).most_common()
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        return [1.0]
    (_, leads), *rivals = ranked
    follows = [follows for _, follows in rivals]
    # Responses without a vote are interchangeable, so they count as one more rival with 0 votes.
    without_votes = set(range(count)) - {winner for winner, _ in ranked}
    follows += [0] if without_votes else []
    return [
        _positive_if_possible(catch_up_probability(leads, each, remaining), leads - each, remaining) for each in follows
    ]


@lru_cache(maxsize=65536)
def catch_up_probability(leads: int, follows: int, remaining: int) -> float:
    """The probability that a rival draws level with the leader within `remaining` more votes cast between the two.

    Derivation. The leader has a = `leads` votes, the rival b = `follows`, and m = `remaining`. With a uniform
    prior Beta(1, 1) on the leader's share p of the votes between the two, the posterior is Beta(a + 1, b + 1). The
    number K of remaining votes for the leader follows the posterior predictive, a Beta-binomial distribution:

        P(K = k) = C(m, k) B(a + 1 + k, b + 1 + m - k) / B(a + 1, b + 1),    k = 0 ... m

    The rival draws level if a + K <= b + m - K, that is K <= (m - a + b) / 2. The result is the sum of P(K = k) up to
    the floor of that bound (Gelman et al., Bayesian Data Analysis, 3rd edition, section 2.3).
    """
    largest_k = (remaining - leads + follows) // 2
    return sum(_predictive(leads, follows, remaining)[: max(0, largest_k + 1)])


@lru_cache(maxsize=8192)
def _predictive(leads: int, follows: int, remaining: int) -> tuple[float, ...]:
    """P(K = k) for k = 0 ... `remaining`, by logarithms because the binomial coefficients overflow a float."""
    alpha, beta = leads + UNIFORM, follows + UNIFORM
    terms = (
        _log_choose(remaining, k) + log_beta(k + alpha, remaining - k + beta) - log_beta(alpha, beta)
        for k in range(remaining + 1)
    )
    return tuple(map(exp, terms))


def _score_flips(votes: Sequence[Vote], rule: Rule, remaining: int) -> list[float]:
    """For each rival response, the probability that its total draws level with the leader's."""
    rows = [values for vote in votes if (values := rule.values(vote)) is not None]
    totals = [sum(values) for values in zip(*rows, strict=True)]
    first = totals.index(max(totals))
    unseen = UNSEEN * max(abs(value) for values in rows for value in values)
    # One vote moves a difference of probabilities by at most 1; a difference of scores has no bound.
    max_step = 1.0 if rule.aggregate == "probability" else inf
    leads_by_rival = ([row[first] - row[i] for row in rows] for i in range(len(totals)) if i != first)
    return [
        _positive_if_possible(score_catch_up_probability(leads, unseen, remaining), sum(leads), remaining * max_step)
        for leads in leads_by_rival
    ]


def _positive_if_possible(probability: float, lead: float, reach: float) -> float:
    """0 only if `reach`, the most that the remaining votes can make up, is less than `lead`.

    Otherwise positive even if the sum underflows: a tolerance of 0 must mean "impossible", not "very unlikely".
    """
    return 0.0 if lead > reach else max(probability, sys.float_info.min)


def score_catch_up_probability(leads: Sequence[float], unseen: float, remaining: int) -> float:
    """The probability that the leader's total margin over a rival is gone after `remaining` more votes.

    `leads[v]` is the margin of the leader in vote v: positive if the vote favours the leader, negative if the rival.
    `unseen` is the margin that a future vote may have although no vote has shown one as large.

    Derivation. Let D be the sum of `leads`, a of them positive and b negative, and m = `remaining`. As for majorities,
    the number K of remaining votes that favour the leader is Beta-binomial (`catch_up_probability`). Let (mu+, s+^2) be
    the mean and variance of the positive margins and (mu-, s-^2) those of the absolute negative margins. Given K = k,
    the final margin is approximately normal:

        D_m | k  ~  N(D + k mu+ - (m - k) mu-,  k s+^2 + (m - k) s-^2)

    and the result is the sum over k of P(K = k) P(D_m <= 0 | k). Few votes cannot rule out larger margins, so both
    samples of margins get one pseudo-observation: the largest absolute margin seen, or `unseen` if that is larger. If
    all margins are 1 or -1 and `unseen` is at most 1, both variances are 0 and this equals `catch_up_probability`.
    """
    total = sum(leads)
    if total <= 0:
        return 1.0
    largest = max(unseen, *map(abs, leads))
    ours, theirs = [lead for lead in leads if lead > 0], [-lead for lead in leads if lead < 0]
    gain, gain_variance = _moments([*ours, largest])
    loss, loss_variance = _moments([*theirs, largest])
    return sum(
        probability
        * _at_most_zero(
            total + k * gain - (remaining - k) * loss,
            k * gain_variance + (remaining - k) * loss_variance,
            ROUNDING * largest,
        )
        for k, probability in enumerate(_predictive(len(ours), len(theirs), remaining))
    )


def _moments(sizes: Sequence[float]) -> tuple[float, float]:
    """Mean and population variance."""
    mean = fmean(sizes)
    return mean, fmean((size - mean) ** 2 for size in sizes)


def _at_most_zero(mean: float, variance: float, rounding: float) -> float:
    """P(X <= 0) for a normal X. With a standard deviation of at most `rounding`, X is a constant up to rounding."""
    if sqrt(variance) <= rounding:
        return float(mean <= rounding)
    return erfc(mean / sqrt(2 * variance)) / 2


def log_beta(a: float, b: float) -> float:
    """The natural logarithm of the Beta function."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) if 0 <= k <= n else -inf
