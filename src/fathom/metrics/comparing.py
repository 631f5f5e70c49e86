"""Two judges on the same items: by how much they differ, how sure that is, and on which items.

    contrast = compare(runs.open("a.jsonl").rows(), runs.open("b.jsonl").rows())
    contrast.all.difference                # Interval(mean=0.03, low=..., high=...): accuracy of b minus that of a
    contrast.all.p                         # McNemar's exact test
    contrast.changed                       # the items on which one is right and the other is not

A tie and a verdict without status ok count as wrong. Items are matched by id; those that one run alone has, or
that have no label, are counted and left out. Many groups make some of them differ by chance: their p is not corrected
for that. Of more than two runs, `compare_all` corrects the p of every pair for the number of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, NamedTuple

from fathom.errors import FathomError
from fathom.metrics.intervals import Interval, cluster_bootstrap_mean, clustered_share, wilson
from fathom.metrics.principles import named
from fathom.results.rows import Row, accuracy, is_labelled, prompt_key

MIN_OF_A_PRINCIPLE = 20
"""Principles that occur in fewer rows are not told apart."""


class Changed(NamedTuple):
    id: str
    change: Literal["right to wrong", "wrong to right"]
    """From a to b."""


class Item(NamedTuple):
    """One item as both runs have it."""

    a: Row
    b: Row

    @property
    def difference(self) -> float:
        return accuracy(self.b) - accuracy(self.a)


@dataclass(frozen=True)
class Group:
    """A figure of both runs on the same items. Intervals are by prompt; None where one prompt tells no spread."""

    rows: int
    a: Interval | None
    b: Interval | None
    difference: Interval | None
    """Accuracy of b minus that of a, from the paired differences."""
    p: float
    """McNemar's exact test, two-sided. It takes items as independent, also those of one prompt."""
    right_to_wrong: int
    wrong_to_right: int


@dataclass(frozen=True)
class Contrast:
    """`dataclasses.asdict` makes it plain JSON."""

    only_a: int
    """Items that the other run does not have, as in `only_b`."""
    only_b: int
    unlabelled: int
    """Items in both that have no label in one of them."""
    other_prompts: int
    """Of the compared items, those whose prompts differ: are these runs on one source?"""
    all: Group
    domains: dict[str, Group]
    subsets: dict[str, Group]
    """By metadata["subset"], where there is one."""
    principles: dict[str, Group]
    """By the principles that occur in either run's parsed votes, in lower case; each in 20 items or more."""
    changed: tuple[Changed, ...]


@dataclass(frozen=True)
class PairOfRuns:
    """Two of several runs, on the labelled items that both have."""

    a: str
    b: str
    all: Group
    p_holm: float
    """McNemar's p, corrected for the number of pairs of runs (`holm`)."""


def compare(rows_a: Iterable[Row], rows_b: Iterable[Row]) -> Contrast:
    """Raises FathomError where an id occurs twice in a run, and where no labelled item is in both."""
    a, b = _by_id(rows_a, "the first run"), _by_id(rows_b, "the second run")
    matched, items = _matched(a, b)
    return Contrast(
        only_a=len(a) - len(matched),
        only_b=len(b) - len(matched),
        unlabelled=len(matched) - len(items),
        other_prompts=sum(item.a["prompt"] != item.b["prompt"] for item in items),
        all=_group(items),
        domains=_groups(items, lambda item: _told(item.a["domain"])),
        subsets=_groups(items, lambda item: _told(item.a["metadata"].get("subset"))),
        principles=_groups(items, _principles, fewest=MIN_OF_A_PRINCIPLE),
        changed=tuple(_changed(item) for item in items if item.difference),
    )


def compare_all(runs: Mapping[str, Iterable[Row]]) -> list[PairOfRuns]:
    """Every pair of runs, by their names, in their order. Raises FathomError as `compare` does."""
    rows = {name: _by_id(found, f"the run {name}") for name, found in runs.items()}
    pairs = [(a, b, _group(_matched(rows[a], rows[b], f"{a} and {b}: ")[1])) for a, b in combinations(rows, 2)]
    corrected = holm([group.p for _, _, group in pairs])
    return [PairOfRuns(a, b, group, p) for (a, b, group), p in zip(pairs, corrected, strict=True)]


