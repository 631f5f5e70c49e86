"""How well scores tell right responses from wrong ones: the area under the ROC curve.

    >>> auc([0.9, 0.5], [0.5, 0.1])
    0.875

The chance that a right response has a higher score than a wrong one, where an equal one is half (Hanley and McNeil
1982, Radiology 143). No bound between right and wrong is needed, so it measures judges of any scale; 0.5 is what lots
earn. It says nothing of responses that got no score.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field


def auc(right: Sequence[float], wrong: Sequence[float]) -> float | None:
    """0 to 1; None where there are none of one kind."""
    if not right or not wrong:
        return None
    ordered = sorted(wrong)
    below = sum(bisect_left(ordered, score) + bisect_right(ordered, score) for score in right)
    return below / (2 * len(right) * len(wrong))


@dataclass
class Separation:
    """Scores as they come."""

    right: array[float] = field(default_factory=lambda: array("d"))
    wrong: array[float] = field(default_factory=lambda: array("d"))

    def add(self, score: float | None, truth: bool | None) -> None:
        """Leaves out what has no score, and what is not known to be right or wrong."""
        if score is not None and truth is not None:
            (self.right if truth else self.wrong).append(score)

    @property
    def auc(self) -> float | None:
        return auc(self.right, self.wrong)
