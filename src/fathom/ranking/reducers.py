"""Reduce the outcomes of pairs to one score per response.

    >>> wins(3, {(0, 1): 0, (0, 2): 2, (1, 2): None})
    (1.0, 0.5, 1.5)
    >>> wins(2, {(0, 1): 9 / 16})
    (0.5625, 0.4375)

`outcomes` maps a pair (i, j) with i < j to its winner (an int), to None for a tie, which gives both half a win, or to
i's share of the win (a float), for example its share of the votes. A pair without an entry is missing and changes no
score. The score of a response without any pair is None. Scores of different reducers and of different comparisons are
on different scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from fathom.ranking.schedules import Outcomes, Pair

Scores = tuple[float | None, ...]
Shares = Mapping[Pair, float]
"""For each pair that could be read, its first response's share of the win, 0.0 to 1.0."""
Reducer = Callable[[int, Outcomes | Shares], Scores]

PRIOR = 0.1
"""Weight of the Bradley-Terry prior: pseudo-ties against an average opponent, split over all n responses."""
DIGITS = 9
"""Decimal places of scores. Rounding makes the scores of responses with equal records equal."""
MAX_STEPS = 100
"""Newton steps. The likelihood is concave, so a few suffice; the limit only guards against an endless loop."""
TOLERANCE = 1e-11
"""Newton's method stops when no strength changes by more."""
ROUNDING = 1e-9
"""Decrease of the log-likelihood that is attributed to rounding."""


def wins(n: int, outcomes: Outcomes | Shares) -> Scores:
    """Each response's points: 1 per win, 1/2 per tie.

    A missing pair costs both responses as much as a loss, so totals are comparable only between responses that were
    compared equally often.
    """
    points, compared = _counts(n, outcomes)
    return tuple(round(won, DIGITS) if of else None for won, of in zip(points, compared, strict=True))


def borda(n: int, outcomes: Outcomes | Shares) -> Scores:
    """Each response's win rate, 0 to 1: an estimate of the probability that it beats a random opponent.

    Missing pairs are left out. The strength of the opponents is not taken into account.
    """
    points, compared = _counts(n, outcomes)
    return tuple(round(won / of, DIGITS) if of else None for won, of in zip(points, compared, strict=True))


def bradley_terry(n: int, outcomes: Outcomes | Shares) -> Scores:
    """Bradley-Terry strengths: the s that maximize the posterior of the outcomes, P(i beats j) = sigmoid(s_i - s_j).

    Strengths are natural log-odds; 0 is the average opponent of the prior. A response that won or lost every comparison
    has no finite maximum-likelihood strength, so each response also ties PRIOR / n pseudo-comparisons with an average
    opponent. This prior is too weak to override data: if some order explains all outcomes, every response scores higher
    than those it beat. Source: Bradley and Terry (1952), Biometrika 39.
    """
    won = np.zeros((n, n))
    for (i, j), outcome in outcomes.items():
        won[i, j], won[j, i] = _points((i, j), outcome)
    strengths = _most_likely(won, PRIOR / n)
    _, compared = _counts(n, outcomes)
    # Adding 0.0 turns -0.0 into 0.0.
    return tuple(round(float(s), DIGITS) + 0.0 if of else None for s, of in zip(strengths, compared, strict=True))


REDUCERS: Mapping[str, Reducer] = {"wins": wins, "bradley-terry": bradley_terry, "borda": borda}


def _points(pair: Pair, outcome: int | float | None) -> tuple[float, float]:
    """How the one point of a pair is split between its two responses."""
    first = outcome if isinstance(outcome, float) else 0.5 if outcome is None else float(outcome == pair[0])
    return first, 1 - first


def _counts(n: int, outcomes: Outcomes | Shares) -> tuple[list[float], list[int]]:
    """The points and the number of comparisons of each response."""
    points, compared = [0.0] * n, [0] * n
    for pair, outcome in outcomes.items():
        for i, won in zip(pair, _points(pair, outcome), strict=True):
            points[i] += won
            compared[i] += 1
    return points, compared


Matrix = npt.NDArray[np.float64]


def _most_likely(won: Matrix, prior: float) -> Matrix:
    """The posterior mode by Newton's method with step halving. `won[i, j]`, shape (n, n), are i's points against j."""
    strengths = np.zeros(len(won))
    for _ in range(MAX_STEPS):
        step = _newton_step(strengths, won, prior)
        # Near the mode, likelihoods differ only by rounding. Without the slack, halving would never accept a step.
        acceptable = _log_posterior(strengths, won, prior) - ROUNDING
        while _log_posterior(strengths + step, won, prior) < acceptable:
            step = step / 2
        strengths = strengths + step
        if np.abs(step).max() < TOLERANCE:
            break
    return strengths


def _log_posterior(strengths: Matrix, won: Matrix, prior: float) -> float:
    """L(s) = sum_ij w_ij log sigmoid(s_i - s_j) + prior/2 sum_i [log sigmoid(s_i) + log sigmoid(-s_i)].

    The second term is the prior: half a pseudo-win and half a pseudo-loss against strength 0, each with weight `prior`.
    log sigmoid(x) = -logaddexp(0, -x) does not overflow.
    """
    gaps = strengths[:, None] - strengths
    against_average = -np.logaddexp(0, -strengths) - np.logaddexp(0, strengths)
    return float((won * -np.logaddexp(0, -gaps)).sum() + prior / 2 * against_average.sum())


def _newton_step(strengths: Matrix, won: Matrix, prior: float) -> Matrix:
    """The step -H^-1 g for the gradient g and the Hessian H of `_log_posterior`.

    With p_ij = sigmoid(s_i - s_j), the comparisons m_ij = w_ij + w_ji, and q_i = sigmoid(s_i):
    g_i = sum_j (w_ij - m_ij p_ij) + prior (1/2 - q_i), and
    -H = diag_i(sum_j m_ij p_ij p_ji + prior q_i (1 - q_i)) - (m_ij p_ij p_ji)_ij,
    which is positive definite for every `prior` above 0, so the mode is unique.
    """
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
