"""Rewards for reinforcement learning, as pure functions of a vote and what is known to be right.

    verdict_reward(vote, comparison.label)          # +1.0 or -1.0

`Judge.vote_reward` picks the reward of the judge's paper. An unreadable vote earns the same as a wrong one, so a model
gains nothing by hedging or by writing on.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite, sqrt

from fathom.data.records import Label
from fathom.judges._verdict import Vote
from fathom.rationale import Status

STRENGTHS = (1, 2, 3)
"""How much better a response can be, in the words of Think-RM: slightly, better, much."""


def verdict_reward(vote: Vote, label: Label) -> float:
    """+1.0 when the vote names the label's winner; -1.0 for wrong, tied, unreadable and missing verdicts alike.

    Sources: arXiv 2603.01571, section on RLVR; arXiv 2505.02387, equation 8. Raises ValueError for a label without a
    winner: nothing could be right.
    """
    if label.winner is None:
        raise ValueError("a label without a winner rewards nothing; leave such comparisons out")
    return 1.0 if vote.status is Status.OK and vote.winner == label.winner else -1.0


def unique_best_reward(vote: Vote, label: Label) -> float:
    """+1.0 when the vote is right about all responses, -1.0 otherwise: the reward of SPCT.

    Of several responses the labelled best must have the highest score alone: a tie is wrong. The score of a single one
    must be the label's, which is 0 or 1. Source: arXiv 2504.02495, equations 10 and 11. Raises ValueError for a label
    that names no best of several, or another score of one.
    """
    if label.scores is not None and len(label.scores) == 1:
        if label.scores[0] not in (0.0, 1.0):
            raise ValueError(f"the label scores a single response {label.scores[0]:g}; allowed are 0 and 1")
        return 1.0 if vote.scores == label.scores else -1.0
    return verdict_reward(vote, label)


def accuracy_reward(vote: Vote, label: Label) -> float:
    """1.0 where `unique_best_reward` is +1.0, else 0.0: the same order, another scale.

    Sources: arXiv 2505.16265 (Think-RM, binary); arXiv 2507.21645 (Libra-RM), without its length penalty, whose formula
    we do not know.
    """
    return float(unique_best_reward(vote, label) > 0)


def strength_reward(vote: Vote, label: Label) -> float:
    """1.0 for the labelled winner and strength, 0.5 for the winner alone, 0.0 for all else.

    The strength is the difference of the two scores, in the vote and in the label. Source: arXiv 2505.16265, multiclass
    Think-RM. Raises ValueError for a label without two different scores, and for a strength that is none of
    `STRENGTHS`, which no verdict can name.
    """
    if label.scores is None or len(label.scores) != 2 or label.winner is None:
        raise ValueError(
            "a strength is rewarded by a label with two different scores, whose difference is the strength"
        )
    strength = label.scores[0] - label.scores[1]
    if abs(strength) not in STRENGTHS:
        raise ValueError(
            f"the label's scores {label.scores[0]:g} and {label.scores[1]:g} differ by {abs(strength):g}; allowed are "
            "1, 2 and 3, which a verdict can name (the judge's labels=binary takes any label with a winner)"
        )
    if vote.scores is None or vote.winner != label.winner:
        return 0.0
    return 1.0 if vote.scores[0] - vote.scores[1] == strength else 0.5


def solving_reward(vote: Vote, label: Label, solved: bool | None, weight: float) -> float:
    """`verdict_reward` plus `weight` where the judge's own solution is right: both of one text.

    `solved` is None where nobody can tell, which pays nothing. The weights of S2J (arXiv 2509.22099) are unknown to us:
    `weight` is ours, 0 to below 1, so that no solution makes up for a wrong verdict. Raises ValueError for another one.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"the weight of solving is {weight}; allowed is 0 or more, and below 1")
    return verdict_reward(vote, label) + weight * (solved is True)


def difference_advantages(differences: Sequence[Sequence[float]], *, epsilon: float = 0.0) -> list[float]:
    """The advantages of G >= 2 samples of one prompt, from how much better each is than each: no rewards in between.

    `differences[i][j]` is how much better sample i is than j, and minus `differences[j][i]`; 0 where a judgement could
    not be read. Where it is r_i - r_j these are the z-scores of r with the variance of n - 1; preferences in a circle
    give exactly 0. `epsilon` is added to the variance. Source: arXiv 2505.16265, pairwise RLHF. Raises ValueError for a
    matrix that is not skew-symmetric or not finite.
    """
    count = len(differences)
    pairs = [(i, j) for i in range(count) for j in range(count)]
    if count < 2 or any(len(row) != count for row in differences):
        raise ValueError(f"differences must be square, of 2 samples or more; got {count} rows")
    if not all(isfinite(differences[i][j]) for i, j in pairs):
        raise ValueError("differences must be finite numbers; leave samples with infinite scores out")
    if any(differences[i][j] != -differences[j][i] for i, j in pairs):
        raise ValueError("differences must be skew-symmetric: what i is better than j, j is worse than i")
    variance = fsum(differences[i][j] ** 2 for i, j in pairs) / (2 * count * (count - 1)) + epsilon
    return [fsum(row) / count / sqrt(variance) if variance else 0.0 for row in differences]