def holm(values: Sequence[float]) -> list[float]:
    """Each p corrected for the number of tests: where they are below 0.05, the chance of any false one is at most 0.05.

    The smallest of m is multiplied by m, the next by m - 1, ..., and none is below one that was smaller. No assumption
    is made on how the tests depend on each other. Holm 1979, Scandinavian Journal of Statistics 6.
    """
    corrected = [1.0] * len(values)
    reached = 0.0
    for done, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        reached = max(reached, min(1.0, (len(values) - done) * values[place]))
        corrected[place] = reached
    return corrected


def _matched(a: Mapping[str, Row], b: Mapping[str, Row], which: str = "") -> tuple[list[Item], list[Item]]:
    """Items that are in both runs, and those of them that have a label in both."""
    matched = [Item(row, b[id]) for id, row in a.items() if id in b]
    items = [item for item in matched if is_labelled(item.a) and is_labelled(item.b)]
    if not items:
        raise FathomError(which + _nothing_in_common(a, b, len(matched)))
    return matched, items


def _nothing_in_common(a: Mapping[str, Row], b: Mapping[str, Row], matched: int) -> str:
    found = f"nothing to compare: of {len(a)} and {len(b)} items {matched} are in both runs"
    if matched:
        return f"{found}, and none of them has a label in both; give two runs on one labelled source"
    ids = " and ".join(repr(next(iter(rows), None)) for rows in (a, b))
    return f"{found}, which are matched by id; ids are, for example, {ids}. Give two runs on one source"


def mcnemar(right_to_wrong: int, wrong_to_right: int) -> float:
    """The two-sided p of McNemar's exact test: of so many changes, so uneven a split or more, were both as likely.

    McNemar 1947, Psychometrika 12; the binomial form. 1.0 where nothing changed.
    """
    changes, fewer = right_to_wrong + wrong_to_right, min(right_to_wrong, wrong_to_right)
    ways = total = 1
    for taken in range(fewer):
        ways = ways * (changes - taken) // (taken + 1)
        total += ways
    # In whole numbers, because powers of two overflow beyond a thousand changes.
    return min(1.0, float(2 * total / 2**changes))


def changed_rows(rows_a: Iterable[Row], rows_b: Iterable[Row], changed: Sequence[Changed]) -> Iterable[dict[str, Any]]:
    """What both runs have on each changed item, as plain rows with the keys id, change, a and b."""
    ids = {each.id for each in changed}
    a, b = ({row["id"]: row for row in rows if row["id"] in ids} for rows in (rows_a, rows_b))
    return ({**each._asdict(), "a": a[each.id], "b": b[each.id]} for each in changed)


def _by_id(rows: Iterable[Row], run: str) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        if row["id"] in found:
            raise FathomError(f"{run} has the id {row['id']!r} twice; items are matched by id, so each needs its own")
        found[row["id"]] = row
    return found


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
    """Where all differences are equal, a bootstrap has no doubt; others are then allowed for by Wilson's bound of 0."""
    found = cluster_bootstrap_mean(differences, prompts)
    others = wilson(0, len(set(prompts)))
    if found is None or others is None or found.low != found.high:
        return found
    return Interval(
        found.mean, found.mean - others.high * (found.mean + 1), found.mean + others.high * (1 - found.mean)
    )


def _groups(items: Sequence[Item], names: Callable[[Item], Iterable[str]], fewest: int = 1) -> dict[str, Group]:
    """Groups by name, the largest first; an item is in the group of each of its names."""
    members: dict[str, list[Item]] = {}
    for item in items:
        for name in names(item):
            members.setdefault(name, []).append(item)
    largest_first = sorted(members.items(), key=lambda each: (-len(each[1]), each[0]))
    return {name: _group(found) for name, found in largest_first if len(found) >= fewest}


def _told(name: Any) -> list[str]:
    return [] if name is None else [str(name)]


def _principles(item: Item) -> set[str]:
    return {name for row in item if "votes" in row for name in named(row)}


def _changed(item: Item) -> Changed:
    return Changed(str(item.a["id"]), "wrong to right" if item.difference > 0 else "right to wrong")
