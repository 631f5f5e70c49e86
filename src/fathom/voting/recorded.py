"""Verdicts of completions that somebody else recorded, read as if the judge had asked for them.

    verdict = recorded(judge, comparison, [((0, 1), Completion("[[A]]")), ((1, 0), Completion("[[B]]"))])
    row = verdict_row(comparison, verdict)

So the transcripts of other tools become rows, and every figure can be computed of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fathom.data.records import Comparison
from fathom.engines import Completion
from fathom.judges import Judge, Verdict, Vote, side_by_side
from fathom.rationale import Status

Order = tuple[int, ...]


def recorded(judge: Judge, comparison: Comparison, told: Iterable[tuple[Order, Completion | None]]) -> Verdict:
    """The verdict by the judge's own rule and threshold; a completion that is None is a failed call.

    With each completion stands which responses it was shown, in their order: all of them, or, for a pointwise judge,
    one. Such a judge's completions come round by round: the first of every response, then the second of every one.
    Raises ValueError where there are none.
    """
    votes = [_vote(judge, comparison, order, completion) for order, completion in told]
    if judge.pattern == "pointwise":
        n = len(comparison.responses)
        votes = [side_by_side(votes[start : start + n]) for start in range(0, len(votes), n)]
    return judge.verdict(votes)


def _vote(judge: Judge, comparison: Comparison, order: Order, completion: Completion | None) -> Vote:
    if completion is None:
        return Vote(Status.FAILED, order=order, error="no completion was recorded")
    if judge.pattern == "pointwise":
        return judge.read_completion(completion, comparison.of(order))
    vote = judge.read_completion(completion, comparison.reordered(order))
    return replace(vote, order=tuple(range(len(order)))).seen_in(order)
