"""Labels that combine formal checks of steps with the outcomes of rollouts.

    path_value((Verdict.RIGHT, Verdict.WRONG), right=False)      # (1 * 2/2 - 1 * 1/2) / 2 - 1/2 = -0.25

Source: GroundedPRM (arXiv 2510.14942), known to us from its abstract and code. A path is a whole solution of N steps.
Its value is the mean of the checks v_i of its steps, +1 or -1, with more weight on early ones, plus that of its outcome
f, +1 or -1:

    V = (1/N) sum over i = 0 ... N-1 of v_i (N - i) / N  +  f / N

The value of a step is the mean over the paths through it of discount^d V, where d is the number of steps from it to the
end. A step is right if its own check does not refute it and its value is positive. Steps after the first wrong one
have no label. The confidence of a label is the absolute value of the step, or 1 for a refuted step.

What differs: paths are rollouts from the step instead of those of a tree search. The checks are those of `fover`,
without a model that writes queries to a tool, so many steps of free text have none and count as 0. The index i starts
at 0, which our sources do not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from pydantic import Field

from fathom.data.steps import split
from fathom.engines import AnyRequest
from fathom.labelers._formal import Verdict, verdicts
from fathom.labelers._labeler import Labeler, Labelled, Tools
from fathom.labelers._rollouts import RejectedError, RolloutStatus, requests
from fathom.labelers._solutions import Solution
from fathom.labelers.bisection import UNREAD, outcome_of
from fathom.labelers.fover import step_labels

CHECKS = {Verdict.RIGHT: 1, Verdict.WRONG: -1}


class Grounded(Labeler):
    """Labels from rollouts of every prefix, and from a solver that checks the steps of prefixes and rollouts."""

    rollouts: int = Field(default=8, ge=1, le=10_000)
    """Rollouts per prefix."""
    discount: float = Field(default=0.9, gt=0, le=1)
    """The factor of a path's value for each step between the labelled one and the end."""
    variables: bool = False
    """A contradiction between equations with variables is an error, as in `fover`."""

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Raises RejectedError if a call failed, and if the outcome or most rollouts of a prefix cannot be read."""
        checks = verdicts(solution.steps, variables=self.variables)
        labels: list[float] = []
        confidence: list[float] = []
        for place, check in enumerate(checks):
            value = -1.0 if check is Verdict.WRONG else await self.value(solution, place + 1, tools)
            labels.append(float(value > 0))
            confidence.append(min(1.0, abs(value)))
            if value <= 0:
                break
        rest = (None,) * (len(checks) - len(labels))
        sources = {"grounded": (*labels, *rest), "fover": step_labels(checks)}
        return Labelled(solution, (*labels, *rest), (*confidence, *rest), sources=sources, verdicts=tuple(checks))

    async def value(self, solution: Solution, length: int, tools: Tools) -> float:
        """The value of the step with which the first `length` steps end. The solution's last step needs no rollouts.

        Raises RejectedError if a call failed, and if the outcome or most rollouts cannot be read.
        """
        if length == len(solution.steps):
            right = await outcome_of(solution, tools.rollouts)
            return path_value(verdicts(solution.steps, variables=self.variables), right=right)
        found = await tools.rollouts.of(solution, length, self.rollouts)
        if found.count is None:
            raise RejectedError(UNREAD, solution.prefix(length))
        return fmean(
            self._discounted(solution.steps[:length], split(rollout.text, tools.splitter), rollout.status)
            for rollout in found.rollouts
            if rollout.status in (RolloutStatus.RIGHT, RolloutStatus.WRONG)
        )

    def _discounted(self, before: Sequence[str], after: Sequence[str], status: RolloutStatus) -> float:
        checks = verdicts((*before, *after), variables=self.variables)
        return self.discount ** len(after) * path_value(checks, right=status is RolloutStatus.RIGHT)

    def requests(self, solution: Solution, tools: Tools) -> Iterable[AnyRequest]:
        return requests(tools.rollouts, solution, range(1, len(solution.steps)), self.rollouts)


def path_value(checks: Sequence[Verdict], *, right: bool) -> float:
    """The value of a whole path, from its checks, of which there is at least one, and its outcome."""
    steps = len(checks)
    weighted = sum(CHECKS.get(check, 0) * (steps - place) / steps for place, check in enumerate(checks))
    return weighted / steps + (1 if right else -1) / steps


LABELER = Grounded
