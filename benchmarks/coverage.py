"""How often the 95 % intervals hold the truth: python benchmarks/coverage.py --json benchmarks/coverage.json

Judges of known accuracy are simulated again and again, with fixed seeds; each time an interval is computed, and counted
when the true value lies in it. Every interval must cover at least 93 %: the exit code is 1 if one covers less. Above
97 % it is marked as conservative. The items of one prompt share a difficulty, and so do the verdicts of two judges on
one item. Experiments are simulated over seeds: seed means that differ normally, seeds that fail, and clusters that
repeat in every seed. docs/measuring.md states the ranges that the committed coverage.json has.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import NormalDist, fmean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fathom.lab.experiments.results import figure
from fathom.lab.reproductions.uheads import Step, area, by_group
from fathom.metrics.calibration import Calibration
from fathom.metrics.intervals import (
    Interval,
    clopper_pearson,
    cluster_bootstrap_mean,
    clustered,
    clustered_share,
    crossed_mean,
    student_mean,
    wilson,
)

SEEDS = (3, 6, 8, 10)
CLUSTERS = ((5, 1), (6, 1), (8, 2), (40, 2))
"""Clusters that repeat in every seed, and the strata that they form. Kinds of keys are five or six in one stratum."""
ENOUGH, CONSERVATIVE = 0.93, 0.97

Rng = np.random.Generator
Found = tuple[Interval | None, float]
"""The interval, and the truth that it should hold."""


class Items(NamedTuple):
    values: npt.NDArray[np.float64]
    """One a prompt and item; for two judges, the differences of their verdicts."""
    prompts: npt.NDArray[np.int64]


def verdicts(rng: Rng, accuracies: Sequence[float], prompts: int, size: int, shared: float) -> npt.NDArray[np.bool_]:
    """Whether each judge is right, of shape (judges, prompts * size); `shared` of the variance is the prompt's."""
    item = np.sqrt(1 - shared) * rng.normal(size=(prompts, size)) + np.sqrt(shared) * rng.normal(size=(prompts, 1))
    cuts = [NormalDist().inv_cdf(accuracy) for accuracy in accuracies]
    # Half of what decides is the item's, so that two judges are often wrong on the same.
    own = [np.sqrt(0.5) * rng.normal(size=(prompts, size)) + np.sqrt(0.5) * item for _ in accuracies]
    return np.stack([(noise < cut).ravel() for noise, cut in zip(own, cuts, strict=True)])


def one_judge(rng: Rng, accuracy: float, prompts: int, size: int = 1, shared: float = 0.0) -> Items:
    [right] = verdicts(rng, [accuracy], prompts, size, shared)
    return Items(right.astype(float), np.repeat(np.arange(prompts), size))


def two_judges(rng: Rng, a: float, b: float, prompts: int, size: int = 1, shared: float = 0.0) -> Items:
    first, second = verdicts(rng, [a, b], prompts, size, shared).astype(float)
    return Items(second - first, np.repeat(np.arange(prompts), size))


def by_wilson(rng: Rng, accuracy: float, items: int) -> Found:
    return wilson(int(one_judge(rng, accuracy, items).values.sum()), items), accuracy


def by_share(rng: Rng, accuracy: float, prompts: int, size: int, shared: float) -> Found:
    return clustered_share(*map(list, one_judge(rng, accuracy, prompts, size, shared))), accuracy


def by_mean(rng: Rng, accuracy: float, prompts: int, size: int, shared: float, replicates: int) -> Found:
    items = one_judge(rng, accuracy, prompts, size, shared)
    return cluster_bootstrap_mean(*map(list, items), replicates=replicates, seed=int(rng.integers(2**32))), accuracy


def paired(rng: Rng, a: float, b: float, prompts: int, size: int, shared: float, replicates: int) -> Found:
    items = two_judges(rng, a, b, prompts, size, shared)
    return cluster_bootstrap_mean(*map(list, items), replicates=replicates, seed=int(rng.integers(2**32))), b - a


def of_any_figure(rng: Rng, accuracy: float, prompts: int, size: int, replicates: int) -> Found:
    """The accuracy of the readable: a ratio, where a fifth cannot be read."""
    right = one_judge(rng, accuracy, prompts, size, shared=0.4).values.reshape(prompts, size)
    readable = rng.random((prompts, size)) < 0.8
    rows = [
        [("it", hit) for hit, told in zip(*each, strict=True) if told] for each in zip(right, readable, strict=True)
    ]
    found = clustered(dict, rows, replicates=replicates, seed=int(rng.integers(2**32)))
    return found["it"], accuracy


