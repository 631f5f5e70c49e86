"""The ratio of two success rates that are known from samples.

    >>> round(probability_of_ratio(0.8, before=(5, 8), after=(3, 8)), 2)
    0.32

With uniform priors, the posterior of a rate after k successes in n trials is Beta(k + 1, n - k + 1). The probability
that p_after >= r p_before is then the integral over p_before of its density times the tail of p_after at r p_before. It
is computed by Gauss-Legendre quadrature; with 200 nodes the error is below 1e-5 for up to 10,000 trials.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Trials = tuple[int, int]
"""Successes and trials."""


@lru_cache(maxsize=65_536)
def probability_of_ratio(ratio: float, *, before: Trials, after: Trials) -> float:
    """The posterior probability that the rate `after` is at least `ratio` times the rate `before`.

    Raises ValueError for a negative ratio, or for more successes than trials.
    """
    from scipy.special import betainc
    from scipy.stats import beta

    for successes, trials in (before, after):
        if not 0 <= successes <= trials:
            raise ValueError(f"got {successes} successes in {trials} trials, expected 0 to {trials}")
    if ratio < 0:
        raise ValueError(f"got the ratio {ratio}, expected at least 0")
    # In the quantile u of p_before the integrand is smooth and bounded: the integral of tail(r F^-1(u)) over [0, 1].
    # Where r p_before exceeds 1, it is 0. The integral ends there, because the nodes would step over the bend.
    nodes, weights = _quadrature()
    posterior = (before[0] + 1, before[1] - before[0] + 1)
    end = float(beta.cdf(1 / ratio, *posterior)) if ratio > 1 else 1.0
    rates = beta.ppf(end * nodes, *posterior)
    tails = 1 - betainc(after[0] + 1, after[1] - after[0] + 1, np.minimum(ratio * rates, 1.0))
    return float(end * weights @ tails)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return (nodes + 1) / 2, weights / 2
