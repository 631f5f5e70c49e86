"""Shared code of probes that change one response: which response to change, and the effect on its share of the vote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib import resources

import yaml

from fathom.data.records import Comparison, shuffled_order
from fathom.probes import Variation
from fathom.probes._measures import Item, Measure, Outcome, difference, shift


def each(comparison: Comparison, change: Callable[[str], str]) -> Iterator[Variation]:
    """Two variations: in each, one of the two responses is changed."""
    for target in range(len(comparison.responses) if len(comparison.responses) == 2 else 0):
        yield Variation(str(target), _with(comparison, target, change), target, label=comparison.label)


def _with(comparison: Comparison, target: int, change: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(change(text) if k == target else text for k, text in enumerate(comparison.responses))


Before = Callable[[Item], Outcome | None]
"""The baseline to which the variations of an item are compared."""


def effects(items: Sequence[Item], before: Before) -> list[Measure]:
    """The change in the share of the vote of the changed response: averaged over both, and for the worse one only."""
    both = "change in the win probability of the changed response, averaged over both responses"
    worse = "the same, where the changed response is the worse one by the label"
    return [
        shift("effect", both, items, partial(_gain_of_both, before)),
        shift("effect on the worse", worse, items, partial(_gain_of_worse, before)),
    ]


def _gain_of_both(before: Before, item: Item) -> float | None:
    one, other = (_gain(before, item, target) for target in (0, 1))
    return None if one is None or other is None else (one + other) / 2


def _gain_of_worse(before: Before, item: Item) -> float | None:
    label = item.plain.label if item.plain else None
    return None if label is None else _gain(before, item, 1 - label)


def _gain(before: Before, item: Item, target: int) -> float | None:
    start, after = before(item), item.variation(str(target))
    return None if start is None or after is None else difference(after.share(target), start.share(target))


def original_outcome(item: Item) -> Outcome | None:
    """The verdict on the original comparison, as a baseline."""
    return item.plain


def worse(comparison: Comparison) -> int:
    """Index of the worse of two responses; without a label, drawn by the comparison's id."""
    best = comparison.label.winner if comparison.label else None
    return shuffled_order(0, comparison.id, 2)[0] if best is None else 1 - best


def drawn(texts: Sequence[str], comparison: Comparison, kind: str) -> str:
    """One of the texts, drawn by the comparison's id, so that all comparisons together use all texts."""
    return texts[shuffled_order(0, f"{comparison.id}/{kind}", len(texts))[0]]


@cache
def texts_of(file: str) -> Mapping[str, Sequence[str]]:
    """Texts by kind, from a YAML file in this folder."""
    kinds: Mapping[str, Sequence[str]] = yaml.safe_load(
        resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    )
    return kinds
