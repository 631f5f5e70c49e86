"""Best-of-n by score, with ties broken by a majority vote over the final answers.

    best_of((9.0, 9.0, 4.0), ("12", "15", "15"))                           # 1
    verdict = await SelfPRMJudge(engine=policy)(comparison)
    best_of(pointwise_scores(verdict.votes), answers)                          # the best solution with a readable score

Method: Self-PRM ("Is PRM Necessary?", arXiv 2505.11227). A verdict has no scores if the text on any solution is
unreadable. `pointwise_scores` keeps the other scores and has None for that solution, which cannot be chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import fmean

from fathom.errors import FathomError
from fathom.judges import Vote
from fathom.rationale import Status


def best_of(scores: Sequence[float | None] | None, answers: Sequence[Hashable]) -> int | None:
    """The index of the best solution: the highest score, then the most frequent answer, then the smallest index.

    `answers[i]` is the final answer of solution i, normalized so that equivalent answers compare equal. All n solutions
    vote on a tie, including those with score None, which are never chosen themselves. Returns None if the answers tie
    too; nothing is drawn at random. Raises ValueError if `scores` and `answers` differ in length or are empty,
    FathomError if no solution has a score.
    """
    if scores is None:
        raise FathomError(
            "the verdict has no scores because the text on at least one solution could not be parsed; pass "
            "pointwise_scores(verdict.votes), which has None for each such solution"
        )
    if len(scores) != len(answers) or not scores:
        raise ValueError(
            f"expected a score and an answer per solution; got {len(scores)} scores, {len(answers)} answers"
        )
    known = [score for score in scores if score is not None]
    if not known:
        raise FathomError(
            f"none of the {len(scores)} solutions has a score, because no text about them could be parsed; expected "
            "at least one"
        )
    best = [i for i, score in enumerate(scores) if score == max(known)]
    votes = Counter(answers)
    most = max(votes[answers[i]] for i in best)
    leading = [i for i in best if votes[answers[i]] == most]
    return leading[0] if len({answers[i] for i in leading}) == 1 else None


def pointwise_scores(votes: Sequence[Vote]) -> tuple[float | None, ...]:
    """Each response's mean score over the votes of a pointwise judge that count; None if none could be read.

    Raises FathomError for no votes and for votes of a judge that sees several responses at once.
    """
    cast = [vote.per_response or (vote,) for vote in votes if vote.included]
    if not cast or any(len(part.order) > 1 for parts in cast for part in parts):
        raise FathomError("expected at least one vote of a pointwise judge, such as libra")
    return tuple(_mean_score(parts) for parts in zip(*cast, strict=True))


def _mean_score(parts: Sequence[Vote]) -> float | None:
    scores = [part.scores[0] for part in parts if part.status is Status.OK and part.scores]
    return fmean(scores) if scores else None
