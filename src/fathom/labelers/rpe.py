"""Relative progress estimation (RPE): a step is right if it keeps most of the probability of success.

    progress_labels([Count(6, 8), Count(5, 8), Count(1, 8)], epsilon=0.8)          # (1.0, 0.0) for the two steps

Source: GenPRM (arXiv 2504.00891), section 3.2. With MC_0 of the bare problem and MC_t after step t, the progress of
step t is MC_t / MC_(t-1), and a step is right if this is at least epsilon, 0.8 in the paper. Steps after a share of 0
have no label.

The ratio of two shares of n rollouts is noisy: with n = 8 and shares of 0.4 its standard error is about 0.6, so many
right steps fall below 0.8. With `test=true` a step is wrong only if the probability that its true ratio is below
epsilon is at least `certainty` (`fathom.metrics.ratios`). The confidence of a label is the probability that the true
ratio is on the label's side of epsilon; it is 1 for the last step, whose answer is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

from pydantic import Field

from fathom.engines import Request
from fathom.labelers._labeler import Labeler, Labelled, Labels, Tools, shares
from fathom.labelers._rollouts import Count, RejectedError, requests
from fathom.labelers._solutions import Solution
from fathom.labelers.monte_carlo import prefix_counts
from fathom.metrics.ratios import probability_of_ratio

TOO_HARD = "no rollout of the problem is right"
UNREAD = "most rollouts of the problem could not be read"


class RelativeProgress(Labeler):
    """Labels from the ratio of success rates after and before a step."""

    epsilon: float = Field(gt=0, le=1)
    """The least ratio of a right step; the paper compares 0.1 to 1.0 and uses 0.8."""
    rollouts: int = Field(default=32, ge=1, le=10_000)
    """Rollouts per prefix, also of the bare problem. The paper uses 32 to 128."""
    test: bool = False
    """A step is wrong only if its ratio is below epsilon with the probability `certainty`."""
    certainty: float = Field(default=0.95, gt=0.5, lt=1)
    """(test) The least probability of a ratio below epsilon."""

    @property
    def warning(self) -> str | None:
        """That the rollouts are too few to tell a ratio of 1 from epsilon at a success rate of one half."""
        error = relative_error(0.5, self.rollouts) * sqrt(2)
        if self.test or error < 1 - self.epsilon:
            return None
        return (
            f"with {self.rollouts} rollouts, the ratio of two equal success rates of one half has a standard error of "
            f"{error:.2f}, so right steps are often below epsilon={self.epsilon:g}; use more rollouts, or test=true"
        )

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Raises RejectedError if a call failed, or if no rollout of the bare problem is right."""
        start = (await tools.rollouts.of(solution, 0, self.rollouts)).count
        if start is None or not start.right:
            raise RejectedError(UNREAD if start is None else TOO_HARD)
        after = await prefix_counts(solution, tools.rollouts, self.rollouts)
        counts = [start, *after]
        labels = progress_labels(counts, self.epsilon, self.certainty if self.test else None)
        return Labelled(solution, labels, self._confidence(counts, labels), shares(after), {"rpe": labels})

    def _confidence(self, counts: Sequence[Count | None], labels: Labels) -> Labels:
        found: list[float | None] = []
        for (before, after), label in zip(pairwise(counts), labels, strict=True):
            if label is None or before is None or after is None:
                found.append(None)
                continue
            kept = probability_of_ratio(self.epsilon, before=tuple(before), after=tuple(after))
            found.append(kept if label else 1 - kept)
        *estimated, last = found
        return (*estimated, None if last is None else 1.0)  # the last step's answer is checked, not estimated

    def requests(self, solution: Solution, tools: Tools) -> list[Request]:
        return requests(tools.rollouts, solution, range(len(solution.steps)), self.rollouts)


def progress_labels(counts: Sequence[Count | None], epsilon: float, certainty: float | None = None) -> Labels:
    """The labels of the steps between consecutive prefixes: 1 if the ratio of their shares is at least epsilon, else 0.

    With `certainty`, 0 only if the true ratio is below epsilon with at least this probability; but a step after which
    no rollout is right is always wrong. None after such a step, and where a count is missing.
    """
    labels: list[float | None] = []
    for before, after in pairwise(counts):
        if before is None or after is None or not before.right:
            labels.append(None)
        elif not after.right:
            labels.append(0.0)
        elif certainty is None:
            labels.append(float(after.share >= epsilon * before.share))
        else:
            below = 1 - probability_of_ratio(epsilon, before=tuple(before), after=tuple(after))
            labels.append(float(after.share >= epsilon * before.share or below < certainty))
    return tuple(labels)


def relative_error(share: float, rollouts: int) -> float:
    """The standard error of an estimated share, divided by the share.

    Relative errors of two independent shares add in squares to that of their ratio (the delta method).
    """
    return sqrt((1 - share) / (rollouts * share))


LABELER = RelativeProgress
