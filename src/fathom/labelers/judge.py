"""Labels from a judge of steps: its scores, or the majority of several votes.

    majority([(1.0, 1.0, 0.0, None), (1.0, 0.0, None, None), (1.0, 1.0, 0.0, None)])       # (1.0, 1.0, 0.0, None)

One vote is greedy; its scores are the labels, so a model that scores steps by probabilities gives soft labels. Several
votes are samples. With `merge=steps`, each step gets the label of most of the votes that judge it. With
`merge=outcome`, only the votes count that share the majority's opinion on whether any step is wrong. With
`revise=true`, the judge gets its own check back and writes it again; the second text counts, also if it cannot be read.
These are the three ways of SPARK (arXiv 2511.22888, known to us from its abstract and reviews), which takes 16 votes.
The confidence of a label is the share of the votes that judge the step and agree with the label; a single vote has
none.

`prompts` adds judges that differ in their prompt alone, and vote as often as the first one. `check_outcome=true`
rejects a solution that is called right throughout although its answer differs from the reference. Both are after AURORA
(known to us from its abstract): an ensemble of prompts, and verification in reverse, from the reference answer, for
which the shipped prompt `reverse` asks. In the manifest, each prompt is a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from fathom import prompts as templates
from fathom.data.steps import first_error
from fathom.engines import AnyRequest, Capability, ChatMessage, EngineError, Request
from fathom.errors import FathomError
from fathom.judges import EngineRewardModel, Judge, Vote, failed_vote
from fathom.labelers._labeler import Labeler, Labelled, Labels, Tools, judge_of, unlabelled
from fathom.labelers._rollouts import RejectedError
from fathom.labelers._solutions import Solution
from fathom.rationale import Status

SHIPPED = Path(templates.__file__).parent / "critics"
"""The folder of shipped prompts of critics."""
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
    revise: bool = False
    """Have the judge review each of its texts, and count the second one; twice as many calls."""
    prompts: tuple[str, ...] = ()
    """Further prompts of the judge, in the order of their votes: `recompute` or `reverse`, which are for the judge
    processbench, or templates as FILE.jinja."""
    check_outcome: bool = False
    """Reject solutions that are called right throughout although their answer is wrong; needs reference answers."""

    @property
    def judge_votes(self) -> int:
        return self.votes

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Raises RejectedError if a call failed, and if no vote could be read. Raises FathomError for a judge that
        writes no text, if there are other prompts or revisions."""
        judge = judge_of(tools)
        found = {"judge": await self._votes(solution, judge, tools)}
        for name in self.prompts:
            found[name] = await self._votes(solution, prompted(judge, name), tools)
        read = {name: fitting(each, solution) for name, each in found.items()}
        votes = list(chain.from_iterable(read.values()))
        if not votes:
            raise RejectedError(UNREAD, statuses(chain.from_iterable(found.values())))
        if self.merge == "outcome":
            votes = majority_outcome(votes)
        labels = votes[0] if self._total == 1 else majority(votes)
        sources = {name: majority(each) for name, each in read.items() if each} if self.prompts else {"judge": labels}
        if self.check_outcome and first_error(labels) is None and await tools.rollouts.outcome(solution) is False:
            return unlabelled(solution, REFUTED, sources=sources)
        confidence = tuple(_support(step, label) for step, label in zip(zip(*votes, strict=True), labels, strict=True))
        return Labelled(solution, labels, confidence if self._total > 1 else (), sources=sources)

    @property
    def _total(self) -> int:
        return self.votes * (1 + len(self.prompts))

    async def _votes(self, solution: Solution, judge: EngineRewardModel, tools: Tools) -> list[Vote]:
        """The votes of one prompt. Raises RejectedError for a failed call."""
        votes = [vote for sample in range(self.votes) for vote in await judge.votes(solution.comparison, sample)]
        counted(votes, tools)
        if self.revise:
            votes = [await revised(written(judge), vote, solution, sample) for sample, vote in enumerate(votes)]
            counted(votes, tools)
        return votes

    def requests(self, solution: Solution, tools: Tools) -> Iterable[AnyRequest]:
        judge = judge_of(tools)
        for each in (judge, *(prompted(judge, name) for name in self.prompts)):
            for sample in range(self.votes):
                yield from (request for ask in each.plan(solution.comparison, sample) for request in ask.requests)
                if self.revise:
                    yield revision(written(each).request(solution.comparison, sample), "")


