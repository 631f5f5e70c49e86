"""Confidence intervals of means, proportions and functions of means.

    >>> wilson(41, 50)
    Interval(mean=0.82, low=0.69..., high=0.90...)

| function | for |
|---|---|
| `wilson` | a proportion of independent items |
| `clustered_share` | the mean of values from 0 to 1 in clusters, such as prompts |
| `cluster_bootstrap_mean` | the mean of other clustered values, such as differences of two judges |
| `clustered` | metrics computed from means of clustered values |
| `cluster_bootstrap` | any other statistic of clustered items |

All intervals are two-sided at 95 %. benchmarks/coverage.py measures their coverage. With fewer than about 20 clusters
the coverage may be lower.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan, sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

NamedValues = Iterable[tuple[Hashable, float]]
"""Pairs of a name and a value."""
Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.uint64]
"""The cluster of each value, as 64-bit keys."""
_NORMAL = NormalDist()
_Z = 1.959963984540054
MAX_LEFT_OUT = 200
"""The jackknife leaves out one cluster at a time up to this many clusters, and beyond it one of this many groups."""


class Interval(NamedTuple):
    """An estimate with the bounds of its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson(successes: int, trials: int) -> Interval | None:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22); None without trials."""
    return _wilson(successes / trials, trials, _Z) if trials else None


def _wilson(share: float, trials: float, z: float) -> Interval:
    # The bounds are the p with |share - p| = z sqrt(p (1 - p) / n), a quadratic equation in p. Its solutions are
    # (share + z^2/2n +- z sqrt(share (1 - share) / n + z^2/4n^2)) / (1 + z^2/n).
    shrink = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / shrink
    half = z * sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / shrink
    # At a share of 0 or 1 one bound equals the share; rounding must not exclude it.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def clustered_share(values: Sequence[float] | Array, clusters: Sequence[Hashable] | Numbers) -> Interval | None:
    """The mean of values from 0 to 1, with an interval that treats the values of a cluster as correlated.

    Wilson's interval at the effective sample size, with Student's quantile (Dean & Pagano 2015, Journal of Survey
    Statistics and Methodology 3). For zeros and ones in clusters of size 1 it equals `wilson`. If all clusters have
    the same mean, each counts as one item. None without values.
    """
    sums, sizes = _by_cluster(values, clusters)
    if not sizes.size:
        return None
    count, share = len(sizes), float(sums.sum() / sizes.sum())
    # With c clusters of n_k values and sum S_k, and N values in all, the linearised variance of the share p is
    # v = c / (c - 1) sum_k (S_k - p n_k)^2 / N^2. Independent items would have the variance p (1 - p) / n, so the
    # effective sample size is n = p (1 - p) / v.
    singletons = bool(sizes.max() == 1)
    correction = 1.0 if singletons or count == 1 else count / (count - 1)
    variance = correction * float(np.square(sums - share * sizes).sum()) / float(sizes.sum()) ** 2
    if variance <= 1e-15:  # rounding can give a tiny variance if the true one is 0
        return _wilson(share, count, _Z)
    effective_size = share * (1 - share) / variance
    return _wilson(share, effective_size, _Z if singletons else _student(count - 1))


def cluster_bootstrap_mean(
    values: Sequence[float], clusters: Sequence[Hashable], *, replicates: int = 4000, seed: int = 0
) -> Interval | None:
    """The mean of any values with a bootstrap interval over clusters; `clusters[i]` is the cluster of value i.

    To compare two judges on the same items, pass the item-by-item differences. None for fewer than two clusters. If all
    values are equal, so are the bounds: resamples then contain no information on unseen items.
    """
    sums, sizes = _by_cluster(values, clusters)
    if len(sizes) < 2:
        return None
    rng = np.random.default_rng(seed)
    blocks = [min(100, replicates - start) for start in range(0, replicates, 100)]
    drawn = (rng.integers(len(sizes), size=(block, len(sizes))) for block in blocks)
    means = np.concatenate([sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1) for chosen in drawn])
    left = (sums.sum() - sums) / (sizes.sum() - sizes)
    return _accelerated(float(sums.sum() / sizes.sum()), means, left, len(sizes))


def _by_cluster(values: Sequence[float] | Array, clusters: Sequence[Hashable] | Numbers) -> tuple[Array, Array]:
    """The sum and the number of values of each cluster."""
    if isinstance(clusters, np.ndarray):  # avoids a Python object per value: runs have up to millions of rows
        _, inverse, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
        return np.bincount(inverse, weights=np.asarray(values, dtype=float)).astype(float), sizes.astype(float)
    numbers: dict[Hashable, int] = {}
    places = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    if len(places) != len(values):
        raise ValueError(f"each value needs its cluster; got {len(values)} values, {len(places)} clusters")
    sums = np.bincount(places, weights=np.asarray(values, dtype=float), minlength=len(numbers))
    return sums.astype(float), np.bincount(places, minlength=len(numbers)).astype(float)


@dataclass
class Share:
    """Collects values from 0 to 1 with their clusters; `interval` is their mean by `clustered_share`."""

    values: array[float] = field(default_factory=lambda: array("d"))
    clusters: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, value: float, cluster: int) -> None:
        self.values.append(value)
        self.clusters.append(cluster)

    def __len__(self) -> int:
        """The number of values."""
        return len(self.values)

    @property
    def interval(self) -> Interval | None:
        return clustered_share(self.values, self.clusters)


class Column:
    """The values of one metric by row; None for rows without it.

    A value takes 1 byte as long as there are at most 256 distinct values, as for right or wrong. Beyond, it takes 4
    bytes, in single precision.
    """

    def __init__(self, rows: int = 0) -> None:
        self._codes: dict[float | None, int] = {None: 0}
        self._coded = array("B", bytes(rows))
        self._single: array[float] | None = None

    def append(self, value: float | None) -> None:
        if self._single is None:
            code = self._codes.setdefault(value, len(self._codes))
            if code < 256:
                self._coded.append(code)
                return
            del self._codes[value]
            self._single, self._coded = array("f", self.values), array("B")
        self._single.append(nan if value is None else value)

    @property
    def values(self) -> Array:
        """The values, with NaN for None."""
        if self._single is not None:
            return np.asarray(self._single, dtype=float)
        distinct = np.array([nan if value is None else value for value in self._codes], dtype=float)
        values: Array = distinct[np.asarray(self._coded)]
        return values


@dataclass
class Shares:
    """Collects several metrics of the same rows, with the rows' clusters. A value is 0 to 1, or missing.

    A row takes 8 bytes plus those of `Column` for each metric.
    """

    clusters: array[int] = field(default_factory=lambda: array("Q"))
    columns: dict[str, Column] = field(default_factory=dict)

    def add(self, values: Mapping[str, float], cluster: int) -> None:
        for name in values.keys() - self.columns.keys():
            self.columns[name] = Column(len(self.clusters))
        for name, column in self.columns.items():
            column.append(values.get(name))
        self.clusters.append(cluster)

    def count(self, name: str) -> int:
        """The number of rows that have the metric."""
        return int(np.count_nonzero(~np.isnan(self._values(name))))

    def interval(self, name: str) -> Interval | None:
        """The mean of a metric by `clustered_share`; None if no row has it."""
        values = self._values(name)
        known = ~np.isnan(values)
        return clustered_share(values[known], np.frombuffer(self.clusters, dtype=np.uint64)[: len(values)][known])

    def _values(self, name: str) -> Array:
        column = self.columns.get(name)
        return np.empty(0) if column is None else column.values


def student_mean(values: Sequence[float]) -> Interval | None:
    """The mean of independent values that vary smoothly, such as one per seed, with Student's t interval.

    mean +- t(n - 1) * s / sqrt(n). None for fewer than two values, and for equal values, because these give no
    estimate of the variance. Not valid for values that are nearly always equal, with rare outliers; count the outliers
    (`clopper_pearson`).
    """
    if len(values) < 2 or max(values) == min(values):
        return None
    mean, variance = float(np.mean(values)), float(np.var(values, ddof=1))
    reach = _student(len(values) - 1) * sqrt(variance / len(values))
    return Interval(mean, mean - reach, mean + reach)


def crossed_mean(values: npt.ArrayLike, strata: Sequence[Hashable] | None = None) -> Interval | None:
    """The mean of a table with a row per seed and a column per cluster, such as the same verbs in every seed.

    For value = mean + seed + cluster + residual, the variance of the mean is s2(seed)/S + s2(cluster)/C + s2(rest)/SC.
    The variance of the S row means, divided by S, estimates the first and the last term; that of the C column means,
    divided by C, the second and the last. Their sum counts the last term twice, so it is conservative and never
    negative (Cameron, Gelbach & Miller 2011 subtract it once). The degrees of freedom are Satterthwaite's. The interval
    is for the mean over new seeds and new clusters.

    `strata[c]` is the stratum of cluster c, such as a verb's domain. Strata are fixed: new clusters come from the same
    strata, so columns vary around the mean of their stratum. None for fewer than two rows, for rows with equal means,
    and if a stratum has one cluster.
    """
    table = np.asarray(values, dtype=float)
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    names = list(strata) if strata is not None else [None] * len(columns)
    groups = [columns[[name == each for each in names]] for name in dict.fromkeys(names)]
    if len(rows) < 2 or np.ptp(rows) == 0 or any(len(group) < 2 for group in groups):
        return None
    # The terms of the variance of the mean: one of the rows, and one of the columns per stratum, with w its share of
    # columns: w^2 s^2(means) / number of means.
    parts = [(1.0, rows), *((len(group) / len(columns), group) for group in groups)]
    variances = [share**2 * float(np.var(means, ddof=1)) / len(means) for share, means in parts]
    # Satterthwaite: (sum v_i)^2 / sum(v_i^2 / f_i) degrees of freedom, where v_i is term i with f_i of its own.
    doubt = sum(part**2 / (len(means) - 1) for part, (_, means) in zip(variances, parts, strict=True))
    mean, reach = float(table.mean()), _student(sum(variances) ** 2 / doubt) * sqrt(sum(variances))
    return Interval(mean, mean - reach, mean + reach)


def clopper_pearson(successes: int, n: int) -> Interval | None:
    """The exact interval of a proportion (Clopper & Pearson 1934), with coverage of at least 95 %. None for n = 0.

    The bounds are quantiles of beta distributions: Beta(k, n - k + 1) at 0.025 and Beta(k + 1, n - k) at 0.975, k being
    the number of successes.
    """
    from scipy.special import betaincinv

    if n == 0:
        return None
    low = float(betaincinv(successes, n - successes + 1, 0.025)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 0.975)) if successes < n else 1.0
    return Interval(successes / n, low, high)


def means_by_name(clusters: Iterable[NamedValues]) -> dict[Hashable, float]:
    """The mean of all values of each name."""
    return _Values.of(clusters).means()


def clustered(
    figures: Callable[[Mapping[Any, float]], Mapping[str, float]],
    clusters: Iterable[NamedValues],
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap intervals of metrics that are functions of means, by resampling clusters such as prompts.

    `clusters` has the named values of each cluster. `figures` maps the mean of each name to the metrics; it must leave
    out a metric whose names are missing, and such a replicate does not count for that metric. Each replicate draws as
    many whole clusters with replacement as there are (Cameron, Gelbach & Miller 2008, section III). The bounds are
    corrected for bias and skewness (BCa; Efron 1987, JASA 82) and widened for few clusters (expanded percentile
    interval; Hesterberg 2015, The American Statistician 69).

    A metric that is 0 or 1 in all replicates has Wilson's interval over the clusters that have its name. With a single
    cluster, the bounds equal the metric. Empty without values.
    """
    values = _Values.of(clusters)
    if not values.names:
        return {}
    rng = np.random.default_rng(seed)
    n = values.clusters
    samples = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(replicates))
    drawn = [figures(resampled) for times in samples if (resampled := values.means(times))]
    left = [figures(remaining) for times in _without_each(n) if (remaining := values.means(times))]
    return {
        name: _without_spread(figure, _of(name, drawn), values.holding(name))
        or _accelerated(figure, _of(name, drawn), _of(name, left), n)
        for name, figure in figures(values.means()).items()
    }


