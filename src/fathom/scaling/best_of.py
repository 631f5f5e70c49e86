"""The best of n solutions by their scores, and of several that are best, the one whose answer most solutions give.

    best_of((9.0, 9.0, 4.0), ("12", "15", "15"))                           # 1

Self-PRM's way of choosing ("Is PRM Necessary?", arXiv 2505.11227).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence


def best_of(scores: Sequence[float], answers: Sequence[Hashable]) -> int | None:
    """The index of the first solution with the winning answer among those with the highest score.

    `answers[i]` is the final answer of solution i, so spelt that equal answers are equal. All n solutions vote on a
    tie. None where the votes are tied too: that is never a coin. Raises ValueError where there are not as many of both.
    """
    if len(scores) != len(answers) or not scores:
        raise ValueError(f"each solution needs a score and an answer; got {len(scores)} scores, {len(answers)} answers")
    best = [i for i, score in enumerate(scores) if score == max(scores)]
    votes = Counter(answers)
    most = max(votes[answers[i]] for i in best)
    leading = [i for i in best if votes[answers[i]] == most]
    return leading[0] if len({answers[i] for i in leading}) == 1 else None
