"""The best of n solutions by their scores, and of several that are best, the one whose answer most solutions give.

    best_of((9.0, 9.0, 4.0), ("12", "15", "15"))                           # 1
    verdict = await SelfPRMJudge(engine=policy)(comparison)
    best_of(scores_alone(verdict.votes), answers)                          # the best of those that could be read

Self-PRM's way of choosing ("Is PRM Necessary?", arXiv 2505.11227). A verdict has no scores where one solution could not
be read; here the others go on, and a None among the scores says which cannot be chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import fmean

from fathom.errors import FathomError
from fathom.judges import Vote
from fathom.rationale import Status


def best_of(scores: Sequence[float | None] | None, answers: Sequence[Hashable]) -> int | None:
    """The index of the first solution with the winning answer among those with the highest score.

    `answers[i]` is the final answer of solution i, so spelt that equal answers are equal. All n solutions vote on a
    tie, also those whose score is None, which are never chosen. None where the votes are tied too: that is never a
    coin. Raises ValueError where there are not as many of both, FathomError where no solution has a score.
    """
    if scores is None:
        raise FathomError(
            "a verdict has no scores where a solution could not be read: scores_alone(verdict.votes) has those of the "
            "others, and None for each that is missing"
        )
    if len(scores) != len(answers) or not scores:
        raise ValueError(f"each solution needs a score and an answer; got {len(scores)} scores, {len(answers)} answers")
    found = [score for score in scores if score is not None]
    if not found:
        raise FathomError(f"none of {len(scores)} solutions has a score: what was written about them cannot be read")
    best = [i for i, score in enumerate(scores) if score == max(found)]
    votes = Counter(answers)
    most = max(votes[answers[i]] for i in best)
    leading = [i for i in best if votes[answers[i]] == most]
    return leading[0] if len({answers[i] for i in leading}) == 1 else None


def scores_alone(votes: Sequence[Vote]) -> tuple[float | None, ...]:
    """For each response the mean of its scores in the votes that count; None where none of them could be read on it.

    Raises FathomError for votes of a judge that sees several responses at once, and for no votes.
    """
    cast = [vote.parts or (vote,) for vote in votes if vote.counted]
    if not cast or any(len(part.order) > 1 for parts in cast for part in parts):
        raise FathomError(
            "scores of responses alone are told by votes of a judge that sees one at a time, such as libra"
        )
    return tuple(_mean(parts) for parts in zip(*cast, strict=True))


def _mean(parts: Sequence[Vote]) -> float | None:
    told = [part.scores[0] for part in parts if part.status is Status.OK and part.scores]
    return fmean(told) if told else None
