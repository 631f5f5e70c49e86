"""Merges consecutive steps of labelled solutions, as further training data.

    merged(row, 1).label.steps              # ((1.0, 0.0),) if they were ((1.0, 1.0, 0.0),)

Source: hierarchical node compression, of HRM (arXiv 2503.13551), known to us from its abstract and code. A merged unit
has the label of its later step: with labels of rollouts, whether the right answer can still be reached after both. So a
model learns that a step may repair the one before, and to score coarser steps than those of its data.

There, nodes of a search tree are merged, under conditions on the numbers of their children. Here one pair of steps of
a solution is drawn at random and merged, and the solution itself is kept too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from fathom.data.records import Comparison, Label
from fathom.data.steps import joined

OF_STEPS = ("confidence", "values", "verdicts")
"""What labelers write of each step into the metadata of a row."""


def with_merged(rows: Iterable[Comparison], share: float, *, seed: int = 0) -> Iterator[Comparison]:
    """The rows, each of one labelled solution, and after a `share` of them a copy with one pair of merged steps.

    Whether a solution has a copy, and of which pair, depends on its id and on the seed alone. The later step of a pair
    has a label.
    """
    for row in rows:
        yield row
        drawn = random.Random(f"merge/{seed}/{row.id}")
        if drawn.random() < share and (pairs := mergeable(row)):
            yield merged(row, drawn.choice(pairs))


def mergeable(row: Comparison) -> list[int]:
    """The indices of the steps that can be merged with the next one, which has a label."""
    assert row.label is not None
    assert row.label.steps is not None
    (labels,) = row.label.steps
    return [place for place in range(len(labels) - 1) if labels[place + 1] is not None]


def merged(row: Comparison, place: int) -> Comparison:
    """The solution with the step at this index and the next one as one step, which has the later one's label.

    Whatever else is known of each step, such as the labels of other sources, is also that of the later one.
    """
    assert row.steps is not None
    (steps,) = row.steps
    parts = joined(steps, row.responses[0])
    unit = f"{parts[place]}{parts[place + 1]}"
    whole = unit if "".join(steps) == row.responses[0] else unit.removesuffix("\n\n")
    annotations = row.annotations and {name: _shorter(label, place) for name, label in row.annotations.items()}
    return row.model_copy(
        update={
            "id": f"{row.id}/merged-{place + 1}",
            "steps": ((*steps[:place], whole, *steps[place + 2 :]),),
            "label": row.label and _shorter(row.label, place),
            "annotations": annotations,
            "metadata": {
                name: (*value[:place], *value[place + 1 :]) if name in OF_STEPS else value
                for name, value in row.metadata.items()
            },
        }
    )


def _shorter(label: Label, place: int) -> Label:
    assert label.steps is not None
    (steps,) = label.steps
    return Label(steps=((*steps[:place], *steps[place + 1 :]),))
