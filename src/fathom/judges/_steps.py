"""Step scores from the index of the first wrong step, which is what judges such as `processbench` report."""

from __future__ import annotations

from fathom.data.records import Comparison
from fathom.judges._verdict import Vote
from fathom.rationale import Status


def first_error_vote(first_error: int | None, comparison: Comparison, unsplit: int) -> Vote:
    """The vote on a single response whose first wrong step has the 0-based index `first_error` (None: no wrong step).

    Steps before the first wrong one score 1.0 and that step 0.0. Later steps score None: the judge did not judge them.
    `unsplit` is the number of steps in the text, for comparisons without explicit steps. An index beyond the
    comparison's own steps is invalid. Beyond `unsplit` it is accepted: the judge may split the text differently.
    """
    given = None if comparison.steps is None else len(comparison.steps[0])
    if given is not None and first_error is not None and first_error >= given:
        return Vote(Status.INVALID, error=f"first wrong step {first_error} (0-based); expected an index below {given}")
    if first_error is None:
        return Vote(Status.OK, step_scores=((1.0,) * (given or max(unsplit, 1)),))
    after = max((unsplit if given is None else given) - first_error - 1, 0)
    return Vote(Status.OK, step_scores=((*(1.0,) * first_error, 0.0, *(None,) * after),))
