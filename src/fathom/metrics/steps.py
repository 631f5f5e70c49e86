"""Step-level metrics: does a reward model find the first wrong step?

    first_error((1.0, 0.0, None))                                                    # 1
    first_error_accuracy([((None,), None), ((2,), 2), ((1,), 3)]).f1                 # 2/3: of 1.0 and 0.5

Source: ProcessBench (arXiv 2412.06559), section 4: the harmonic mean of the accuracy on solutions with an error and of
that on solutions without one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple


class FirstErrors(NamedTuple):
    """Accuracy at finding the first wrong step, 0 to 1; None where there is no such solution."""

    erroneous: float | None
    """On solutions with a wrong step: the share whose first one is named."""
    correct: float | None
    """On solutions without one: the share that is called right throughout."""

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; None unless there are solutions of both kinds."""
        if self.erroneous is None or self.correct is None:
            return None
        total = self.erroneous + self.correct
        return 2 * self.erroneous * self.correct / total if total else 0.0


def first_error(step_scores: Sequence[float | None], threshold: float = 0.5) -> int | None:
    """The index of the first step that scores below the threshold; None where no judged step does."""
    return next((step for step, score in enumerate(step_scores) if score is not None and score < threshold), None)


def voted_first_error(votes: Iterable[Sequence[float | None]], threshold: float = 0.5) -> tuple[int | None] | None:
    """The first error that most votes name, in a tuple; None where several share the lead, or there are no votes."""
    ranked = Counter(first_error(vote, threshold) for vote in votes).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return (ranked[0][0],)


def first_error_accuracy(pairs: Iterable[tuple[tuple[int | None] | None, int | None]]) -> FirstErrors:
    """Of pairs of what a model names (`voted_first_error`) and the true first error; no prediction counts as wrong."""
    hits: dict[bool, list[float]] = {True: [], False: []}
    for named, true in pairs:
        hits[true is not None].append(float(named is not None and named[0] == true))
    return FirstErrors(*(fmean(hits[kind]) if hits[kind] else None for kind in (True, False)))