# Other prompts, and revisions -----------------------------------------------------------------------------------------


def written(judge: EngineRewardModel) -> Judge:
    """The judge. Raises FathomError for one that writes no text."""
    if not isinstance(judge, Judge):
        raise FathomError(
            f"{type(judge).__name__} writes no text, so the options prompts and revise cannot be used; leave them out, "
            "or choose a judge that writes, such as --judge processbench"
        )
    return judge


def prompted(judge: EngineRewardModel, name: str) -> Judge:
    """The judge with another prompt: a shipped one, or a template's file.

    Raises FathomError for a judge without templates, and for a file that does not exist.
    """
    writer = written(judge)
    if not any(field.name == "template" for field in fields(writer)):
        raise FathomError(
            f"{type(writer).__name__} has no template, so the option prompts cannot be used; leave it out, or choose a "
            "judge with a template, such as --judge processbench"
        )
    file = Path(name) if name.endswith(".jinja") else SHIPPED / f"{name}.jinja"
    if not file.is_file():
        shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.jinja")))
        raise FathomError(f"there is no prompt {name!r}; expected an existing FILE.jinja, or one of {shipped}")
    changes: dict[str, str] = {"template": str(file)}
    return replace(writer, **changes)  # type: ignore[arg-type]


async def revised(judge: Judge, vote: Vote, solution: Solution, sample: int) -> Vote:
    """The vote of the judge's second text, in which it reviews its first one; the same vote if that has no text."""
    if not vote.text:
        return vote
    request = revision(judge.request(solution.comparison, sample), vote.text)
    assert judge.engine is not None
    try:
        return judge.read_completion(await judge.engine.complete(request), solution.comparison)
    except EngineError as error:
        return failed_vote(error)


def revision(request: Request, text: str) -> Request:
    """The request for a review of the text with which the model answered a request."""
    review = templates.render("revise_check")
    turns: tuple[ChatMessage, ...] = ({"role": "assistant", "content": text}, {"role": "user", "content": review})
    return replace(request, messages=(*request.messages, *turns))


# Votes ----------------------------------------------------------------------------------------------------------------


async def step_votes(solution: Solution, tools: Tools, count: int) -> list[Labels]:
    """The step scores of each readable vote of the judge on a solution.

    Raises RejectedError if a call failed, and if no vote could be read.
    """
    judge = judge_of(tools)
    votes = [vote for sample in range(count) for vote in await judge.votes(solution.comparison, sample)]
    counted(votes, tools)
    found = fitting(votes, solution)
    if not found:
        raise RejectedError(UNREAD, statuses(votes))
    return found


def statuses(votes: Iterable[Vote]) -> str:
    """The statuses of votes that could not be used, as text."""
    return ", ".join(str(vote.status) for vote in votes)


def counted(votes: Iterable[Vote], tools: Tools) -> None:
    """Add the votes to the costs. Raises RejectedError for a failed one."""
    for vote in votes:
        tools.rollouts.cost.add(vote.usage, f"judge: {vote.status}")
        if vote.status is Status.FAILED:
            raise RejectedError("a call failed", vote.error or "", failed=True)


def fitting(votes: Iterable[Vote], solution: Solution) -> list[Labels]:
    """The step scores of the votes that score every step of a solution."""
    scores = [vote.step_scores[0] for vote in votes if vote.step_scores]
    return [each for each in scores if len(each) == len(solution.steps)]


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