def ranked_pairs(rng: Rng, share: float, prompts: int, pairs: int) -> Found:
    """The parse rate of the pairs of rankings: a prompt whose pairs are hard to parse has many unparsed ones."""
    weight = 1.0  # a Beta distribution of the rate over prompts; the correlation of two pairs is 1 / (1 + weight)
    rates = rng.beta(share * weight, (1 - share) * weight, size=(prompts, 1))
    parsed = (rng.random((prompts, pairs)) < rates).astype(float)
    return clustered_share(list(parsed.ravel()), list(np.repeat(np.arange(prompts), pairs))), share


def smooth_seeds(rng: Rng, seeds: int, between: float, items: int = 600, accuracy: float = 0.8) -> Found:
    """Seed means of an accuracy that differs by `between` from seed to seed, each measured on items of its own."""
    rates = np.clip(accuracy + between * rng.normal(size=seeds), 0, 1)
    return student_mean(list(rng.binomial(items, rates) / items)), accuracy


def failing_seeds(rng: Rng, seeds: int, failing: float) -> Found:
    """Training that fails on a seed with probability `failing`: the share of seeds that succeed."""
    return clopper_pearson(int(rng.binomial(seeds, 1 - failing)), seeds), 1 - failing


def crossed(rng: Rng, seeds: int, clusters: int, strata: int, by_seed: float, by_cluster: float) -> Found:
    """A contrast on the same clusters in every seed; strata differ by 0.4."""
    noise = 0.03 * rng.normal(size=(seeds, clusters))
    table = by_seed * rng.normal(size=(seeds, 1)) + by_cluster * rng.normal(size=(1, clusters)) + noise
    stratum = [place % strata for place in range(clusters)]
    return crossed_mean(table + 0.4 * np.array(stratum), stratum), 0.4 * fmean(stratum)


def areas(rng: Rng, seeds: int, problems: int = 80, steps: int = 4) -> Found:
    """A difference of two AUCs on the same steps in every seed, by pseudo-values of groups of problems.

    Scores are normal with variance 1, of which a fifth is the problem's, and are higher by `lift` for right steps: the
    AUC is Phi(lift / sqrt(2)). A tenth of the variance of the first score is the seed's, as of a head that each seed
    fits; the second is the same in all seeds.
    """
    lifts = (1.0, 0.6)
    right = rng.random((problems, steps)) < 0.875
    shared = np.sqrt(0.2) * rng.normal(size=(problems, 1))
    own = [np.sqrt(left) * rng.normal(size=(problems, steps)) for left in (0.7, 0.8)]
    rows = [Step(str(problem), bool(kind), [], 0.0) for problem, each in enumerate(right.tolist()) for kind in each]
    first, second = (lift * right + shared + noise for lift, noise in zip(lifts, own, strict=True))
    others = list(second.ravel())
    drawn = [list((first + np.sqrt(0.1) * rng.normal(size=first.shape)).ravel()) for _ in range(seeds)]
    contrasts = [area(rows, scores) - area(rows, others) for scores in drawn]
    truth = [NormalDist().cdf(lift / np.sqrt(2)) for lift in lifts]
    return figure(contrasts, [by_group(rows, scores, others) for scores in drawn]).interval, truth[0] - truth[1]


def over_seeds() -> dict[str, Callable[[Rng], Found]]:
    """The intervals that decide claims of experiments."""
    return {
        **{
            f"student: {n} seeds, {between:.2f} between them": partial(smooth_seeds, seeds=n, between=between)
            for between in (0.0, 0.03, 0.10)
            for n in SEEDS
        },
        **{
            f"clopper-pearson: {n} seeds, {failing:.1f} fail": partial(failing_seeds, seeds=n, failing=failing)
            for failing in (0.1, 0.2, 0.3)
            for n in SEEDS
        },
        **{
            f"crossed: {n} seeds {a:.2f}, {c} clusters {b:.2f}": partial(
                crossed, seeds=n, clusters=c, strata=strata, by_seed=a, by_cluster=b
            )
            for n in SEEDS
            for c, strata in CLUSTERS
            for a, b in ((0.0, 0.0), (0.03, 0.0), (0.0, 0.03), (0.03, 0.03))
        },
        "pseudo-values: 8 seeds, 32 groups": partial(areas, seeds=8),
    }


