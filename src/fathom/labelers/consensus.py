"""Consensus: Monte Carlo labels of the solutions on whose first wrong step another source agrees.

Source: "Lessons" (arXiv 2501.07301), section 3.1.4. Both sources name a first wrong step, or none. A solution is kept
if they name the same. The other source is a judge of steps (in the paper a large language model), or the labels that
the file has: for example those of `fathom label --method judge` with another model.

Agreement removes the errors of each source that the other one does not make. It keeps errors that both make, and more
easy solutions than hard ones. The manifest reports the agreement over all solutions, kept or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from fathom.data.steps import first_error
from fathom.engines import AnyRequest
from fathom.labelers._labeler import Labeler, Labelled, Labels, Tools, shares, unlabelled
from fathom.labelers._rollouts import RejectedError, requests
from fathom.labelers._solutions import Solution
from fathom.labelers.judge import judge_requests, majority, step_votes
from fathom.labelers.monte_carlo import confidence_of, hard_labels, prefix_counts

DISAGREE = "the sources name different first wrong steps"
UNDECIDED = "a source does not name a first wrong step or none"
NOT_GIVEN = "the file has no labels of the solution"


class Consensus(Labeler):
    """Labels that Monte Carlo rollouts and another source agree on."""

    rollouts: int = Field(default=8, ge=1, le=10_000)
    """Rollouts per prefix."""
    threshold: float = Field(default=0.0, ge=0, lt=1)
    """A step is right if more than this share of its rollouts is right."""
    against: Literal["judge", "given"] = "judge"
    """The other source: the judge of --judge, or the labels that the file has."""
    votes: int = Field(default=1, ge=1, le=1_000)
    """(against=judge) Votes per solution; of several, the majority of each step counts."""

    @property
    def judge_votes(self) -> int:
        return self.votes if self.against == "judge" else 0

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Raises RejectedError if a call failed, if the judge could not be read, or if the file has no labels."""
        other = await self._other(solution, tools)  # first, because it takes fewer calls and may reject
        counts = await prefix_counts(solution, tools.rollouts, self.rollouts, self.threshold)
        labels = hard_labels(counts, self.threshold)
        sources = {"monte_carlo": labels, **({"judge": other} if self.against == "judge" else {})}
        if not (_is_decided(labels) and _is_decided(other)):
            return unlabelled(solution, UNDECIDED, sources=sources)
        if first_error(labels) != first_error(other):
            return unlabelled(solution, DISAGREE, sources=sources)
        return Labelled(solution, labels, confidence_of(solution, counts), shares(counts), sources)

    async def _other(self, solution: Solution, tools: Tools) -> Labels:
        if self.against == "judge":
            return majority(await step_votes(solution, tools, self.votes))
        if solution.given_labels is None:
            raise RejectedError(NOT_GIVEN)
        return solution.given_labels

    def requests(self, solution: Solution, tools: Tools) -> Iterable[AnyRequest]:
        yield from requests(tools.rollouts, solution, range(1, len(solution.steps)), self.rollouts)
        yield from judge_requests(solution, tools, self.judge_votes)


def _is_decided(labels: Labels) -> bool:
    """Whether the labels name a first wrong step, or call every step right: no label is missing before it."""
    end = first_error(labels)
    return None not in labels[:end]


LABELER = Consensus
