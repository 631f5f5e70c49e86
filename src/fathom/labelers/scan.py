"""SCAN: Monte Carlo labels of problems that the policy mostly solves, with soft labels before the first wrong step.

    tolerant_labels([Count(7, 8), Count(4, 8), Count(3, 8), Count(0, 8)], confidence=0.8, distance=2)
    # (1.0, 0.625, 0.46875, 0.0): the two steps before the first wrong one get their share divided by 0.8

Source: SCAN (arXiv 2509.16548) and its code, yyDing1/SCAN-PRM. The self-confidence SC of a problem is the share of
right rollouts of the bare problem. Only problems with SC of at least 0.75 are used, because rollouts of hard problems
fail after right steps too. A solution with the right answer gets no further rollouts and the label 1 for each step.
Otherwise rollouts are sampled after one step after another, until the first share of 0, after step t, which gets 0. The
`distance` steps before t get min(1, share / SC): rollouts may repair errors, so the first wrong step may lie before t.
Earlier steps get 1, and later ones no label. A wrong solution without such a step is rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from fathom.engines import AnyRequest
from fathom.labelers._labeler import Labeler, Labelled, Labels, Tools, precisions, shares
from fathom.labelers._rollouts import Count, RejectedError, requests
from fathom.labelers._solutions import Solution
from fathom.labelers.bisection import count_after, outcome_of

TOO_HARD = "the policy does not solve the problem often enough"
NO_ERROR = "the answer is wrong, but rollouts of every prefix succeed"


class Scan(Labeler):
    """Labels up to the first prefix without a right rollout, soft before it, of problems that are mostly solved."""

    confidence_rollouts: int = Field(default=16, ge=1, le=10_000)
    """Rollouts of the bare problem, which estimate the self-confidence; the authors' code has 128."""
    confidence: float = Field(default=0.75, ge=0, le=1)
    """The least self-confidence of a problem."""
    rollouts: int = Field(default=8, ge=1, le=10_000)
    """Rollouts per prefix."""
    distance: int = Field(default=2, ge=0, le=1_000)
    """How many steps before the first wrong one get soft labels."""

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Raises RejectedError if a call failed, if the problem is too hard, if the outcome or a needed prefix cannot
        be read, and if no wrong step is found."""
        confidence = (await count_after(solution, 0, tools.rollouts, self.confidence_rollouts)).share
        if confidence < self.confidence:
            raise RejectedError(TOO_HARD, f"it solves a share of {confidence:.2f}")
        steps = len(solution.steps)
        if await outcome_of(solution, tools.rollouts):
            right: Labels = (1.0,) * steps
            return Labelled(solution, right, sources={"scan": right})
        counts = await self._until_zero(solution, tools)
        rest = (None,) * (steps - len(counts))
        labels = (*tolerant_labels(counts, confidence, self.distance), *rest)
        located = (*(1.0,) * (len(counts) - 1), 0.0, *rest)  # a soft label below 0.5 is not the error that SCAN names
        known = [*counts, *rest]
        return Labelled(solution, labels, precisions(known), shares(known), {"scan": located})

    async def _until_zero(self, solution: Solution, tools: Tools) -> list[Count]:
        counts: list[Count] = []
        for length in range(1, len(solution.steps)):
            counts.append(await count_after(solution, length, tools.rollouts, self.rollouts))
            if not counts[-1].right:
                return counts
        raise RejectedError(NO_ERROR)

    def requests(self, solution: Solution, tools: Tools) -> Iterable[AnyRequest]:
        yield from requests(tools.rollouts, solution, [0], self.confidence_rollouts)
        yield from requests(tools.rollouts, solution, range(1, len(solution.steps)), self.rollouts)


def tolerant_labels(counts: Sequence[Count], confidence: float, distance: int) -> tuple[float, ...]:
    """The labels of the steps up to the first wrong one, the last of `counts`."""
    wrong = len(counts) - 1
    before = (
        1.0 if step < wrong - distance else min(1.0, count.share / confidence)
        for step, count in enumerate(counts[:wrong])
    )
    return (*before, 0.0)


LABELER = Scan
