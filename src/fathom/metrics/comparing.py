"""Paired comparison of two runs on the same items: the difference, its interval, and the items that changed.

    contrast = compare(runs.open("a.jsonl").rows(), runs.open("b.jsonl").rows())
    contrast.all.difference                # Interval(mean=0.03, low=..., high=...): accuracy of b minus that of a
    contrast.all.p                         # McNemar's exact test
    contrast.changed                       # the items on which one is right and the other is not

A tie and a verdict whose status is not ok count as wrong. Items are matched by id. Items of only one run and items
without a label are counted and left out. The p-values of groups are not corrected for the number of groups, so that
with many groups some differ by chance. For more than two runs, `compare_all` corrects p for the number of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, NamedTuple

from fathom.errors import FathomError
from fathom.metrics.intervals import Interval, cluster_bootstrap_mean, clustered_share, wilson
from fathom.metrics.principles import named
from fathom.metrics.significance import holm
from fathom.results.rows import Row, accuracy, is_labelled, prompt_key

MIN_OF_A_PRINCIPLE = 20
"""Principles that occur in fewer items form no group."""


class Changed(NamedTuple):
    """An item that one run judged right and the other wrong."""

    id: str
    change: Literal["right to wrong", "wrong to right"]
    """From a to b."""


class Item(NamedTuple):
    """The rows of both runs on one item."""

    a: Row
    b: Row

    @property
    def difference(self) -> float:
        return accuracy(self.b) - accuracy(self.a)


@dataclass(frozen=True)
class Group:
    """The accuracy of both runs on the same items. Intervals are clustered by prompt; `difference` is None for fewer
    than two prompts."""

    rows: int
    a: Interval | None
    b: Interval | None
    difference: Interval | None
    """Accuracy of b minus that of a, from the paired differences."""
    p: float
    """The p-value of McNemar's exact test, two-sided. The test assumes independent items, even within a prompt."""
    right_to_wrong: int
    wrong_to_right: int


@dataclass(frozen=True)
class Contrast:
    """The comparison of runs a and b. `dataclasses.asdict` converts it to plain JSON."""

    only_a: int
    """The number of items that only run a has."""
    only_b: int
    """The number of items that only run b has."""
    unlabelled: int
    """The number of items of both runs without a label in at least one."""
    other_prompts: int
    """The number of compared items whose prompts differ: above 0, the runs may have different sources."""
    all: Group
    domains: dict[str, Group]
    subsets: dict[str, Group]
    """By metadata["subset"]; items without one are in no group."""
    principles: dict[str, Group]
    """By principle in either run's parsed votes, in lower case; each occurs in at least 20 items."""
    changed: tuple[Changed, ...]


@dataclass(frozen=True)
class PairOfRuns:
    """Two of several runs, compared on the labelled items that both have."""

    a: str
    b: str
    all: Group
    p_holm: float
    """McNemar's p, corrected for the number of pairs by `holm`."""


def compare(rows_a: Iterable[Row], rows_b: Iterable[Row]) -> Contrast:
    """Compare two runs item by item.

    Raises FathomError if an id occurs twice in a run, or if the runs have no labelled item in common.
    """
    a, b = _by_id(rows_a, "the first run"), _by_id(rows_b, "the second run")
    matched, items = _matched(a, b)
    return Contrast(
        only_a=len(a) - len(matched),
        only_b=len(b) - len(matched),
        unlabelled=len(matched) - len(items),
        other_prompts=sum(item.a["prompt"] != item.b["prompt"] for item in items),
        all=_group(items),
        domains=_groups(items, lambda item: _name(item.a["domain"])),
        subsets=_groups(items, lambda item: _name(item.a["metadata"].get("subset"))),
        principles=_groups(items, _principles, fewest=MIN_OF_A_PRINCIPLE),
        changed=tuple(_changed(item) for item in items if item.difference),
    )


def compare_all(runs: Mapping[str, Iterable[Row]]) -> list[PairOfRuns]:
    """Compare every pair of named runs, in their order. Raises FathomError as `compare` does."""
    by_id = {name: _by_id(rows, f"the run {name}") for name, rows in runs.items()}
    pairs = [(a, b, _group(_matched(by_id[a], by_id[b], f"{a} and {b}: ")[1])) for a, b in combinations(by_id, 2)]
    corrected = holm([group.p for _, _, group in pairs])
    return [PairOfRuns(a, b, group, p) for (a, b, group), p in zip(pairs, corrected, strict=True)]


