"""What probes share that change a response: which one, into what, and whether it wins more often for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from statistics import fmean

import yaml

from fathom.probes import Variation
from fathom.probes._measures import Item, Measure, Outcome, difference, shift
from fathom.records import Comparison, placement


def each(comparison: Comparison, change: Callable[[str], str]) -> Iterator[Variation]:
    """Each of the two responses changed, the other one as it is."""
    for target in range(len(comparison.responses) if len(comparison.responses) == 2 else 0):
        yield Variation(str(target), _with(comparison, target, change), target, label=comparison.label)


def _with(comparison: Comparison, target: int, change: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(change(text) if k == target else text for k, text in enumerate(comparison.responses))


def effects(found: Sequence[Item], before: Callable[[Item], Outcome | None]) -> list[Measure]:
    """The change in a response's share of the vote, of both responses and of the worse one alone."""

    def gain(item: Item, target: int | None) -> float | None:
        after = None if target is None else item.variation(str(target))
        start = before(item)
        if target is None or after is None or start is None:
            return None
        return difference(after.share(target), start.share(target))

    def of_both(item: Item) -> float | None:
        gains = [told for target in (0, 1) if (told := gain(item, target)) is not None]
        return fmean(gains) if len(gains) == 2 else None

    return [
        shift("effect", "change in the probability that a response wins, once it is changed", found, of_both),
        shift("effect on the worse", "the same of the response that the label calls worse", found, _of_worse(gain)),
    ]


def _of_worse(gain: Callable[[Item, int | None], float | None]) -> Callable[[Item], float | None]:
    def value(item: Item) -> float | None:
        label = item.plain.label if item.plain else None
        return gain(item, None if label is None else 1 - label)

    return value


def as_it_is(item: Item) -> Outcome | None:
    return item.plain


def worse(comparison: Comparison) -> int:
    """Which of two responses is worse; without a label, any one, drawn by the comparison's id."""
    best = comparison.label.winner if comparison.label else None
    return placement(0, comparison.id, 2)[0] if best is None else 1 - best


def drawn(texts: Sequence[str], comparison: Comparison, kind: str) -> str:
    """One of the texts, by the comparison's id: all comparisons together see all of them."""
    return texts[placement(0, f"{comparison.id}/{kind}", len(texts))[0]]


@cache
def texts_of(file: str) -> Mapping[str, Sequence[str]]:
    """The texts by kind, from a file beside this one."""
    kinds: Mapping[str, Sequence[str]] = yaml.safe_load(
        resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    )
    return kinds
