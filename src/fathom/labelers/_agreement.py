"""Agreement between the step labels of two sources, such as a labeler and people.

agreement([((1.0, 0.0, None), (1.0, 1.0, 0.0))]).first_error            # 0 of 1: the first errors are 1 and 2
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fathom.data.steps import first_error
from fathom.metrics.intervals import Interval, wilson
from fathom.metrics.steps import FirstErrors, first_error_accuracy

Labels = Sequence[float | None]
RIGHT = 0.5
"""Labels of at least this mean a right step."""


class Agreement(NamedTuple):
    """How far the labels of a source agree with those of another one, the reference of `f1`."""

    solutions: int
    """Solutions that both label."""
    same_first_error: Interval | None
    """The share of solutions with the same first wrong step, or none, in both. Wilson's 95 % interval."""
    first_errors: FirstErrors
    """The same for solutions that are wrong and for those that are right by the reference, and their harmonic mean."""
    steps: int
    """Steps that both label."""
    same_step: Interval | None
    """The share of these with the same label. Wilson's interval, as if steps were independent."""

    def as_row(self) -> dict[str, Any]:
        """The figures as plain JSON."""
        return {
            "solutions": self.solutions,
            "same_first_error": self.same_first_error and self.same_first_error._asdict(),
            **self.first_errors._asdict(),
            "f1": self.first_errors.f1,
            "steps": self.steps,
            "same_step": self.same_step and self.same_step._asdict(),
        }


def agreement(pairs: Iterable[tuple[Labels, Labels]]) -> Agreement:
    """The agreement of pairs of labels of one solution each: of a source, and of the reference.

    Solutions without labels in one of both do not count.
    """
    both = [pair for pair in pairs if all(any(label is not None for label in labels) for labels in pair)]
    firsts = [(first_error(labels, RIGHT), first_error(others, RIGHT)) for labels, others in both]
    steps = [
        (one >= RIGHT, other >= RIGHT)
        for labels, others in both
        for one, other in zip(labels, others, strict=True)
        if one is not None and other is not None
    ]
    return Agreement(
        solutions=len(both),
        same_first_error=wilson(sum(one == other for one, other in firsts), len(firsts)),
        first_errors=first_error_accuracy(((one,), other) for one, other in firsts),
        steps=len(steps),
        same_step=wilson(sum(one == other for one, other in steps), len(steps)),
    )
