"""p-values over seeds, and Holm's correction, so that a table of twenty rows does not show one effect by chance alone.

>>> holm([0.01, 0.04, 0.03])
[0.03, 0.06, 0.06]
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for multiple tests by Holm's method.

    The probability that any corrected p below 0.05 is a false rejection is at most 5 %, however the tests depend on
    each other. Sorted p_(1) <= ... <= p_(m) become max_{j <= i} min(1, (m - j + 1) p_(j)). Source: Holm 1979,
    Scandinavian Journal of Statistics 6.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def student_p(values: Sequence[float]) -> float:
    """The two-sided p of Student's t test of a mean of zero; 1.0 where fewer than two values, or equal ones."""
    from scipy.special import stdtr

    if len(values) < 2 or max(values) == min(values):
        return 1.0
    return float(2 * stdtr(len(values) - 1, -abs(fmean(values)) / (stdev(values) / sqrt(len(values)))))


def same_rate_p(successes: Sequence[bool], others: Sequence[bool]) -> float:
    """The two-sided p of Fisher's exact test that two groups succeed at the same rate."""
    from scipy.stats import fisher_exact

    return float(fisher_exact([[sum(each), len(each) - sum(each)] for each in (successes, others)]).pvalue)
