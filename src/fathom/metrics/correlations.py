"""How two measurements of the same items go together: Pearson's r, Spearman's rho and Kendall's tau-b.

    >>> correlations([1, 2, 3], [2, 4, 6]).kendall
    1.0

Without scipy, because a run is scored wherever it is judged. Kendall's takes time that grows with the square of the
number of items: a second for some thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Correlations(NamedTuple):
    """Each -1 to 1; not a number where either measurement is the same for all items."""

    pearson: float
    spearman: float
    kendall: float


def correlations(one: Sequence[float], other: Sequence[float]) -> Correlations:
    """Raises ValueError for two of different lengths, and for none."""
    if len(one) != len(other) or not one:
        raise ValueError(f"needs two measurements of each item, got {len(one)} and {len(other)}")
    x, y = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    return Correlations(_pearson(x, y), _pearson(_ranks(x), _ranks(y)), _kendall(x, y))


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    dx, dy = x - x.mean(), y - y.mean()
    spread = sqrt(float(dx @ dx) * float(dy @ dy))
    return float(dx @ dy) / spread if spread else nan


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: NDArray[np.float64] = (ends - (counts - 1) / 2)[place]
    return shared


def _kendall(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Tau-b: pairs that are equal in one measurement count for neither side."""
    agreeing, untied = 0.0, [0, 0]
    for i in range(len(x) - 1):
        dx, dy = np.sign(x[i + 1 :] - x[i]), np.sign(y[i + 1 :] - y[i])
        agreeing += float(dx @ dy)
        untied[0] += int(np.count_nonzero(dx))
        untied[1] += int(np.count_nonzero(dy))
    return agreeing / sqrt(untied[0] * untied[1]) if all(untied) else nan
