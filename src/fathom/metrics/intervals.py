"""Means with the interval that says how far to trust them.

    >>> wilson(41, 50)
    Interval(mean=0.82, low=0.69..., high=0.90...)

All intervals are two-sided at 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from math import sqrt
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")
_Z = 1.959963984540054


class Interval(NamedTuple):
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson(successes: int, trials: int) -> Interval | None:
    """Wilson's score interval for a proportion; None for no trials, because nothing was measured."""
    if trials == 0:
        return None
    share = successes / trials
    shrink = 1 + _Z**2 / trials
    centre = (share + _Z**2 / (2 * trials)) / shrink
    half = _Z * sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2)) / shrink
    # At 0 and 1 a bound is the share itself; rounding must not put it on the wrong side.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def bootstrap(runs: Sequence[Sequence[float]], *, replicates: int = 4000, seed: int = 0) -> Interval:
    """Percentile interval of the mean over runs of the mean over items, resampled at both levels.

    `runs[s][i]` is the value of item i in the run with the s-th seed; a difference between two arms is the bootstrap of
    their item-by-item differences. With one run only the items are resampled, and the interval says nothing about
    other seeds. With few runs it is somewhat too narrow, as every bootstrap over few clusters is.
    """
    values = [np.asarray(run, dtype=float) for run in runs]
    if not values or any(run.size == 0 for run in values):
        raise ValueError("bootstrap needs at least one run, and a value in every run")
    rng = np.random.default_rng(seed)
    by_run = np.stack([_resampled_means(run, replicates, rng) for run in values])
    # Each place in a replicate takes its own resample, also where two places draw the same run.
    places = [by_run[rng.integers(len(values), size=replicates), rng.permutation(replicates)] for _ in values]
    low, high = np.quantile(np.mean(places, axis=0), [0.025, 0.975])
    return Interval(float(np.mean([run.mean() for run in values])), float(low), float(high))


def _resampled_means(
    run: npt.NDArray[np.float64], replicates: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """The means of `replicates` resamples of a run; in blocks, so that memory stays small."""
    blocks = [min(100, replicates - start) for start in range(0, replicates, 100)]
    return np.concatenate([run[rng.integers(run.size, size=(block, run.size))].mean(axis=1) for block in blocks])


def clustered(
    measure: Callable[[Sequence[Item]], Mapping[str, float]],
    clusters: Sequence[Sequence[Item]],
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile intervals of the figures that `measure` makes of items, where items come in clusters, such as prompts.

    Whole clusters are drawn with replacement, as many as there are (Cameron, Gelbach & Miller 2008, section III).
    `measure` leaves out a figure for which it has no items; so a replicate that lacks them has no part in its interval.
    """
    if not clusters:
        raise ValueError("a bootstrap needs at least one cluster")
    rng = np.random.default_rng(seed)
    told = measure(list(chain.from_iterable(clusters)))
    drawn: dict[str, list[float]] = {name: [] for name in told}
    for _ in range(replicates):
        chosen = rng.integers(len(clusters), size=len(clusters)).tolist()
        found = measure(list(chain.from_iterable(clusters[i] for i in chosen)))
        for name in told.keys() & found.keys():
            drawn[name].append(found[name])
    bounds = {name: np.quantile(values or [told[name]], [0.025, 0.975]) for name, values in drawn.items()}
    return {name: Interval(told[name], float(bounds[name][0]), float(bounds[name][1])) for name in told}
