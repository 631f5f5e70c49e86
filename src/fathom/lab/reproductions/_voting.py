"""Shared by experiments with votes: the accuracy of one vote, of the greedy vote and of many, on one seed.

A run is a list of `fathom.lab.spct.Measured`. Differences are between means over the same items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from fathom.judges import Rule
from fathom.lab import spct
from fathom.lab.experiments.results import Figure
from fathom.lab.spct import Measured
from fathom.report.figures import Line

COUNTS = (1, 2, 4, 8, 16, 32)
MOST = COUNTS[-1]
ERRORS = (0.2, 0.1, 0.03)
"""Error budgets of adaptive votes."""
SUM, MAJORITY = Rule(aggregate="sum"), Rule()

Run = Sequence[Measured]
"""One judge on one seed."""
Value = Callable[[Measured], float]
"""The accuracy on an item, 0 to 1."""


def summed(count: int) -> Value:
    return partial(spct.voted, count=count, rule=SUM)


def majority(count: int) -> Value:
    return partial(spct.voted, count=count, rule=MAJORITY)


def guided(count: int, keep: float = 0.5) -> Value:
    """The sum of those votes that the meta reward model selects."""
    return partial(spct.voted, count=count, rule=SUM, keep=keep)


def mean(run: Run, value: Value) -> float:
    return fmean(map(value, run))


def difference(first: tuple[Run, Value], second: tuple[Run, Value]) -> float:
    return mean(*first) - mean(*second)


def summary(run: Run) -> dict[str, Any]:
    """Accuracies of one vote, the greedy vote and k votes by each rule, and the shares of ties and unparsed votes."""
    rules = {"sum": SUM, "majority": MAJORITY}
    found: dict[str, Any] = {
        "one": mean(run, spct.one),
        "greedy": mean(run, spct.greedy),
        "sum": {str(count): mean(run, summed(count)) for count in COUNTS},
        "majority": {str(count): mean(run, majority(count)) for count in COUNTS},
        "ties": {name: {str(count): _ties(run, count, rule) for count in COUNTS} for name, rule in rules.items()},
        "adaptive": {str(error): _adaptive(run, error) for error in ERRORS},
        "unreadable": fmean(scores is None for item in run for scores in item.votes),
    }
    if all(item.meta is not None for item in run):
        found["guided"] = {str(count): mean(run, guided(count)) for count in COUNTS}
    return found


def _adaptive(run: Run, error: float) -> dict[str, float]:
    """The sum of the votes that are cast until it is settled, and their mean number."""
    cast = [spct.settled(item, SUM, error) for item in run]
    right = [spct.voted(item, count, SUM) for item, count in zip(run, cast, strict=True)]
    return {"accuracy": fmean(right), "votes": fmean(cast)}


def _ties(run: Run, count: int, rule: Rule) -> float:
    """The share of items on which the votes tie, or no vote is parsed."""
    return fmean(spct.outcome(item, count, rule).winner is None for item in run)


def ceilings(run: Run) -> dict[str, float]:
    """The accuracy of a judge that reads without error (`criteria.Ideal`)."""
    return {name: fmean(item.ideal[name] for item in run) for name in run[0].ideal}


def line(cells: Mapping[str, Figure]) -> Line:
    """Accuracies by number of votes."""
    return [(int(count), cell.bar) for count, cell in cells.items()]


def adaptive_line(cells: Mapping[str, Mapping[str, Figure]]) -> Line:
    """Accuracies by the mean number of votes cast."""
    return sorted(((cell["votes"].mean, cell["accuracy"].bar) for cell in cells.values()), key=lambda point: point[0])
