"""Kendall's tau-b: how far two orders of the same responses agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt

from fathom.data.records import Label
from fathom.ranking import Ranking


def kendall_tau(found: Sequence[float], true: Sequence[float]) -> float | None:
    """Kendall's tau-b of two lists of scores, -1 to 1: 1 for the same order, 0 for no association.

    None where all scores of a list are equal, so that there is no order. Kendall (1945), Biometrika 33.
    """
    signs = [(_sign(found[i], found[j]), _sign(true[i], true[j])) for i, j in combinations(range(len(true)), 2)]
    agreeing = sum(one * other for one, other in signs)
    ordered = sum(one != 0 for one, _ in signs) * sum(other != 0 for _, other in signs)
    return agreeing / sqrt(ordered) if ordered else None


def _sign(left: float, right: float) -> int:
    return (left > right) - (left < right)


def ranking_tau(ranking: Ranking, label: Label | None) -> float | None:
    """Tau-b of a ranking's scores and the label; None where the label does not order all responses, or a response has
    no score."""
    true = None if label is None else label.response_scores
    if label is not None and label.ranking is not None:
        true = tuple(-float(label.ranking.index(i)) for i in range(len(label.ranking)))
    found = [score for score in ranking.scores if score is not None]
    return kendall_tau(found, true) if true and len(found) == len(true) else None
