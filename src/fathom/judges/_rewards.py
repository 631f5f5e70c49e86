"""Rewards for reinforcement learning: pure functions of a vote and a label.

    verdict_reward(vote, comparison.label)          # +1.0 or -1.0

`Judge.vote_reward` picks the reward of the judge's paper. An unreadable vote earns the same as a wrong one, so a model
gains nothing by hedging or by writing on.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite, sqrt

from fathom.data.records import Comparison, Label
from fathom.data.steps import first_error
from fathom.errors import FathomError
from fathom.judges._verdict import Vote
from fathom.rationale import Status

STRENGTHS = (1, 2, 3)
"""Preference strengths of Think-RM: slightly better, better, much better."""


def required_label(comparison: Comparison) -> Label:
    """The label. Raises FathomError for a comparison without one."""
    if comparison.label is None:
        raise FathomError(
            f"comparison {comparison.id!r} has no label; expected one to compute the reward from; leave such "
            "comparisons out"
        )
    return comparison.label


def verdict_reward(vote: Vote, label: Label) -> float:
    """+1.0 if the vote names the label's winner; -1.0 for wrong, tied, unreadable and missing verdicts.

    Sources: arXiv 2603.01571, section on RLVR; arXiv 2505.02387, equation 8. Raises ValueError for a label without a
    winner, and for one that scores a single response: a vote on it has no winner.
    """
    if label.response_scores is not None and len(label.response_scores) == 1:
        raise ValueError("the label scores a single response, for which this judge has no reward; leave it out")
    if label.winner is None:
        raise ValueError("the label names no winner, so it gives no reward; leave such comparisons out")
    return 1.0 if vote.status is Status.OK and vote.winner == label.winner else -1.0


def unique_best_reward(vote: Vote, label: Label) -> float:
    """The reward of SPCT: +1.0 if the labelled best response alone has the highest score, -1.0 otherwise.

    A tie for the best is wrong. For a single response, the score must equal the label's score, which is 0 or 1. Source:
    arXiv 2504.02495, equations 10 and 11. Raises ValueError for a label that names no best of several responses, and
    for a score of a single response other than 0 and 1.
    """
    if label.scores is not None and len(label.scores) == 1:
        if label.scores[0] not in (0.0, 1.0):
            raise ValueError(f"the label gives a single response the score {label.scores[0]:g}; expected 0 or 1")
        return 1.0 if vote.scores == label.scores else -1.0
    return verdict_reward(vote, label)


def accuracy_reward(vote: Vote, label: Label) -> float:
    """`unique_best_reward` on the scale 0.0 or 1.0.

    Sources: arXiv 2505.16265 (Think-RM, binary); arXiv 2507.21645 (Libra-RM), without its length penalty, whose formula
    is unknown to us.
    """
    return float(unique_best_reward(vote, label) > 0)


def strength_reward(vote: Vote, label: Label) -> float:
    """1.0 for the labelled winner and strength, 0.5 for the winner with another strength, 0.0 otherwise.

    The strength is the difference between the two scores, in the vote and in the label. Source: arXiv 2505.16265,
    multiclass Think-RM. Raises ValueError for a label without two different scores, and for a strength outside
    `STRENGTHS`, which no verdict can express.
    """
    if label.scores is None or len(label.scores) != 2 or label.winner is None:
        raise ValueError(
            f"got the label {label.model_dump(exclude_none=True)}; expected two different scores, whose difference is "
            "the strength"
        )
    strength = label.scores[0] - label.scores[1]
    if abs(strength) not in STRENGTHS:
        raise ValueError(
            f"the label's scores {label.scores[0]:g} and {label.scores[1]:g} differ by {abs(strength):g}; expected a "
            "difference of 1, 2 or 3 (labels=binary accepts any label with a winner)"
        )
    if vote.scores is None or vote.winner != label.winner:
        return 0.0
    return 1.0 if vote.scores[0] - vote.scores[1] == strength else 0.5


def solving_reward(vote: Vote, label: Label, solved: bool | None, weight: float) -> float:
    """`verdict_reward`, plus `weight` if the judge's own solution in the same text is right.

    `solved` is None if the solution could not be checked, which adds nothing. The weights of S2J (arXiv 2509.22099) are
    unknown to us. A `weight` below 1 ensures that a right solution never makes up for a wrong verdict. Raises
    ValueError for a weight outside [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"the weight of solving is {weight}; expected at least 0 and below 1")
    return verdict_reward(vote, label) + weight * (solved is True)


def steps_reward(vote: Vote, label: Label) -> float:
    """+1.0 if the vote's verdicts agree with the labels of the steps up to the first wrong one, -1.0 otherwise.

    A step is right from 0.5 on. For a single response whose vote scores steps. Source: the filter of ThinkPRM, arXiv
    2504.16828, section 3.2. Raises ValueError for a label that does not name a first wrong step or none: one without
    labels of steps, of several responses, or with an unlabelled step before the first wrong one.
    """
    if label.steps is None or len(label.steps) != 1:
        raise ValueError(
            f"got the label {label.model_dump(exclude_none=True)}; expected labels of one response's steps"
        )
    (steps,) = label.steps
    wrong = first_error(steps)
    if None in steps[:wrong]:
        raise ValueError(
            f"step {steps.index(None) + 1} has no label, so it is unknown which step is the first wrong one"
        )
    if vote.status is not Status.OK or vote.step_scores is None:
        return -1.0
    (scores,) = vote.step_scores
    return 1.0 if len(scores) == len(steps) and first_error(scores) == wrong else -1.0


def solution_reward(vote: Vote, label: Label) -> float:
    """+1.0 if the vote calls a single response right or wrong as the label does, -1.0 otherwise; both from 0.5 on.

    A response with labels of steps is as right as its worst step. Raises ValueError for a label without one score.
    """
    known = label.response_scores
    if known is None or len(known) != 1:
        raise ValueError(
            f"got the label {label.model_dump(exclude_none=True)}; expected the score of a single response"
        )
    return 1.0 if vote.scores is not None and (vote.scores[0] >= 0.5) == (known[0] >= 0.5) else -1.0


def pairwise_advantages(differences: Sequence[Sequence[float]], *, epsilon: float = 0.0) -> list[float]:
    """Pairwise advantages for GRPO: A_i = mean_j d_ij / s, one per sample.

    `differences[i][j]` = d_ij = -d_ji is how much better sample i of a prompt is than sample j of its G >= 2 samples,
    and 0 for an unreadable judgment. The scale is s^2 = sum_ij d_ij^2 / (2 G (G - 1)) + `epsilon`. If d_ij = r_i - r_j
    for rewards r, then s^2 is their sample variance (plus `epsilon`) and the A_i are their z-scores. Circular
    preferences of equal size give advantages of 0. Source: arXiv 2505.16265, pairwise RLHF. Raises ValueError for a
    matrix that is not square, finite and skew-symmetric.
    """
    count = len(differences)
    pairs = [(i, j) for i in range(count) for j in range(count)]
    if count < 2 or any(len(row) != count for row in differences):
        raise ValueError(f"differences must be a square matrix of at least 2 samples; got {count} rows")
    if not all(isfinite(differences[i][j]) for i, j in pairs):
        raise ValueError("differences must be finite numbers; leave samples with infinite scores out")
    if any(differences[i][j] != -differences[j][i] for i, j in pairs):
        raise ValueError("differences must be skew-symmetric: differences[i][j] == -differences[j][i]")
    variance = fsum(differences[i][j] ** 2 for i, j in pairs) / (2 * count * (count - 1)) + epsilon
    return [fsum(row) / count / sqrt(variance) if variance else 0.0 for row in differences]
