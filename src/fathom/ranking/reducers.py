"""From the outcomes of pairs to one score for each response.

    >>> wins(3, {(0, 1): 0, (0, 2): 2, (1, 2): None})
    (1.0, 0.5, 1.5)
    >>> wins(2, {(0, 1): 9 / 16})
    (0.5625, 0.4375)

`outcomes` maps a pair (i, j), i < j, to its winner (an int), to None for a tie, which is half a win for both, or to the
share of the win that i has (a float): the share of the votes, where a pair has several. A pair that is not there is
missing and counts for nobody. A response of which no pair is there has no score: None. Scores of different reducers,
and of different comparisons, are on different scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from fathom.ranking.schedules import Outcomes, Pair

Scores = tuple[float | None, ...]
Shares = Mapping[Pair, float]
"""For each pair that could be read, the share of the win that its first response has, 0.0 to 1.0."""
Reducer = Callable[[int, Outcomes | Shares], Scores]

PRIOR = 0.1
"""How many comparisons with an average response all responses together have tied before any outcome is seen."""
DIGITS = 9
"""Scores are rounded to so many decimals, so that equal records have equal scores."""
STEPS = 100
CLOSE = 1e-11
ROUNDING = 1e-9


def wins(n: int, outcomes: Outcomes | Shares) -> Scores:
    """The points of each response: 1 a win, 1/2 a tie.

    A missing pair costs both as much as a loss: fair only where all have been compared equally often.
    """
    points, compared = _counts(n, outcomes)
    return tuple(round(won, DIGITS) if of else None for won, of in zip(points, compared, strict=True))


def borda(n: int, outcomes: Outcomes | Shares) -> Scores:
    """The share of its comparisons that a response wins, 0 to 1: an estimate of how often it beats another at random.

    Missing pairs speak neither for nor against. Who met strong opponents is not told from who met weak ones.
    """
    points, compared = _counts(n, outcomes)
    return tuple(round(won / of, DIGITS) if of else None for won, of in zip(points, compared, strict=True))


def bradley_terry(n: int, outcomes: Outcomes | Shares) -> Scores:
    """The strengths s for which P(i beats j) = 1 / (1 + exp(s_j - s_i)) makes the outcomes most likely.

    Natural logarithm of odds; 0 is the average response that the prior speaks of. Without a prior there would be no
    such strengths for a response that won or lost every time: here each has tied PRIOR / n comparisons with an average
    response. That is too little to contradict what was seen: where some order explains all outcomes, every response
    has a higher score than those that it beat. Bradley and Terry (1952), Biometrika 39.
    """
    won = np.zeros((n, n))
    for (i, j), outcome in outcomes.items():
        won[i, j], won[j, i] = _points((i, j), outcome)
    strengths = _most_likely(won, PRIOR / n)
    _, compared = _counts(n, outcomes)
    # Adding 0 makes -0.0 a plain zero.
    return tuple(round(float(s), DIGITS) + 0.0 if of else None for s, of in zip(strengths, compared, strict=True))


REDUCERS: Mapping[str, Reducer] = {"wins": wins, "bradley-terry": bradley_terry, "borda": borda}


def _points(pair: Pair, outcome: int | float | None) -> tuple[float, float]:
    """How one point is divided between the two responses of a pair."""
    first = outcome if isinstance(outcome, float) else 0.5 if outcome is None else float(outcome == pair[0])
    return first, 1 - first


def _counts(n: int, outcomes: Outcomes | Shares) -> tuple[list[float], list[int]]:
    """Each response's points and comparisons."""
    points, compared = [0.0] * n, [0] * n
    for pair, outcome in outcomes.items():
        for i, won in zip(pair, _points(pair, outcome), strict=True):
            points[i] += won
            compared[i] += 1
    return points, compared


Matrix = npt.NDArray[np.float64]


def _most_likely(won: Matrix, prior: float) -> Matrix:
    """The mode, by Newton's method with steps halved until they help. `won[i, j]` is i's points against j, (n, n)."""
    strengths = np.zeros(len(won))
    for _ in range(STEPS):
        step = _newton_step(strengths, won, prior)
        # Near the mode likelihoods differ by rounding alone, and a step must not be held back for that.
        enough = _log_likelihood(strengths, won, prior) - ROUNDING
        while _log_likelihood(strengths + step, won, prior) < enough:
            step = step / 2
        strengths = strengths + step
        if np.abs(step).max() < CLOSE:
            break
    return strengths


def _log_likelihood(strengths: Matrix, won: Matrix, prior: float) -> float:
    gaps = strengths[:, None] - strengths
    against_average = -np.logaddexp(0, -strengths) - np.logaddexp(0, strengths)
    return float((won * -np.logaddexp(0, -gaps)).sum() + prior / 2 * against_average.sum())


def _newton_step(strengths: Matrix, won: Matrix, prior: float) -> Matrix:
    expected = _sigmoid(strengths[:, None] - strengths)
    met = won + won.T
    average = _sigmoid(strengths)
    gradient = (won - met * expected).sum(axis=1) + prior * (0.5 - average)
    weights = met * expected * expected.T
    curvature = np.diag(weights.sum(axis=1) + prior * average * (1 - average)) - weights
    step: Matrix = np.linalg.solve(curvature, gradient)
    return step


def _sigmoid(gaps: Matrix) -> Matrix:
    values: Matrix = np.exp(-np.logaddexp(0, -gaps))
    return values
