"""Correlation of two measurements of the same items: Pearson's r, Spearman's rho and Kendall's tau-b.

    >>> correlations([1, 2, 3], [2, 4, 6]).kendall
    1.0

Computed with numpy alone: scoring need not import scipy.stats. Kendall's tau takes time quadratic in the number of
items: about a second for several thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Correlations(NamedTuple):
    """Each -1 to 1; NaN if either measurement is the same for all items."""

    pearson: float
    spearman: float
    kendall: float


def correlations(one: Sequence[float], other: Sequence[float]) -> Correlations:
    """Correlate two measurements; `one[i]` and `other[i]` are of item i.

    Raises ValueError if they have different lengths or are empty.
    """
    if len(one) != len(other) or not one:
        raise ValueError(f"expected two measurements per item, got {len(one)} and {len(other)}")
    x, y = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    return Correlations(_pearson(x, y), _pearson(_ranks(x), _ranks(y)), _kendall(x, y))


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rho alone; NaN if either measurement is the same for all items."""
    return _pearson(_ranks(np.asarray(one, dtype=float)), _ranks(np.asarray(other, dtype=float)))


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    dx, dy = x - x.mean(), y - y.mean()
    spread = sqrt(float(dx @ dx) * float(dy @ dy))
    return float(dx @ dy) / spread if spread else nan


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of their ranks (midranks)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: NDArray[np.float64] = (ends - (counts - 1) / 2)[place]
    return shared


def _kendall(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """tau-b = (C - D) / sqrt((P - T_x) (P - T_y)) (Kendall 1945, Biometrika 33).

    Of P pairs of items, C are concordant and D discordant; T_x and T_y are tied in x and in y.
    """
    agreeing, untied = 0.0, [0, 0]
    for i in range(len(x) - 1):
        dx, dy = np.sign(x[i + 1 :] - x[i]), np.sign(y[i + 1 :] - y[i])
        agreeing += float(dx @ dy)  # +1 for a concordant pair, -1 for a discordant one, 0 for a tied one
        untied[0] += int(np.count_nonzero(dx))
        untied[1] += int(np.count_nonzero(dy))
    return agreeing / sqrt(untied[0] * untied[1]) if all(untied) else nan
