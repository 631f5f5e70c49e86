"""Bisection: the first wrong step of a wrong solution, with rollouts of about log2(steps) prefixes instead of all.

    await first_wrong(steps=4, reachable=...)       # asks `reachable(2)`, and then `reachable(1)` or `reachable(3)`

Source: OmegaPRM (arXiv 2406.06592), section 3.2. If a rollout of the middle prefix is right, the first wrong step comes
later, otherwise it is in the first half. This assumes that a wrong step is never repaired: where success comes back
after a prefix without any, bisection may find another boundary than a scan of all prefixes does.

A solution with the right answer has no rollouts: every step has the label 1, because the solution itself is a right
rollout of each of its prefixes. The confidence of the labels of prefixes with rollouts is as in `monte_carlo`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from math import ceil, log2

from pydantic import Field

from fathom.engines import AnyRequest
from fathom.labelers._labeler import Labeler, Labelled, Tools, precisions, shares
from fathom.labelers._rollouts import Count, RejectedError, Rollouts, requests
from fathom.labelers._solutions import Solution

NO_OUTCOME = "the final answer cannot be read"
TOO_HARD = "no rollout of the problem is right"
UNREAD = "most rollouts of a prefix could not be read"


class Bisection(Labeler):
    """The first wrong step by bisection."""

    rollouts: int = Field(default=8, ge=1, le=10_000)
    """Rollouts per prefix."""
    check_problem: bool = True
    """First sample rollouts of the bare problem, and reject it if none is right: then rollouts show no wrong step."""

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Raises RejectedError if a call failed, if the outcome or a needed prefix cannot be read, and if no rollout of
        the problem is right."""
        steps = len(solution.steps)
        if await outcome_of(solution, tools.rollouts):
            labels: tuple[float | None, ...] = (1.0,) * steps
            return Labelled(solution, labels, sources={"bisection": labels})
        counts: dict[int, Count] = {}

        async def reachable(length: int) -> bool:
            counts[length] = await count_after(solution, length, tools.rollouts, self.rollouts)
            return counts[length].right > 0

        if self.check_problem and not await reachable(0):
            raise RejectedError(TOO_HARD)
        wrong = await first_wrong(steps, reachable)
        labels = (*(1.0,) * wrong, 0.0, *(None,) * (steps - wrong - 1))
        known = [counts.get(length) for length in range(1, steps + 1)]
        return Labelled(solution, labels, precisions(known), shares(known), {"bisection": labels})

    def requests(self, solution: Solution, tools: Tools) -> Iterable[AnyRequest]:
        steps = len(solution.steps)
        probed = range(1 - self.check_problem, ceil(log2(steps)) + 1)  # as many prefixes as are probed, not the same
        return requests(tools.rollouts, solution, probed, self.rollouts)


async def first_wrong(steps: int, reachable: Callable[[int], Awaitable[bool]]) -> int:
    """The index of the first wrong step of a wrong solution, from at most ceil(log2(steps)) calls of `reachable`.

    `reachable(n)`: whether the right answer can still be reached after the first n steps. It is taken to be true of 0
    steps and false of all. If it is monotone, as in 1, 1, 1, 0, 0, the result is exact.
    """
    right, wrong = 0, steps  # the right answer can be reached after `right` steps, and not after `wrong` steps
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if await reachable(middle):
            right = middle
        else:
            wrong = middle
    return wrong - 1


async def outcome_of(solution: Solution, rollouts: Rollouts) -> bool:
    """Whether the solution's own answer is right. Raises RejectedError if it cannot be read."""
    right = await rollouts.outcome(solution)
    if right is None:
        raise RejectedError(NO_OUTCOME)
    return right


async def count_after(solution: Solution, length: int, rollouts: Rollouts, number: int) -> Count:
    """The rollouts after a prefix. Raises RejectedError if a call failed, or if most cannot be read."""
    count = (await rollouts.of(solution, length, number)).count
    if count is None:
        raise RejectedError(UNREAD, f"after {length} of {len(solution.steps)} steps")
    return count


LABELER = Bisection