def cluster_bootstrap(
    statistic: Callable[[Array], float | None],
    clusters: Sequence[Hashable],
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """The bootstrap interval of any statistic of items; `clusters[i]` is the cluster of item i.

    `statistic` takes the weight of each item (how often the resample contains it), an array of shape (items,), and
    returns None if it is undefined. Resampling and bounds are those of `clustered`. None if the statistic of the
    original items is undefined. With a single cluster, the bounds equal the statistic.
    """
    figure = statistic(np.ones(len(clusters)))
    if figure is None:
        return None
    numbers: dict[Hashable, int] = {}
    places = np.fromiter((numbers.setdefault(cluster, len(numbers)) for cluster in clusters), dtype=np.intp)
    count = len(numbers)
    rng = np.random.default_rng(seed)
    samples = (np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(replicates))
    drawn, left = (
        np.asarray([value for times in each if (value := statistic(times[places].astype(float))) is not None])
        for each in (samples, _without_each(count))
    )
    return _accelerated(figure, drawn, left, count)


def _without_spread(figure: float, drawn: Array, clusters: int) -> Interval | None:
    """Wilson's interval of a metric that is 0 or 1 in all resamples, where the bootstrap interval has no width."""
    constant = clusters > 1 and drawn.size and np.ptp(drawn) == 0
    return wilson(round(figure) * clusters, clusters) if constant and figure in (0, 1) else None


class _Values(NamedTuple):
    """Named values as flat arrays: `values[i]` has the name `names[name_ids[i]]` and is in cluster `places[i]`."""

    names: list[Hashable]
    clusters: int
    places: npt.NDArray[np.intp]
    name_ids: npt.NDArray[np.intp]
    values: Array

    @classmethod
    def of(cls, clusters: Iterable[NamedValues]) -> _Values:
        numbers: dict[Hashable, int] = {}
        places, name_ids, values, count = array("q"), array("q"), array("d"), 0
        for count, cluster in enumerate(clusters, 1):
            for name, value in cluster:
                places.append(count - 1)
                name_ids.append(numbers.setdefault(name, len(numbers)))
                values.append(value)
        columns = (np.frombuffer(column, column.typecode) for column in (places, name_ids, values))
        return cls(list(numbers), count, *columns)

    def holding(self, name: Hashable) -> int:
        """The number of clusters with a value of that name; all clusters for a name without values."""
        if name not in self.names:
            return self.clusters
        return len(np.unique(self.places[self.name_ids == self.names.index(name)]))

    def means(self, times: npt.NDArray[np.int_] | None = None) -> dict[Hashable, float]:
        """The mean of each name if cluster i counts `times[i]` times (once by default). Omits names without values."""
        weights = np.ones(len(self.values)) if times is None else times[self.places].astype(float)
        counts = np.bincount(self.name_ids, weights, minlength=len(self.names))
        sums = np.bincount(self.name_ids, weights * self.values, minlength=len(self.names))
        totals = zip(self.names, sums.tolist(), counts.tolist(), strict=True)
        return {name: total / count for name, total, count in totals if count}


def _without_each(clusters: int) -> Iterator[npt.NDArray[np.int_]]:
    """The weights of the clusters in each jackknife sample, which omits one cluster or, if there are many, a group."""
    groups = min(clusters, MAX_LEFT_OUT)
    return ((np.arange(clusters) % groups != group).astype(int) for group in range(groups))


def _of(name: str, figures: Sequence[Mapping[str, float]]) -> Array:
    return np.asarray([each[name] for each in figures if name in each], dtype=float)


def _accelerated(figure: float, drawn: Array, left: Array, clusters: int) -> Interval:
    """The expanded BCa interval of a metric from its values in the resamples (`drawn`) and jackknife samples (`left`).

    With Phi the normal distribution, z0 = Phi^-1(share of resamples below the metric) and a the acceleration, a bound
    is the quantile Phi(z0 + (z0 + z) / (1 - a (z0 + z))) of the resamples (Efron 1987). z = +-1.96 is replaced by
    +-t_{n-1} sqrt(n / (n - 1)), because the bootstrap variance of a mean is too small by (n - 1) / n (Hesterberg 2015).
    """
    if clusters < 2 or not drawn.size or np.ptp(drawn) == 0:
        return Interval(figure, figure, figure)
    # Resamples equal to the metric, also up to rounding, count half: discrete metrics have many of them.
    nearly = np.isclose(drawn, figure, rtol=1e-12, atol=1e-12)
    below = float(np.mean((drawn < figure) & ~nearly) + np.mean(nearly) / 2)
    bias = _NORMAL.inv_cdf(min(max(below, 1 / drawn.size), 1 - 1 / drawn.size))
    skew = _acceleration(left)
    reach = _student(clusters - 1) * sqrt(clusters / (clusters - 1))
    # With few, very skewed clusters 1 - a (z0 + z) can reach 0, where the correction diverges. The cap makes the bound
    # an extreme resample.
    shares = [_NORMAL.cdf(bias + (bias + z) / max(1 - skew * (bias + z), 0.01)) for z in (-reach, reach)]
    low, high = np.quantile(drawn, shares)
    return Interval(figure, float(low), float(high))


def _acceleration(left: Array) -> float:
    """a = sum d_i^3 / (6 (sum d_i^2)^1.5), where d_i = mean - (value without cluster i)."""
    influence = left.mean() - left if left.size else left
    spread = float(np.square(influence).sum()) ** 1.5
    return float((influence**3).sum()) / (6 * spread) if spread > 1e-30 else 0.0


def _student(freedom: int | float, chance: float = 0.975) -> float:
    """The quantile of Student's t distribution, or of the normal distribution for 0 degrees of freedom."""
    from scipy.special import stdtrit  # here, because `import fathom` must stay fast

    return float(stdtrit(freedom, chance)) if freedom > 0 else _Z