def scenarios(replicates: int) -> dict[str, Callable[[Rng], Found]]:
    """By what is measured."""
    return {
        "wilson: 0.7, 200 items": lambda rng: by_wilson(rng, 0.7, 200),
        "wilson: 0.9, 200 items": lambda rng: by_wilson(rng, 0.9, 200),
        "share: 0.9, 50 prompts of 4": lambda rng: by_share(rng, 0.9, 50, 4, 0.5),
        "share: 0.8, 30 prompts of 9": lambda rng: by_share(rng, 0.8, 30, 9, 0.5),
        "share: 0.9, 50 prompts of 4, nothing shared": lambda rng: by_share(rng, 0.9, 50, 4, 0.0),
        "mean: 0.9, 200 items": lambda rng: by_mean(rng, 0.9, 200, 1, 0.0, replicates),
        "mean: 0.9, 50 prompts of 4": lambda rng: by_mean(rng, 0.9, 50, 4, 0.5, replicates),
        "paired: 0.9 and 0.9, 200 items": lambda rng: paired(rng, 0.9, 0.9, 200, 1, 0.0, replicates),
        "paired: 0.8 and 0.85, 200 items": lambda rng: paired(rng, 0.8, 0.85, 200, 1, 0.0, replicates),
        "paired: 0.9 and 0.93, 50 prompts of 4": lambda rng: paired(rng, 0.9, 0.93, 50, 4, 0.5, replicates),
        "any figure: 0.8 of the readable, 50 prompts of 4": lambda rng: of_any_figure(
            rng, 0.8, 50, 4, min(replicates, 300)
        ),
        "parse rate: 0.8 of 28 pairs of 60 rankings": lambda rng: ranked_pairs(rng, 0.8, 60, 28),
        **over_seeds(),
    }


def coverage(scenario: Callable[[Rng], Found], repetitions: int, seed: int = 0) -> float:
    """The share of repetitions whose interval holds the truth. Repetitions without an interval decide nothing by it."""
    rng = np.random.default_rng(seed)
    found = (scenario(rng) for _ in range(repetitions))
    # Bounds are sums of floating point numbers: a truth of 0.0 must not lie outside by a rounding.
    held = [it.low - 1e-12 <= truth <= it.high + 1e-12 for it, truth in found if it is not None]
    return fmean(map(float, held))


def ranges(covered: Mapping[str, float]) -> dict[str, str]:
    """What docs/measuring.md states of each kind of interval, such as "94.2 to 95.7 %"."""
    kinds: dict[str, list[float]] = {}
    for name, share in covered.items():
        kind = name.partition(":")[0] if name in over_seeds() else "items"
        alike = kind == "crossed" and name.count(" 0.00") == 2
        kinds.setdefault(f"{kind}, if neither seeds nor clusters differ" if alike else kind, []).append(share)
    bounds = {kind: dict.fromkeys(f"{100 * share:.1f}" for share in (min(of), max(of))) for kind, of in kinds.items()}
    return {kind: f"{' to '.join(both)} %" for kind, both in bounds.items()}


def calibration_floor(rows: int = 300, repetitions: int = 300) -> float:
    """The mean ECE of a judge whose confidence, uniform from 0.5 to 1, is its probability of being right."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(repetitions):
        judge = Calibration()
        for confidence in rng.uniform(0.5, 1, size=rows):
            judge.add(float(confidence), right=bool(rng.random() < confidence))
        found.append(judge.ece or 0.0)
    return fmean(found)


def mark(share: float) -> str:
    if share < ENOUGH:
        return "TOO LOW"
    return "conservative" if share > CONSERVATIVE else ""


def table(covered: Mapping[str, float], repetitions: int) -> str:
    width = max(map(len, covered))
    lines = [f"{name:{width}}  {share:.3f}  {mark(share)}".rstrip() for name, share in covered.items()]
    error = (0.95 * 0.05 / repetitions) ** 0.5
    return "\n".join([*lines, f"{repetitions} repetitions; standard error {error:.3f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=600, help="resamples of each interval")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    settings = {"repetitions": given.repetitions, "replicates": given.replicates}
    covered = {name: coverage(each, given.repetitions) for name, each in scenarios(given.replicates).items()}
    print(table(covered, given.repetitions))
    print("\n".join(f"{kind}: {percent}" for kind, percent in ranges(covered).items()))
    print(f"ECE of a judge that is calibrated perfectly, on 300 rows: {calibration_floor():.3f}")
    if given.json:
        given.json.write_text(json.dumps({**settings, "coverage": covered}, indent=2) + "\n")
    sys.exit(any(share < ENOUGH for share in covered.values()))


if __name__ == "__main__":
    main()