def _matched(a: Mapping[str, Row], b: Mapping[str, Row], which: str = "") -> tuple[list[Item], list[Item]]:
    """The items of both runs, and those of them with a label in both."""
    matched = [Item(row, b[id]) for id, row in a.items() if id in b]
    items = [item for item in matched if is_labelled(item.a) and is_labelled(item.b)]
    if not items:
        raise FathomError(which + _no_common_items(a, b, len(matched)))
    return matched, items


def _no_common_items(a: Mapping[str, Row], b: Mapping[str, Row], matched: int) -> str:
    message = f"nothing to compare: of {len(a)} and {len(b)} items {matched} are in both runs"
    if matched:
        return f"{message}, and none of these has a label in both; expected two runs on one labelled source"
    ids = " and ".join(repr(next(iter(rows), None)) for rows in (a, b))
    return f"{message}; items are matched by id, for example {ids}; expected two runs on one source"


def mcnemar(right_to_wrong: int, wrong_to_right: int) -> float:
    """The two-sided p-value of McNemar's exact test; 1.0 without changes.

    It is the probability of a split at least this uneven if both directions are equally likely. With n changes, k of
    them in the rarer direction: p = min(1, 2 sum_{i <= k} C(n, i) / 2^n). Source: McNemar 1947, Psychometrika 12.
    """
    changes, fewer = right_to_wrong + wrong_to_right, min(right_to_wrong, wrong_to_right)
    binomial = total = 1
    for i in range(fewer):
        binomial = binomial * (changes - i) // (i + 1)  # C(n, i + 1) from C(n, i), exact in integers
        total += binomial
    # Integers until the division, because floats overflow beyond a thousand changes.
    return min(1.0, float(2 * total / 2**changes))


def changed_rows(rows_a: Iterable[Row], rows_b: Iterable[Row], changed: Sequence[Changed]) -> Iterable[dict[str, Any]]:
    """The rows of both runs on each changed item, as plain JSON with the keys id, change, a and b."""
    ids = {each.id for each in changed}
    a, b = ({row["id"]: row for row in rows if row["id"] in ids} for rows in (rows_a, rows_b))
    return ({**each._asdict(), "a": a[each.id], "b": b[each.id]} for each in changed)


def _by_id(rows: Iterable[Row], run: str) -> dict[str, Row]:
    by_id: dict[str, Row] = {}
    for row in rows:
        if row["id"] in by_id:
            raise FathomError(f"{run} has the id {row['id']!r} twice; expected unique ids, because they match items")
        by_id[row["id"]] = row
    return by_id


def _group(items: Sequence[Item]) -> Group:
    prompts = [prompt_key(item.a) for item in items]
    differences = [item.difference for item in items]
    lost, won = differences.count(-1.0), differences.count(1.0)
    return Group(
        rows=len(items),
        a=clustered_share([accuracy(item.a) for item in items], prompts),
        b=clustered_share([accuracy(item.b) for item in items], prompts),
        difference=_difference(differences, prompts),
        p=mcnemar(lost, won),
        right_to_wrong=lost,
        wrong_to_right=won,
    )


def _difference(differences: Sequence[float], prompts: Sequence[int]) -> Interval | None:
    """The mean difference with a bootstrap interval, which is widened if all differences are equal.

    Resamples of n equal differences d have no spread. But up to a share u of unseen prompts may differ, where u is
    Wilson's upper bound for 0 of n, and may have any value in [-1, 1]. So the mean lies in (1 - u) d + u [-1, 1].
    """
    interval = cluster_bootstrap_mean(differences, prompts)
    unseen = wilson(0, len(set(prompts)))
    if interval is None or unseen is None or interval.low != interval.high:
        return interval
    mean, share = interval.mean, unseen.high
    return Interval(mean, mean - share * (mean + 1), mean + share * (1 - mean))


def _groups(items: Sequence[Item], names: Callable[[Item], Iterable[str]], fewest: int = 1) -> dict[str, Group]:
    """Groups by name, the largest first. An item is in the group of each of its names."""
    members: dict[str, list[Item]] = {}
    for item in items:
        for name in names(item):
            members.setdefault(name, []).append(item)
    largest_first = sorted(members.items(), key=lambda each: (-len(each[1]), each[0]))
    return {name: _group(group) for name, group in largest_first if len(group) >= fewest}


def _name(name: Any) -> list[str]:
    return [] if name is None else [str(name)]


def _principles(item: Item) -> set[str]:
    return {name for row in item if "votes" in row for name in named(row)}


def _changed(item: Item) -> Changed:
    return Changed(str(item.a["id"]), "wrong to right" if item.difference > 0 else "right to wrong")
