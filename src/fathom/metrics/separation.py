"""Area under the ROC curve: how well scores separate right from wrong responses.

    >>> auc([0.9, 0.5], [0.5, 0.1])
    0.875

It is the probability that a right response scores higher than a wrong one, with ties counted 0.5 (Hanley and McNeil
1982, Radiology 143). It needs no threshold and no particular scale; chance is 0.5. Responses without a score are
ignored.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field


def auc(right: Sequence[float], wrong: Sequence[float]) -> float | None:
    """The area under the ROC curve, 0 to 1; None without right or without wrong responses."""
    if not right or not wrong:
        return None
    # A right score has bisect_left wrong scores below it, and bisect_right below or equal. Their mean counts ties 0.5.
    ordered = sorted(wrong)
    below = sum(bisect_left(ordered, score) + bisect_right(ordered, score) for score in right)
    return below / (2 * len(right) * len(wrong))


@dataclass
class Separation:
    """Collects the scores of right and of wrong responses."""

    right: array[float] = field(default_factory=lambda: array("d"))
    wrong: array[float] = field(default_factory=lambda: array("d"))

    def add(self, score: float | None, truth: bool | None) -> None:
        """Add a response; one without a score or without a label has no effect."""
        if score is not None and truth is not None:
            (self.right if truth else self.wrong).append(score)

    @property
    def auc(self) -> float | None:
        return auc(self.right, self.wrong)
