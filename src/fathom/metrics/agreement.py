"""Agreement between raters beyond chance: Cohen's and Fleiss' kappa, Krippendorff's alpha, with intervals.

    >>> cohen_kappa(["yes", "yes", "no", "no"], ["yes", "no", "no", "no"]).mean
    0.5

Each coefficient is 1 - D_o / D_e. D_o is the observed disagreement. D_e is the disagreement expected if every rater
labelled at random, with their own label frequencies (Cohen) or the pooled ones (Fleiss, Krippendorff). 1 is perfect
agreement, 0 is agreement by chance, and below 0 is worse than chance. They accept different inputs:

| coefficient | raters | items with missing labels | distances between labels |
|---|---|---|---|
| `cohen_kappa` | two | excluded by the caller | none, linear or quadratic |
| `fleiss_kappa` | any number, the same for each item | not allowed | none |
| `krippendorff_alpha` | any number | used if two or more raters labelled them | nominal, ordinal or interval |

A coefficient is None if it is undefined: without items, or if all labels are equal (D_e = 0). Sources:
Cohen 1960, Educational and Psychological Measurement 20, and 1968, Psychological Bulletin 70 (weighted); Fleiss 1971,
Psychological Bulletin 76; Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability".
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fathom.metrics.intervals import Interval, cluster_bootstrap, wilson

Array = npt.NDArray[np.float64]
Weights = Literal["none", "linear", "quadratic"]
"""The distance between two different labels: 1, the number of labels between them plus 1, or the square of that."""
Level = Literal["nominal", "ordinal", "interval"]
"""The scale of the labels: names; ordered (distances by midranks); or numbers (squared differences)."""
Clusters = Sequence[Hashable] | None
"""The cluster of each item, such as its prompt; None if items are independent."""
Disagreement = Callable[[Array], tuple[float, float] | None]
"""Maps the weight of each item (how often a resample contains it) to (D_o, D_e); None if nothing was rated."""


def cohen_kappa(
    one: Sequence[Any], other: Sequence[Any], clusters: Clusters = None, *, weights: Weights = "none"
) -> Interval | None:
    """Cohen's kappa of two raters: `one[i]` and `other[i]` are their labels of item i. Weights use the sort order.

    Raises ValueError if the lengths differ.
    """
    if len(one) != len(other):
        raise ValueError(f"expected two labels per item, got {len(one)} and {len(other)} labels")
    labels = _ordered([*one, *other])
    k = len(labels)
    number = {label: place for place, label in enumerate(labels)}
    cells = np.array([number[a] * k + number[b] for a, b in zip(one, other, strict=True)], dtype=np.intp)
    distances = _distances(np.arange(k, dtype=float), weights)

    def disagreement(times: Array) -> tuple[float, float] | None:
        # With p_ab the share of items labelled a by one and b by the other, and d_ab the distance of these labels:
        # D_o = sum p_ab d_ab, and D_e = sum p_a. p_.b d_ab, because random labels are independent.
        table = np.bincount(cells, times, minlength=k * k).reshape(k, k)
        if not (total := table.sum()):
            return None
        table = table / total
        return float((table * distances).sum()), float(table.sum(axis=1) @ distances @ table.sum(axis=0))

    return _coefficient(disagreement, len(one), clusters)


def _distances(values: Array, weights: Weights) -> Array:
    steps = np.abs(values[:, None] - values)
    distances: Array = {"none": (steps > 0).astype(float), "linear": steps, "quadratic": steps**2}[weights]
    return distances


def fleiss_kappa(ratings: Sequence[Sequence[Any]], clusters: Clusters = None) -> Interval | None:
    """Fleiss' kappa. `ratings[i]` are the labels of item i in any order: raters need not be the same for all items.

    Raises ValueError if items have different numbers of labels, or fewer than two.
    """
    sizes = {len(item) for item in ratings}
    if len(sizes) > 1 or (sizes and min(sizes) < 2):
        raise ValueError(f"expected the same number of labels, at least 2, for every item; got {sorted(sizes)}")
    counts = _counts(ratings, _ordered([label for item in ratings for label in item]))
    raters = next(iter(sizes), 0)
    # The share of differing pairs among an item's r (r - 1) ordered pairs of labels: with n_l labels l,
    # 1 - sum n_l (n_l - 1) / (r (r - 1)), and sum n_l = r.
    differing = 1 - (np.square(counts).sum(axis=1) - raters) / (raters * (raters - 1) or 1)

    def disagreement(times: Array) -> tuple[float, float] | None:
        if not times.sum():
            return None
        shares = times @ counts / (times.sum() * raters)
        return float(times @ differing / times.sum()), float(1 - np.square(shares).sum())

    return _coefficient(disagreement, len(ratings), clusters)


def krippendorff_alpha(
    ratings: Sequence[Sequence[Any]], clusters: Clusters = None, *, level: Level = "nominal"
) -> Interval | None:
    """Krippendorff's alpha. `ratings[i]` are the labels of item i in any order; None is a missing label.

    Ordinal and interval labels must be numbers. Items with fewer than two labels are left out.
    """
    rated = [[label for label in item if label is not None] for item in ratings]
    labels = _ordered([label for item in rated if len(item) > 1 for label in item])
    counts = _counts([item if len(item) > 1 else [] for item in rated], labels)
    sizes = counts.sum(axis=1)
    values = np.arange(len(labels), dtype=float) if level == "nominal" else np.array(labels, dtype=float)

    def disagreement(times: Array) -> tuple[float, float] | None:
        margins = times @ counts
        total = float(margins.sum())
        if total < 2:
            return None
        # Ordinal labels are placed at their midranks among all labels of this resample.
        scale = np.cumsum(margins) - margins / 2 if level == "ordinal" else values
        within = _squared_differences(counts, scale, nominal=level == "nominal")
        observed = float(times @ (within / np.maximum(sizes - 1, 1))) / total
        between = float(_squared_differences(margins[None], scale, nominal=level == "nominal")[0])
        return observed, between / (total * (total - 1))

    return _coefficient(disagreement, len(ratings), clusters)


def _squared_differences(counts: Array, scale: Array, *, nominal: bool) -> Array:
    """For each row of label counts, the sum of squared differences over all ordered pairs of labels.

    For n numbers, sum (a - b)^2 = 2 n sum(a^2) - 2 sum(a)^2. For names, whose distance is 1 if they differ, it is
    n^2 - sum(n_label^2). Both are linear in the number of labels, and the bootstrap calls this for every resample.
    """
    sizes = counts.sum(axis=1)
    if nominal:
        names: Array = np.square(sizes) - np.square(counts).sum(axis=1)
        return names
    numbers: Array = 2 * sizes * (counts @ np.square(scale)) - 2 * np.square(counts @ scale)
    return numbers


def _ordered(labels: Sequence[Any]) -> list[Any]:
    """The distinct labels: numbers in numeric order, others by type and spelling."""
    distinct = list(dict.fromkeys(labels))
    numbers = all(isinstance(label, int | float) for label in distinct)
    return sorted(distinct) if numbers else sorted(distinct, key=lambda label: (str(type(label)), str(label)))


def _counts(ratings: Sequence[Sequence[Any]], labels: Sequence[Any]) -> Array:
    """How often each item has each label: an array of shape (items, labels)."""
    number = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(ratings), len(labels)))
    for item, row in zip(ratings, counts, strict=True):
        for label in item:
            row[number[label]] += 1
    return counts


def _coefficient(disagreement: Disagreement, items: int, clusters: Clusters) -> Interval | None:
    """1 - D_o / D_e with its interval. Without clusters, each item is its own."""

    def statistic(times: Array) -> float | None:
        both = disagreement(times)
        return None if both is None or both[1] < 1e-12 else 1 - both[0] / both[1]

    keys: Sequence[Hashable] = range(items) if clusters is None else clusters
    interval = cluster_bootstrap(statistic, keys)
    if interval is None or interval.low < interval.high or len(set(keys)) < 2:
        return interval
    # All resamples of perfect agreement agree perfectly, so the bootstrap interval has no width. Lower the bound: up
    # to a share u of unseen clusters may agree only by chance (coefficient 0), where u is Wilson's upper bound for 0
    # disagreeing clusters of n.
    unseen = wilson(0, len(set(keys)))
    return interval if unseen is None else Interval(interval.mean, interval.mean - unseen.high, interval.high)
