"""The calibration of step scores: is a step with the score p right with probability p, and does a temperature help?

    found = StepCalibration()
    found.add(0.97, right=False, problem=prompt_key(row))
    found.raw.ece, found.temperature, found.tempered.ece

A temperature T > 0 replaces the score p by sigmoid(log(p / (1 - p)) / T). It keeps the order of scores, so it changes
neither AUC nor, at the threshold 0.5, the first error. T is the one with the highest likelihood of the labels (Guo et
al. 2017, arXiv 1706.04599). It is fitted on the steps of one half of the problems and applied to those of the other,
because on its own steps any fit looks calibrated.

One number cannot correct a model that is too sure of right steps and not sure enough of wrong ones.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from fathom.judges import log_odds, tempered
from fathom.metrics.calibration import Calibration
from fathom.metrics.margins import fit_temperature


@dataclass
class StepCalibration:
    """Collects step scores, 0 to 1, and whether the steps are right, by half of the problems."""

    scores: tuple[array[float], array[float]] = field(default_factory=lambda: (array("d"), array("d")))
    right: tuple[array[int], array[int]] = field(default_factory=lambda: (array("b"), array("b")))

    def add(self, score: float, *, right: bool, problem: int) -> None:
        """Add a step. `problem` is the hash of its problem (`rows.prompt_key`), whose steps stay in one half."""
        self.scores[problem % 2].append(min(max(score, 0.0), 1.0))
        self.right[problem % 2].append(right)

    @property
    def raw(self) -> Calibration:
        """The calibration of the scores as they are."""
        return self._calibration((1.0, 1.0))

    @property
    def temperature(self) -> float | None:
        """The temperature fitted on all steps, for later use; None if none fits (`fit`)."""
        return fit([*self.scores[0], *self.scores[1]], [*self.right[0], *self.right[1]])

    @property
    def tempered(self) -> Calibration | None:
        """The calibration of each half with the temperature of the other; None if a half has no temperature."""
        first, second = (fit(*half) for half in zip(self.scores, self.right, strict=True))
        return None if first is None or second is None else self._calibration((second, first))

    def _calibration(self, temperatures: Sequence[float]) -> Calibration:
        found = Calibration()
        for scores, right, temperature in zip(self.scores, self.right, temperatures, strict=True):
            for score, is_right in zip(scores, right, strict=True):
                found.add(tempered(score, temperature), right=bool(is_right))
        return found


def fit(scores: Sequence[float], right: Sequence[int]) -> float | None:
    """The temperature with the highest likelihood of the labels; None if there is none.

    With y = 1 for right and -1 for wrong steps, a label has the probability sigmoid(y log-odds / T), as the margins of
    `fathom.metrics.margins.fit_temperature` have. There is none for verdicts of 0 and 1, which have no degree.
    """
    if all(score in (0.0, 1.0) for score in scores):
        return None
    return fit_temperature(
        [log_odds(score) * (1 if is_right else -1) for score, is_right in zip(scores, right, strict=True)]
    )
