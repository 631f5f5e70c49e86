"""How far raters agree beyond chance: Cohen's and Fleiss' kappa, Krippendorff's alpha, with intervals.

    >>> cohen_kappa(["yes", "yes", "no", "no"], ["yes", "no", "no", "no"]).mean
    0.5

All three are 1 - D_o / D_e: the disagreement that was observed over the one expected if every rater drew labels at
random, each with their own frequencies (Cohen) or all with the pooled ones (Fleiss, Krippendorff). 1 is perfect
agreement, 0 is what chance gives, below 0 is worse than chance. They differ in what they take:

| coefficient | raters | items that some did not rate | distances between labels |
|---|---|---|---|
| `cohen_kappa` | two | left out | none, linear or quadratic |
| `fleiss_kappa` | any number, the same for each item | not allowed | none |
| `krippendorff_alpha` | any number | count where two or more rated them | nominal, ordinal or interval |

Each is None where it is undefined: no item, or all labels the same, so that chance alone agrees perfectly. Sources:
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
"""How far two labels are apart: all alike, by the number of steps between them, or by its square."""
Level = Literal["nominal", "ordinal", "interval"]
"""What labels are: names; an order (distances by midranks); or numbers (squared differences)."""
Clusters = Sequence[Hashable] | None
"""The cluster of each item, such as its prompt; None where items are independent."""
Disagreement = Callable[[Array], tuple[float, float] | None]
"""Observed and expected disagreement, where item i counts as often as the array says; None where nothing was rated."""


def cohen_kappa(
    one: Sequence[Any], other: Sequence[Any], clusters: Clusters = None, *, weights: Weights = "none"
) -> Interval | None:
    """Of two raters' labels of the same items, in the same order. With weights, labels are ordered as they sort.

    Raises ValueError for two of different lengths.
    """
    if len(one) != len(other):
        raise ValueError(f"needs two labels of each item, got {len(one)} and {len(other)}")
    labels = _ordered([*one, *other])
    k = len(labels)
    number = {label: place for place, label in enumerate(labels)}
    cells = np.array([number[a] * k + number[b] for a, b in zip(one, other, strict=True)], dtype=np.intp)
    apart = _distances(np.arange(k, dtype=float), weights)

    def disagreement(times: Array) -> tuple[float, float] | None:
        table = np.bincount(cells, times, minlength=k * k).reshape(k, k)
        if not (total := table.sum()):
            return None
        table = table / total
        return float((table * apart).sum()), float(table.sum(axis=1) @ apart @ table.sum(axis=0))

    return _coefficient(disagreement, len(one), clusters)


def _distances(values: Array, weights: Weights) -> Array:
    steps = np.abs(values[:, None] - values)
    apart: Array = {"none": (steps > 0).astype(float), "linear": steps, "quadratic": steps**2}[weights]
    return apart


def fleiss_kappa(ratings: Sequence[Sequence[Any]], clusters: Clusters = None) -> Interval | None:
    """`ratings[i]` are the labels of item i, by whomever: their order does not matter.

    Raises ValueError where items have different numbers of labels, or fewer than two.
    """
    sizes = {len(item) for item in ratings}
    if len(sizes) > 1 or (sizes and min(sizes) < 2):
        raise ValueError(f"needs the same number of labels, 2 or more, of each item; got {sorted(sizes)}")
    counts = _counts(ratings, _ordered([label for item in ratings for label in item]))
    raters = next(iter(sizes), 0)
    # Of all pairs of labels of an item, those that differ.
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
    """`ratings[i]` are the labels of item i, by whomever; None is a missing label. Numbers, unless they are nominal.

    An item with fewer than two labels tells nothing and is left out.
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
        # Of an ordinal scale, labels are as far apart as their midranks among all that count.
        scale = np.cumsum(margins) - margins / 2 if level == "ordinal" else values
        within = _squared_differences(counts, scale, nominal=level == "nominal")
        observed = float(times @ (within / np.maximum(sizes - 1, 1))) / total
        between = float(_squared_differences(margins[None], scale, nominal=level == "nominal")[0])
        return observed, between / (total * (total - 1))

    return _coefficient(disagreement, len(ratings), clusters)


def _squared_differences(counts: Array, scale: Array, *, nominal: bool) -> Array:
    """For each row of label counts, the squared difference of every ordered pair of labels, added up.

    The sum over pairs of (a - b)^2 is 2 n sum(a^2) - 2 sum(a)^2; of names, where it is 1 for any two that differ, it is
    n^2 - sum(n_label^2).
    """
    sizes = counts.sum(axis=1)
    if nominal:
        names: Array = np.square(sizes) - np.square(counts).sum(axis=1)
        return names
    numbers: Array = 2 * sizes * (counts @ np.square(scale)) - 2 * np.square(counts @ scale)
    return numbers


def _ordered(labels: Sequence[Any]) -> list[Any]:
    """Each label once: numbers by size, anything else by type and spelling."""
    distinct = list(dict.fromkeys(labels))
    numbers = all(isinstance(label, int | float) for label in distinct)
    return sorted(distinct) if numbers else sorted(distinct, key=lambda label: (str(type(label)), str(label)))


def _counts(ratings: Sequence[Sequence[Any]], labels: Sequence[Any]) -> Array:
    """How often each item has each label, (items, labels)."""
    number = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(ratings), len(labels)))
    for item, row in zip(ratings, counts, strict=True):
        for label in item:
            row[number[label]] += 1
    return counts


def _coefficient(disagreement: Disagreement, items: int, clusters: Clusters) -> Interval | None:
    """1 - D_o / D_e with its interval; items are the clusters where none are given."""

    def statistic(times: Array) -> float | None:
        found = disagreement(times)
        return None if found is None or found[1] < 1e-12 else 1 - found[0] / found[1]

    keys: Sequence[Hashable] = range(items) if clusters is None else clusters
    interval = cluster_bootstrap(statistic, keys)
    if interval is None or interval.low < interval.high or len(set(keys)) < 2:
        return interval
    # Resamples of nothing but agreement agree. Items that were not seen may do no better than chance: as many of them
    # as Wilson's bound allows where none of the clusters disagreed.
    unseen = wilson(0, len(set(keys)))
    return interval if unseen is None else Interval(interval.mean, interval.mean - unseen.high, interval.high)
