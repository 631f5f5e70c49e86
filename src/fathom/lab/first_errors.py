"""How well step scores find first errors: F1 at a threshold tuned on other solutions, and the AUC up to the error.

tuned_f1(tuning, test), auc_up_to_error(test)       # of (scores of all steps, first error or None)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from fathom.data.steps import first_error
from fathom.metrics.separation import auc
from fathom.metrics.steps import first_error_accuracy, right_thresholds

THRESHOLDS = tuple(k / 50 for k in range(1, 50))
"""For arms that tune their threshold on a grid."""
Scored = tuple[Sequence[float], int | None]
"""The scores of a solution's steps, and the index of its first wrong step; None if all are right."""


def f1(items: Sequence[Scored], threshold: float) -> float:
    """ProcessBench's F1 of the first step that scores below the threshold; 0 without solutions of both kinds."""
    named = (((first_error(scores, threshold),), error) for scores, error in items)
    return first_error_accuracy(named).f1 or 0.0


def best_threshold(items: Sequence[Scored]) -> float:
    """The threshold with the highest F1 among those at which the judgment of some solution changes."""
    found = [(right_thresholds(scores, error), error is not None) for scores, error in items]
    candidates = sorted({each.high for each, _ in found if -inf < each.high < inf})

    def shares(threshold: float) -> float:
        hits = {kind: [threshold in each for each, wrong in found if wrong is kind] for kind in (True, False)}
        erroneous, correct = (sum(kind) / len(kind) if kind else 0.0 for kind in hits.values())
        return erroneous * correct / (erroneous + correct) if erroneous + correct else 0.0

    return max(candidates, key=shares, default=0.0)


def tuned_f1(tuning: Sequence[Scored], test: Sequence[Scored]) -> float:
    """F1 on `test` at the threshold that is best on `tuning`."""
    return f1(test, best_threshold(tuning))


def auc_up_to_error(items: Sequence[Scored]) -> float | None:
    """The AUC of the scores of right steps and first wrong ones. Steps after the first wrong one are left out."""
    right = [score for scores, error in items for score in scores[:error]]
    wrong = [scores[error] for scores, error in items if error is not None]
    return auc(right, wrong)
