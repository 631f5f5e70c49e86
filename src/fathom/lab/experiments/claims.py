"""Whether a claim holds, given one row per seed.

    decision = decide(claim, rows)
    decision.result, str(decision)      # "holds", "holds by count: 9 of 10 seeds succeed [0.55, 1.00]"

A claim holds if the intervals that decide lie above their thresholds, and does not hold if one lies below. Otherwise
it is undecided: the seeds are too few, or differ too much.

The interval that decides is fixed in the register (`Claim`). Where the mean was to decide but all seeds agree, or there
is one seed, no interval of the mean exists; the count of successful seeds then decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from fathom.errors import FathomError
from fathom.lab.experiments.register import Claim
from fathom.lab.experiments.results import Figure, Row, figure
from fathom.metrics.intervals import Interval, clopper_pearson

HALF = 0.5
"""The share of successful seeds above which the interval of a claim that is counted must lie."""


Result = Literal["holds", "does not hold", "undecided"]


class Decision(NamedTuple):
    claim: Claim
    result: Result
    decided_by: Literal["mean", "count"]
    contrasts: Mapping[str, Figure]
    successes: tuple[bool, ...]
    """For each seed, whether all contrasts lie above their thresholds."""
    share: Interval
    """The share of successful seeds, with its Clopper-Pearson interval."""

    @property
    def holds(self) -> bool:
        return self.result == "holds"

    def __str__(self) -> str:
        successes, seeds = sum(self.successes), len(self.successes)
        share = f"{successes} of {seeds} seeds succeed [{self.share.low:.2f}, {self.share.high:.2f}]"
        return f"{self.result} by {self.decided_by}: {share}"


def decide(claim: Claim, rows: Sequence[Row]) -> Decision:
    """Raises FathomError for a row without one of the claim's contrasts, and for no rows."""
    contrasts = {words: _over(words, rows, claim) for words in claim.contrasts}
    successes = tuple(succeeds(claim, row) for row in rows)
    share = clopper_pearson(sum(successes), len(successes))
    if share is None:
        raise FathomError(f"claim {claim.name}: no seed has run; expected at least one row")
    intervals = [(contrasts[words].interval, threshold) for words, threshold in claim.contrasts.items()]
    means = [(interval, threshold) for interval, threshold in intervals if interval]
    by_mean = claim.decided_by == "mean" and len(means) == len(intervals)
    result = _result(means if by_mean else [(share, HALF)])
    return Decision(claim, result, "mean" if by_mean else "count", contrasts, successes, share)


def _result(intervals: Sequence[tuple[Interval, float]]) -> Result:
    """From each deciding interval and its threshold."""
    if all(interval.low > threshold for interval, threshold in intervals):
        return "holds"
    return "does not hold" if any(interval.high <= threshold for interval, threshold in intervals) else "undecided"


def succeeds(claim: Claim, row: Row) -> bool:
    """Whether all contrasts of this seed lie above their thresholds."""
    return all(row.contrasts[words] > threshold for words, threshold in claim.contrasts.items())


def _over(words: str, rows: Sequence[Row], claim: Claim) -> Figure:
    for row in rows:
        if words not in row.contrasts:
            raise FathomError(
                f"claim {claim.name}: seed {row.seed} has no contrast {words!r}; it has {', '.join(row.contrasts)}"
            )
    by_cluster = [row.by_cluster[words] for row in rows if words in row.by_cluster]
    return figure([row.contrasts[words] for row in rows], by_cluster)
