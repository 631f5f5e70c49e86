"""Margins: how far the score of the labelled response is above another, for reward models that write no text.

    margins = Margins()
    margins.add(2.1, prompt)                # right by 2.1
    margins.temperature                     # 1.8: sigmoid(margin / 1.8) is calibrated best
    margins.by_size()                       # the accuracy of small and of large margins

A scalar model trained by Bradley-Terry says that the response with the higher score is better with probability
sigmoid(margin). Its scale is a free parameter, because accuracy does not depend on it: models of equal accuracy are
compared by calibration only after a temperature is fitted (Guo et al. 2017, arXiv 1706.04599). The temperature is
fitted on one half of the prompts and judged on the other, since on its own pairs any fit looks calibrated.

Not guaranteed: that scores which are no log-odds, such as log-probabilities of texts, have a meaningful ECE without a
temperature.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from fathom.metrics.calibration import Calibration, raw_scores
from fathom.results.rows import VerdictRow

PARTS = 4


class Part(NamedTuple):
    """The pairs whose margins have a size from `low` to `high`."""

    low: float
    high: float
    pairs: int
    accuracy: float
    """Equal scores count 0.5."""


@dataclass
class Margins:
    """Collects the margins of pairs: above 0 if the labelled response has the higher score."""

    halves: tuple[array[float], array[float]] = field(default_factory=lambda: (array("d"), array("d")))
    """The margins of each half of the prompts."""

    def add(self, margin: float, prompt: int) -> None:
        """Add a pair; `prompt` is the hash of its prompt (`rows.prompt_key`), whose pairs stay in one half."""
        self.halves[prompt % 2].append(margin)

    @property
    def values(self) -> list[float]:
        return [*self.halves[0], *self.halves[1]]

    @property
    def temperature(self) -> float | None:
        """The temperature fitted on all pairs; None if there is none (`fit_temperature`)."""
        return fit_temperature(self.values)

    @property
    def ece_with_temperature(self) -> float | None:
        """The expected calibration error of sigmoid(margin / temperature), with the other half's temperature.

        None if a half has no temperature.
        """
        first, second = self.halves
        fitted = fit_temperature(second), fit_temperature(first)
        if fitted[0] is None or fitted[1] is None:
            return None
        return _calibration(((first, fitted[0]), (second, fitted[1]))).ece

    def by_size(self, parts: int = PARTS) -> list[Part]:
        """The accuracy in parts of equally many pairs, from the smallest to the largest margins."""
        ordered = sorted(self.values, key=abs)
        edges = [len(ordered) * part // parts for part in range(parts + 1)]
        return [_part(ordered[low:high]) for low, high in pairwise(edges) if high > low]


def _part(margins: Sequence[float]) -> Part:
    right = fmean((margin > 0) + (margin == 0) / 2 for margin in margins)
    return Part(abs(margins[0]), abs(margins[-1]), len(margins), right)


def _calibration(groups: Sequence[tuple[Sequence[float], float]]) -> Calibration:
    """The calibration of pairs at a temperature per group. A pair with equal scores names no response."""
    from scipy.special import expit

    calibration = Calibration()
    for margins, temperature in groups:
        for margin in margins:
            if margin:
                calibration.add(float(expit(abs(margin) / temperature)), right=margin > 0)
    return calibration


def fit_temperature(margins: Sequence[float]) -> float | None:
    """The temperature T > 0 with the highest likelihood of the labels, sigmoid(margin / T) for each pair.

    With b = 1 / T, the loss, mean log(1 + exp(-b margin)), is convex in b. Its derivative, -mean(margin sigmoid(-b
    margin)), is -mean(margin) / 2 at b = 0 and grows with b, so its root is positive if the mean margin is, and finite
    if any margin is negative. Otherwise there is no temperature: the scores contradict the labels, or no pair is wrong
    and any smaller temperature is likelier. None then.
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import expit

    values = np.asarray(margins)
    if not len(values) or values.mean() <= 0 or values.min() >= 0:
        return None
    values = values / (scale := np.abs(values).max())

    def slope(b: float) -> float:
        return -float(np.mean(values * expit(-b * values)))

    high = 1.0
    while slope(high) < 0:
        high *= 2
        if np.isinf(high):
            return None
    return float(scale / brentq(slope, 0.0, high))


def row_margins(row: VerdictRow) -> list[float]:
    """The labelled response's score minus that of each other response; empty without a label or `raw_scores`."""
    scores, best = raw_scores(row), row["label"]
    if scores is None or best is None:
        return []
    return [scores[best] - score for place, score in enumerate(scores) if place != best]
