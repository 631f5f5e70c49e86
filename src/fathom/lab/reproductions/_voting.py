"""Shared by reproductions with votes: accuracies of one vote, of the greedy vote and of many, and their differences.

Runs are lists of `fathom.lab.spct.Measured`, one a seed. Differences are taken item by item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from fathom.judges import Rule, Verdict
from fathom.lab import spct
from fathom.lab.reproductions._claims import named
from fathom.lab.spct import Measured
from fathom.metrics.intervals import Interval, bootstrap
from fathom.report.figures import Line

COUNTS = (1, 2, 4, 8, 16, 32)
ERRORS = (0.2, 0.1, 0.03)
"""Error budgets of adaptive votes."""
SUM, MAJORITY = Rule(aggregate="sum"), Rule()
REPLICATES = 2000

Runs = Sequence[Sequence[Measured]]
"""One run per seed."""
Value = Callable[[Measured], float]
"""The accuracy on an item, 0 to 1."""


def summed(count: int) -> Value:
    return partial(spct.voted, count=count, rule=SUM)


def guided(count: int, keep: float = 0.5) -> Value:
    """The sum of those votes that the meta reward model chooses."""
    return partial(spct.voted, count=count, rule=SUM, keep=keep)


def mean(runs: Runs, value: Value) -> Interval:
    return bootstrap([[value(item) for item in run] for run in runs], replicates=REPLICATES)


def difference(first: tuple[Runs, Value], second: tuple[Runs, Value]) -> Interval:
    """The difference of two means measured on the same items."""
    return combined([(1, *first), (-1, *second)])


def combined(terms: Sequence[tuple[int, Runs, Value]]) -> Interval:
    """The mean of a sum of accuracies, each with its sign."""
    seeds = range(len(terms[0][1]))
    sums = [_sums([(sign, runs[seed], value) for sign, runs, value in terms]) for seed in seeds]
    return bootstrap(sums, replicates=REPLICATES)


def _sums(terms: Sequence[tuple[int, Sequence[Measured], Value]]) -> list[float]:
    columns = [[sign * value(item) for item in run] for sign, run, value in terms]
    return [sum(row) for row in zip(*columns, strict=True)]


def summary(runs: Runs) -> dict[str, Any]:
    """Accuracies of one vote, the greedy vote and k votes by each rule, and the shares of ties and unparsed votes."""
    told: dict[str, Any] = {"one": _mean(runs, spct.one), "greedy": _mean(runs, spct.greedy), "ties": {}}
    for name, rule in (("sum", SUM), ("majority", MAJORITY)):
        verdicts = {
            count: [[(spct.outcome(item, count, rule), item) for item in run] for run in runs] for count in COUNTS
        }
        told[name] = {count: _accuracy(each) for count, each in verdicts.items()}
        told["ties"][name] = {count: _ties(each) for count, each in verdicts.items()}
    if all(item.meta is not None for run in runs for item in run):
        told["guided"] = {count: _mean(runs, guided(count)) for count in COUNTS}
    told["adaptive"] = {error: _adaptive(runs, error) for error in ERRORS}
    told["unreadable"] = fmean(scores is None for run in runs for item in run for scores in item.votes)
    return told


Verdicts = Sequence[Sequence[tuple[Verdict, Measured]]]


def _adaptive(runs: Runs, error: float) -> dict[str, float]:
    """The sum of the votes that are asked for until it is settled, and how many those are."""
    asked = [[spct.settled(item, SUM, error) for item in run] for run in runs]
    right = [
        [spct.voted(item, count, SUM) for item, count in zip(run, counts, strict=True)]
        for run, counts in zip(runs, asked, strict=True)
    ]
    return {**named("accuracy", bootstrap(right)), "votes": fmean(count for counts in asked for count in counts)}


def _mean(runs: Runs, value: Value) -> dict[str, float]:
    return named("accuracy", mean(runs, value))


def _accuracy(verdicts: Verdicts) -> dict[str, float]:
    values = [[spct.accuracy(verdict, item) for verdict, item in run] for run in verdicts]
    return named("accuracy", bootstrap(values, replicates=REPLICATES))


def _ties(verdicts: Verdicts) -> float:
    """The share of items on which the votes tie, or no vote is parsed."""
    return fmean(verdict.winner is None for run in verdicts for verdict, _ in run)


def ceilings(runs: Runs) -> dict[str, float]:
    """The accuracy of a judge that reads without error (`criteria.Ideal`)."""
    return {name: fmean(item.ideal[name] for run in runs for item in run) for name in runs[0][0].ideal}


def line(cells: Mapping[str, Mapping[str, float]]) -> Line:
    """Accuracies by number of votes, which are strings in JSON."""
    return [(int(count), Interval(cell["accuracy"], cell["low"], cell["high"])) for count, cell in cells.items()]


def adaptive_line(cells: Mapping[str, Mapping[str, float]]) -> Line:
    """Accuracies by the number of votes asked for on average."""
    told = [(cell["votes"], Interval(cell["accuracy"], cell["low"], cell["high"])) for cell in cells.values()]
    return sorted(told, key=lambda point: point[0])


def beside(name: str, paper: float, here: Interval) -> dict[str, Any]:
    """A difference of the paper's in percentage points, and the same one here.

    `agrees` is True where ours has the paper's sign and an interval that excludes zero, False where it has the other
    sign and excludes zero, None where our interval includes zero.
    """
    resolved = here.low > 0 or here.high < 0
    return {
        "difference": name,
        "paper": paper,
        "here": 100 * here.mean,
        "low": 100 * here.low,
        "high": 100 * here.high,
        "agrees": (here.mean > 0) == (paper > 0) if resolved else None,
    }
