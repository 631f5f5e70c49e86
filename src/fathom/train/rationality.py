"""One reward and the rationality of each annotator, fitted together, with intervals (arXiv 2512.03208).

    fitted = fit(first - second, annotators, first_is_better)      # differences of features, (n, width)
    fitted.rationality["ann"]                                      # 1.7: labels more consistently than the average
    fitted.interval(x - y)                                         # the reward difference, with its 95 % interval
    fitted.pessimistic_best(candidates)                            # best-of-n by the lower bound

An annotator k prefers the first response with probability sigmoid(rationality_k * theta . (first - second)). Only the
product of rationality and theta is identified, so the mean logarithm of the rationalities is fixed to 0.

The likelihood is concave in theta and in the rationalities alone, and not in both. The paper alternates gradient steps;
here L-BFGS improves both at once, from the theta that ignores annotators, and ends in the same stationary point.

Not guaranteed: coverage in small samples, or if the reward is not linear in the features. Annotators who prefer the
worse response get a rationality near 0, because it cannot be negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from fathom.errors import FathomError
from fathom.metrics.intervals import Interval

Floats = NDArray[np.float64]
RIDGE = 1e-6
"""The least weight of |theta|^2 / 2: without it, separable data have no finite theta."""
LARGEST = 8.0
"""The largest logarithm of a rationality."""
Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Fitted:
    theta: Floats
    """The reward of a response is theta . features, (width,)."""
    rationality: Mapping[str, float]
    """Of each annotator, above 0; their geometric mean is 1."""
    covariance: Floats
    """Of theta, (width, width): the inverse of the Fisher information, with the rationalities estimated as well."""

    def interval(self, difference: Floats) -> Interval:
        """The difference of two rewards, given that of their features, with a normal interval of 95 %."""
        mean, half = float(self.theta @ difference), Z95 * self._error(difference)
        return Interval(mean, mean - half, mean + half)

    def pessimistic_best(self, candidates: Floats, level: float = 0.95) -> int:
        """The candidate, of (n, width), whose reward has the highest one-sided lower bound.

        Rewards are relative to the mean of the candidates, because only differences are identified.
        """
        centred = candidates - candidates.mean(0)
        errors = [self._error(each) for each in centred]
        bounds: Floats = centred @ self.theta - NormalDist().inv_cdf(level) * np.array(errors)
        return int(bounds.argmax())

    def _error(self, difference: Floats) -> float:
        return sqrt(max(0.0, float(difference @ self.covariance @ difference)))


def fit(
    differences: Floats, annotators: Sequence[str], first_is_better: Sequence[bool], *, ridge: float = RIDGE
) -> Fitted:
    """Fit to n labels: `differences`, (n, width), are the features of the first response minus those of the second.

    With a larger `ridge`, theta has a normal prior of this precision, and the logarithms of rationalities one of
    precision 1; estimates are then the most probable ones, and `covariance` that of Laplace's approximation. Labels may
    be fewer than parameters. Raises FathomError if they are without a prior, and for lengths that differ.
    """
    names = sorted(set(annotators))
    count, width = differences.shape
    if not count == len(annotators) == len(first_is_better):
        raise FathomError(
            f"got {count} differences, {len(annotators)} annotators and {len(first_is_better)} labels; expected one "
            "annotator and one label for each difference"
        )
    if ridge <= RIDGE and count <= width + len(names) - 1:
        raise FathomError(
            f"got {count} labels for {width} features and {len(names)} annotators; expected at least "
            f"{width + len(names)}, or a larger ridge"
        )
    who = np.array([names.index(name) for name in annotators])
    signed = differences * np.array([[1.0] if first else [-1.0] for first in first_is_better])
    basis = _contrasts(len(names))
    precision = np.array([ridge] * width + [float(ridge > RIDGE)] * (len(names) - 1))

    def value(parameters: Floats) -> tuple[float, Floats]:
        logits, gradient = _logits(parameters, signed, who, basis)
        loss = float(np.logaddexp(0, -logits).sum() + precision @ parameters**2 / 2)
        return loss, precision * parameters - (expit(-logits)[:, None] * gradient).sum(0)

    def alone(theta: Floats) -> tuple[float, Floats]:
        loss, slope = value(np.concatenate([theta, np.zeros(len(names) - 1)]))
        return loss, slope[:width]

    start = _least(alone, np.zeros(width))
    found = _least(value, np.concatenate([start, np.zeros(len(names) - 1)]))
    logits, gradient = _logits(found, signed, who, basis)
    weights = expit(logits) * expit(-logits)
    information = (weights[:, None] * gradient).T @ gradient + np.diag(np.maximum(precision, RIDGE))
    covariance = np.linalg.inv(information)[:width, :width]
    rationality = _rationality(basis @ found[width:])
    return Fitted(found[:width], dict(zip(names, rationality.tolist(), strict=True)), covariance)


def _logits(parameters: Floats, signed: Floats, who: NDArray[np.intp], basis: Floats) -> tuple[Floats, Floats]:
    """The log-odds of each label, (n,), and their gradient in theta and in the free logarithms of rationality."""
    theta, free = parameters[: signed.shape[1]], parameters[signed.shape[1] :]
    rationality = _rationality(basis @ free)[who]
    logits = rationality * (signed @ theta)
    # d logit / d theta = rationality * difference; d logit / d log rationality = logit.
    return logits, np.hstack([rationality[:, None] * signed, logits[:, None] * basis[who]])


def _rationality(logarithms: Floats) -> Floats:
    """An annotator whose labels all agree with theta has no finite rationality, so logarithms are bounded."""
    return np.exp(np.clip(logarithms, -LARGEST, LARGEST))


def _contrasts(count: int) -> Floats:
    """An orthonormal basis, (count, count - 1), of the logarithms whose mean is 0."""
    centred = np.eye(count) - 1 / count
    return np.linalg.svd(centred)[0][:, : count - 1]


def _least(value: Any, start: Floats) -> Floats:
    found: Floats = minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000, "gtol": 1e-8}).x
    return found
