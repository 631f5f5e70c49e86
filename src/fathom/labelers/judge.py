"""Labels from a judge of steps: its scores, or the majority of several votes.

    majority([(1.0, 1.0, 0.0, None), (1.0, 0.0, None, None), (1.0, 1.0, 0.0, None)])       # (1.0, 1.0, 0.0, None)

One vote is greedy; its scores are the labels, so a model that scores steps by probabilities gives soft labels. Several
votes are samples, and each step gets the label of most of the votes that judge it. The confidence of a label is the
share of the votes that judge the step and agree with the label; a single vote has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from pydantic import Field

from fathom.engines import AnyRequest, Capability
from fathom.labelers._labeler import Labeler, Labelled, Labels, Tools, judge_of
from fathom.labelers._rollouts import RejectedError
from fathom.labelers._solutions import Solution
from fathom.rationale import Status

UNREAD = "no vote of the judge could be read"


class StepJudge(Labeler):
    """Labels of the model that --judge names, without rollouts or reference answers."""

    needs: ClassVar[frozenset[Capability]] = frozenset()
    needs_reference: ClassVar[bool] = False
    votes: int = Field(default=1, ge=1, le=1_000)
    """Votes per solution."""

    @property
    def judge_votes(self) -> int:
        return self.votes

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Raises RejectedError if a call failed, and if no vote could be read."""
        votes = await step_votes(solution, tools, self.votes)
        if self.votes == 1:
            return Labelled(solution, votes[0], sources={"judge": votes[0]})
        labels = majority(votes)
        confidence = tuple(_support(step, label) for step, label in zip(zip(*votes, strict=True), labels, strict=True))
        return Labelled(solution, labels, confidence, sources={"judge": labels})

    def requests(self, solution: Solution, tools: Tools) -> Iterable[AnyRequest]:
        return judge_requests(solution, tools, self.votes)


async def step_votes(solution: Solution, tools: Tools, count: int) -> list[Labels]:
    """The step scores of each readable vote of the judge on a solution.

    Raises RejectedError if a call failed, and if no vote could be read.
    """
    judge, cost = judge_of(tools), tools.rollouts.cost
    votes = [vote for sample in range(count) for vote in await judge.votes(solution.comparison, sample)]
    for vote in votes:
        cost.add(vote.usage, f"judge: {vote.status}")
        if vote.status is Status.FAILED:
            raise RejectedError("a call failed", vote.error or "", failed=True)
    scores = [vote.step_scores[0] for vote in votes if vote.step_scores]
    fitting = [each for each in scores if len(each) == len(solution.steps)]
    if not fitting:
        raise RejectedError(UNREAD, ", ".join(str(vote.status) for vote in votes))
    return fitting


def judge_requests(solution: Solution, tools: Tools, count: int) -> Iterable[AnyRequest]:
    """The requests of `step_votes`."""
    for sample in range(count):
        for ask in judge_of(tools).plan(solution.comparison, sample):
            yield from ask.requests


def majority(votes: Sequence[Labels]) -> Labels:
    """The label of each step by most of the votes that judge it, 1 or 0; None without votes, and if they tie."""
    return tuple(_winner([label for label in step if label is not None]) for step in zip(*votes, strict=True))


def _winner(labels: Sequence[float]) -> float | None:
    right = sum(label >= 0.5 for label in labels)
    return None if 2 * right == len(labels) else float(2 * right > len(labels))


def _support(labels: Sequence[float | None], label: float | None) -> float | None:
    judged = [each for each in labels if each is not None]
    return None if label is None else sum((each >= 0.5) == (label >= 0.5) for each in judged) / len(judged)


LABELER = StepJudge
