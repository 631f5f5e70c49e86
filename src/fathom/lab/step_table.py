"""A model of steps as a table: the smoothed mean label of each kind of step.

    table = fitted([((("+", 2, 3), ("*", 3, 6)), (1.0, 0.0))])
    table["*", 3, 6]                                    # 0.25: one label of 0, and `PRIOR` right ones of two

It has no training noise, so that two tables differ by their labels alone. It generalizes to no step of another kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fathom.labelers import Labels

Kind = tuple[Any, ...]
"""What is known about a step, such as the operation and the values before and after it."""
Table = Mapping[Kind, float]
"""The score of each kind of step, 0 to 1."""
PRIOR = 0.5
"""How many right steps each kind has beside those of the training set."""


def fitted(solutions: Iterable[tuple[Sequence[Kind], Labels]]) -> Table:
    """The mean label of each kind of step, with a prior. Steps without a label count for nothing.

    A kind without labels scores 1. Most of these are wrong, because right ones are frequent; a lower score would let a
    tuned threshold find them without any label.
    """
    sums: dict[Kind, list[float]] = defaultdict(lambda: [PRIOR, PRIOR])
    for kinds, labels in solutions:
        for kind, label in zip(kinds, labels, strict=True):
            if label is not None:
                found = sums[kind]
                found[0] += label
                found[1] += 1
    return defaultdict(lambda: 1.0, {kind: total / count for kind, (total, count) in sums.items()})
