"""Critics that name the first wrong step of a solution: what that says about each of its steps."""

from __future__ import annotations

from fathom.data.records import Comparison
from fathom.judges._verdict import Vote
from fathom.rationale import Status


def first_error_vote(first_error: int | None, comparison: Comparison, unsplit: int) -> Vote:
    """The vote on a single response whose first wrong step has this index, from 0; None where all are right.

    Steps before the first wrong one are right. Nothing is said about later ones. `unsplit` is the number of steps where
    the comparison does not give them; a critic that counts further is believed then, and is invalid otherwise.
    """
    given = None if comparison.steps is None else len(comparison.steps[0])
    if given is not None and first_error is not None and first_error >= given:
        return Vote(Status.INVALID, error=f"step {first_error} is named, counted from 0; there are {given}")
    if first_error is None:
        return Vote(Status.OK, step_scores=((1.0,) * (given or max(unsplit, 1)),))
    after = max((unsplit if given is None else given) - first_error - 1, 0)
    return Vote(Status.OK, step_scores=((*(1.0,) * first_error, 0.0, *(None,) * after),))
