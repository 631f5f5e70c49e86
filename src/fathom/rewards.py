"""Rewards for reinforcement learning, as pure functions of a vote and what is known to be right.

    verdict_reward(vote, comparison.label)          # +1.0 or -1.0

Each judge names the one its paper trains with (`Judge.reward`). A vote that cannot be read is never better than a wrong
one, so a model gains nothing by hedging or by writing on.
"""

from __future__ import annotations

from fathom.rationale import Status
from fathom.records import Label
from fathom.verdict import Vote


def verdict_reward(vote: Vote, label: Label) -> float:
    """+1.0 when the vote names the label's winner; -1.0 for wrong, tied, unreadable and missing verdicts alike.

    Sources: arXiv 2603.01571, section on RLVR; arXiv 2505.02387, equation 8. Raises ValueError for a label without a
    winner: nothing could be right.
    """
    if label.winner is None:
        raise ValueError("a label without a winner rewards nothing; leave such comparisons out")
    return 1.0 if vote.status is Status.OK and vote.winner == label.winner else -1.0


def strictly_best_reward(vote: Vote, label: Label) -> float:
    """+1.0 when the vote is right about all responses, -1.0 otherwise: the reward of SPCT.

    Of several responses the labelled best must have the highest score alone: a tie is wrong. The score of a single one
    must be the label's, which is 0 or 1. Source: arXiv 2504.02495, equations 10 and 11. Raises ValueError for a label
    that names no best of several.
    """
    if label.scores is not None and len(label.scores) == 1:
        return 1.0 if vote.scores == label.scores else -1.0
    return verdict_reward(vote, label)
