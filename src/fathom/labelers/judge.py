"""Labels from a judge of steps: its scores, or the majority of several votes.

    majority([(1.0, 1.0, 0.0, None), (1.0, 0.0, None, None), (1.0, 1.0, 0.0, None)])       # (1.0, 1.0, 0.0, None)

One vote is greedy; its scores are the labels, so a model that scores steps by probabilities gives soft labels. Several
votes are samples. With `merge=steps`, each step gets the label of most of the votes that judge it. With
`merge=outcome`, only the votes count that share the majority's opinion on whether any step is wrong. These are two of
the three ways of SPARK (arXiv 2511.22888), which takes 16 votes; the third one, in which a model edits a vote, is not
implemented. The confidence of a label is the share of the votes that judge the step and agree with the label; a single
vote has none.

`check_outcome=true` rejects a solution that is called right throughout although its answer differs from the reference:
a check that costs nothing, after the reverse verification of AURORA (known to us from its abstract alone).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from fathom.engines import AnyRequest, Capability
from fathom.labelers._labeler import Labeler, Labelled, Labels, Tools, judge_of, unlabelled
from fathom.labelers._rollouts import RejectedError
from fathom.labelers._solutions import Solution
from fathom.metrics.steps import first_error
from fathom.rationale import Status

UNREAD = "no vote of the judge could be read"
TIED = "as many votes call the solution right as wrong"
REFUTED = "every step is called right, but the answer is wrong"


class StepJudge(Labeler):
    """Labels of the model that --judge names, without rollouts or reference answers."""

    needs: ClassVar[frozenset[Capability]] = frozenset()
    needs_reference: ClassVar[bool] = False
    votes: int = Field(default=1, ge=1, le=1_000)
    """Votes per solution."""
    merge: Literal["steps", "outcome"] = "steps"
    """(votes > 1) Which votes count for a step: all, or those with the majority's opinion on the whole solution."""
    check_outcome: bool = False
    """Reject solutions that are called right throughout although their answer is wrong; needs reference answers."""

    @property
    def judge_votes(self) -> int:
        return self.votes

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Raises RejectedError if a call failed, and if no vote could be read."""
        votes = await step_votes(solution, tools, self.votes)
        if self.merge == "outcome":
            votes = majority_outcome(votes)
        labels = votes[0] if self.votes == 1 else majority(votes)
        if self.check_outcome and first_error(labels) is None and await tools.rollouts.outcome(solution) is False:
            return unlabelled(solution, REFUTED, sources={"judge": labels})
        confidence = tuple(_support(step, label) for step, label in zip(zip(*votes, strict=True), labels, strict=True))
        return Labelled(solution, labels, confidence if self.votes > 1 else (), sources={"judge": labels})

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


def majority_outcome(votes: Sequence[Labels]) -> list[Labels]:
    """The votes that share the majority's opinion on whether a step is wrong. Raises RejectedError if they tie."""
    right = [vote for vote in votes if first_error(vote) is None]
    wrong = [vote for vote in votes if first_error(vote) is not None]
    if len(right) == len(wrong):
        raise RejectedError(TIED)
    return max(right, wrong, key=len)


def _winner(labels: Sequence[float]) -> float | None:
    right = sum(label >= 0.5 for label in labels)
    return None if 2 * right == len(labels) else float(2 * right > len(labels))


def _support(labels: Sequence[float | None], label: float | None) -> float | None:
    judged = [each for each in labels if each is not None]
    return None if label is None else sum((each >= 0.5) == (label >= 0.5) for each in judged) / len(judged)


LABELER = StepJudge
