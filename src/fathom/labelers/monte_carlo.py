"""Monte Carlo labels: a step is right if a rollout from it reaches the right answer.

    hard_labels([Count(3, 8), Count(1, 8), Count(0, 8), None])          # (1.0, 1.0, 0.0, None)

Sources: Math-Shepherd (arXiv 2312.08935), section 3.3, for hard and soft labels; "Lessons" (arXiv 2501.07301), section
3.1, for the threshold, of which 0 was the best.

A label says whether the right answer can still be reached, not whether the step is right: a strong model repairs
errors, a weak one fails after right steps, and more rollouts make a wrong step look right more often. The confidence is
1 minus the width of Wilson's 95 % interval of the success rate; it is 1 for the last step, which is checked itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from fathom.engines import Request
from fathom.labelers._labeler import Labeler, Labelled, Labels, Tools, precisions, shares
from fathom.labelers._rollouts import Count, Rollouts, requests
from fathom.labelers._solutions import Solution


class MonteCarlo(Labeler):
    """Labels from rollouts of every prefix, up to the first without a right one."""

    rollouts: int = Field(default=8, ge=1, le=10_000)
    """Rollouts per prefix."""
    soft: bool = False
    """Labels are the shares of right rollouts, instead of 1 and 0."""
    threshold: float = Field(default=0.0, ge=0, lt=1)
    """A step is right if more than this share of its rollouts is right."""

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Raises RejectedError if a call failed."""
        counts = await prefix_counts(solution, tools.rollouts, self.rollouts, self.threshold)
        hard = hard_labels(counts, self.threshold)
        labels = soft_labels(counts, self.threshold) if self.soft else hard
        return Labelled(solution, labels, confidence_of(solution, counts), shares(counts), {"monte_carlo": hard})

    def requests(self, solution: Solution, tools: Tools) -> list[Request]:
        return requests(tools.rollouts, solution, range(1, len(solution.steps)), self.rollouts)


async def prefix_counts(
    solution: Solution, rollouts: Rollouts, count: int, threshold: float = 0.0
) -> list[Count | None]:
    """The rollouts after each step, as counts. The last step needs none: the solution's own answer is checked.

    None where most rollouts could not be read, and after the first step without a share above the threshold. Raises
    RejectedError if a call failed.
    """
    counts: list[Count | None] = []
    steps = len(solution.steps)
    for length in range(1, steps):
        estimate = (await rollouts.of(solution, length, count)).count
        counts.append(estimate)
        if estimate is not None and estimate.share <= threshold:
            return counts + [None] * (steps - length)
    right = await rollouts.outcome(solution)
    return [*counts, None if right is None else Count(int(right), 1)]


def hard_labels(counts: Sequence[Count | None], threshold: float = 0.0) -> Labels:
    """1 for each step whose share of right rollouts is above the threshold, 0 for the first other one.

    None after that one, and for steps without counts.
    """
    return _until_wrong(
        counts, [None if count is None else float(count.share > threshold) for count in counts], threshold
    )


def soft_labels(counts: Sequence[Count | None], threshold: float = 0.0) -> Labels:
    """The share of right rollouts of each step, up to the first one that is not above the threshold."""
    return _until_wrong(counts, shares(counts), threshold)


def confidence_of(solution: Solution, counts: Sequence[Count | None]) -> Labels:
    """The confidence of each label: 1 for the last step, whose answer is checked, else `Count.precision`."""
    *before, last = precisions(counts)
    return (*before, None if last is None else 1.0)


def _until_wrong(counts: Sequence[Count | None], labels: Sequence[float | None], threshold: float) -> Labels:
    wrong = (step for step, count in enumerate(counts) if count is not None and count.share <= threshold)
    end = next(wrong, len(counts)) + 1
    return (*labels[:end], *[None] * (len(labels) - end))


LABELER = MonteCarlo
