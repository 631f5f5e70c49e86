"""The results of an experiment: one row per seed, and figures over seeds.

    results = load(Path("results.json"))
    over_seeds([row.figures for row in results.rows])["mix"]["rlvr"]["accuracy"]     # a `Figure`
    print(...)                                                                       # 0.951 [0.830, 1.000]

A results file is small, so that it is committed beside the experiment's code and its page is made from it alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from fathom.errors import FathomError
from fathom.metrics.intervals import Interval, crossed_mean, student_mean
from fathom.results.provenance import write_json

DIGITS = 5
"""Decimals that results keep. Seeds that agree in these count as equal."""

Figures = Mapping[str, Any]
"""Numbers by name, nested to any depth, such as {"mix": {"accuracy": 0.98}}; None where a seed has none."""


class Measurement(NamedTuple):
    """What one seed measured."""

    contrasts: Mapping[str, float]
    """By the words that the register gives each; every contrast of every claim is there."""
    figures: Figures
    """For tables and figures of the page."""
    by_cluster: Mapping[str, Mapping[str, float]] = {}
    """For contrasts whose items repeat in every seed: the contrast of each cluster, such as a verb or a question.

    Clusters whose names share the part before a slash are of one stratum: "preference/draft", "preference/write".
    """


class Row(BaseModel):
    """One seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int
    contrasts: dict[str, float]
    by_cluster: dict[str, dict[str, float]] = {}
    figures: dict[str, Any]
    wall_seconds: float
    """Elapsed time of the seed's parts, added up. Parts run side by side, one per core."""
    cpu_seconds: float

    @field_validator("contrasts", "by_cluster", "figures", mode="before")
    @classmethod
    def _rounded(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): cls._rounded(each) for key, each in value.items()}
        return round(value, DIGITS) + 0.0 if isinstance(value, float) else value


class Results(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    made_from: dict[str, Any]
    """Settings, recipes and the hashes of inputs."""
    versions: dict[str, str]
    claims: dict[str, Any] | None = None
    """`Register.criteria` as they were when these results were written; None for results that did not record them."""
    rows: tuple[Row, ...]

    @property
    def seeds(self) -> list[int]:
        return [row.seed for row in self.rows]


def load(path: Path) -> Results:
    """Raises FathomError for a file that does not hold results."""
    try:
        return Results(**json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError, TypeError) as error:
        raise FathomError(f"{path}: not valid results of an experiment: {error}") from error


def save(path: Path, results: Results) -> None:
    write_json(path, results.model_dump(mode="json"))


class Figure(NamedTuple):
    """A mean over seeds. `interval` is None where one seed ran or all agree: neither shows a spread."""

    mean: float
    interval: Interval | None
    values: tuple[float, ...]
    """One per seed."""

    def __str__(self) -> str:
        return self.text()

    def text(self, form: str = ".3f", times: float = 1.0) -> str:
        """The mean and its interval, each multiplied by `times`, in a format such as `+.3f`."""
        mean, *bounds = (format(times * value, form) for value in (self.interval or (self.mean,)))
        return f"{mean} [{', '.join(bounds)}]" if bounds else mean

    @property
    def bar(self) -> Interval:
        """For plots: no error bar where there is no interval."""
        return self.interval or Interval(self.mean, self.mean, self.mean)


def figure(values: Sequence[float], by_cluster: Sequence[Mapping[str, float]] = ()) -> Figure:
    """The mean over seeds with Student's t interval, or with `crossed_mean`'s where the same clusters repeat."""
    interval = student_mean(values)
    if interval and by_cluster:
        names = sorted(set.intersection(*(set(each) for each in by_cluster)))
        strata = [name.rpartition("/")[0] for name in names]
        interval = crossed_mean([[each[name] for name in names] for each in by_cluster], strata)
        # The clusters may differ in size, so their mean is not quite the mean of all items: take its width only.
        shift = fmean(values) - interval.mean if interval else 0.0
        interval = interval and Interval(*(bound + shift for bound in interval))
    return Figure(fmean(values), interval, tuple(values))


def over_seeds(seeds: Iterable[Figures]) -> dict[str, Any]:
    """Nested numbers of every seed as nested `Figure`s. A name that some seeds lack is a mean over the others."""
    seeds = list(seeds)
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for each in seeds for name in each):
        values = [each[name] for each in seeds if each.get(name) is not None]
        if values:
            merged[name] = over_seeds(values) if isinstance(values[0], Mapping) else figure(values)
    return merged
