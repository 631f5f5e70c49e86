"""OmegaPRM: first wrong steps of a problem's wrong rollouts, which are chosen by a tree search.

    make_labeler("omegaprm", searches=20).label(problem, tools)         # labelled rollouts of the problem

Source: OmegaPRM (arXiv 2406.06592), section 3.3. A state is a prefix s with the share MC(s) of its k rollouts that are
right, and its visits N(s). Each search takes the pair of a state with 0 < MC(s) < 1 and one of its wrong rollouts r
with the highest Q(s, r) + U(s), where

    Q(s, r) = alpha^(1 - MC(s)) beta^(length(r) / scale)          U(s) = c sqrt(sum of all N) / (1 + N(s)),

and finds the first wrong step of r by `bisection`. Each probed prefix becomes a state, with its rollouts. Q prefers
short wrong rollouts of states from which most rollouts are right; U prefers states with few visits.

The result has one solution per search: the wrong rollout, with the share of right rollouts as the label of each probed
prefix. Right rollouts are not in the result; its positive examples are the probed prefixes with a positive share. The
wrong solutions of the file count as rollouts of the bare problem, and are searched too. The length of a rollout is
counted in words, as in the implementation of OpenR; the paper counts tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

from pydantic import Field

from fathom.data.records import Comparison
from fathom.data.steps import split
from fathom.engines import AnyRequest
from fathom.labelers._labeler import Labeler, Labelled, Labels, Tools, rejected
from fathom.labelers._rollouts import Count, Estimate, RejectedError, RolloutStatus
from fathom.labelers._solutions import Solution, solutions
from fathom.labelers.bisection import TOO_HARD, UNREAD, first_wrong

TOO_EASY = "every rollout of the problem is right"


class OmegaPRM(Labeler):
    """Labelled rollouts of each problem, by tree search."""

    rollouts: int = Field(default=8, ge=1, le=10_000)
    """Rollouts per state."""
    searches: int = Field(default=100, ge=1, le=100_000)
    """Searches per problem, at most."""
    budget: int = Field(default=1000, ge=1, le=1_000_000)
    """Rollouts per problem: no search begins after this number."""
    alpha: float = Field(default=0.5, gt=0, le=1)
    """The base of Q's first factor: the smaller, the more it prefers states from which most rollouts are right."""
    beta: float = Field(default=0.9, gt=0, le=1)
    """The base of Q's second factor: the smaller, the more it prefers short rollouts."""
    scale: float = Field(default=500.0, gt=0)
    """The length of a rollout, in words, that multiplies Q by beta."""
    exploration: float = Field(default=0.125, ge=0)
    """The factor c of U."""
    soft: bool = True
    """Labels are shares of right rollouts, for probed prefixes only; else 1 up to the first wrong step, which is 0."""

    async def label(self, problem: Comparison, tools: Tools) -> list[Labelled]:
        """One solution per search that found a wrong step. Or the problem's first solution, rejected: if the problem is
        too easy or too hard, if a call failed, if most rollouts could not be read, or if no search found a step."""
        try:
            tree = await self._grown(problem, tools)
        except RejectedError as error:
            return [rejected(solutions(problem, tools.splitter)[0], error)]
        return [self._labelled(problem, number, searched) for number, searched in enumerate(tree.searched)]

    async def _grown(self, problem: Comparison, tools: Tools) -> Tree:
        tree = Tree(problem, tools, self.rollouts)
        root = await tree.state("")
        share = root.count.share
        if share in (0.0, 1.0):
            raise RejectedError(TOO_EASY if share else TOO_HARD)
        for solution in solutions(problem, tools.splitter):
            if await tools.rollouts.outcome(solution) is False:
                root.add(solution.text)
        for _ in range(self.searches):
            pairs = list(tree.candidates())
            if not pairs or tree.cost >= self.budget:
                break
            await tree.search(*max(pairs, key=lambda pair: self.preference(pair[0], pair[1], tree.visits)))
        if not tree.searched:
            raise RejectedError(UNREAD)
        return tree

    def preference(self, state: State, rollout: str, visits: int) -> float:
        """Q + U of a state and one of its wrong rollouts. `visits`: the visits of all states."""
        promise = self.alpha ** (1 - state.count.share)
        brevity = self.beta ** (len(rollout.split()) / self.scale)
        return float(promise * brevity) + self.exploration * sqrt(visits) / (1 + state.visits)

    def _labelled(self, problem: Comparison, number: int, searched: Searched) -> Labelled:
        steps, shares, wrong = searched
        hard = (*(1.0,) * wrong, 0.0, *(None,) * (len(steps) - wrong - 1))
        found = problem.model_copy(
            update={
                "id": f"{problem.id}/{number}",
                "responses": ("".join(steps),),
                "steps": (steps,),
                "step_types": None,
                "label": None,
                "annotations": None,
                "source_order": None,
            }
        )
        labels = tuple(0.0 if step == wrong else share for step, share in enumerate(shares)) if self.soft else hard
        return Labelled(Solution(found), labels, values=shares, sources={"omegaprm": hard})

    def requests(self, solution: Solution, tools: Tools) -> Iterable[AnyRequest]:
        """Prefixes are not known in advance: as many rollouts of the longest one of the file as the budget allows."""
        prefix = solution.prefix(len(solution.steps) - 1)
        return [tools.rollouts.request(solution.comparison, prefix, sample) for sample in range(self.budget)]


@dataclass
class State:
    """A prefix with its rollouts."""

    prefix: str
    count: Count
    wrong: list[str]
    """Wrong rollouts that were not searched."""
    visits: int = 0

    def add(self, rollout: str) -> None:
        if rollout not in self.wrong:
            self.wrong.append(rollout)


class Searched(NamedTuple):
    """A wrong rollout of the problem, whole."""

    steps: tuple[str, ...]
    shares: Labels
    """The share of right rollouts after each step; None where it was not probed."""
    wrong: int
    """The index of the first wrong step."""


@dataclass
class Tree:
    """The states of one problem."""

    problem: Comparison
    tools: Tools
    rollouts: int
    states: dict[str, State] = field(default_factory=dict)
    searched: list[Searched] = field(default_factory=list)

    @property
    def visits(self) -> int:
        return sum(state.visits for state in self.states.values())

    @property
    def cost(self) -> int:
        """The number of rollouts."""
        return len(self.states) * self.rollouts

    async def state(self, prefix: str) -> State:
        """The state of a prefix, which is new or known. Raises RejectedError if most rollouts cannot be read."""
        if prefix not in self.states:
            estimate = await self.tools.rollouts.after(self.problem, prefix, self.rollouts)
            if estimate.count is None:
                raise RejectedError(UNREAD, prefix)
            self.states[prefix] = State(prefix, estimate.count, _wrong(estimate))
        return self.states[prefix]

    def candidates(self) -> Iterator[tuple[State, str]]:
        """The pairs of a state, with a share of right rollouts between 0 and 1, and one of its wrong rollouts."""
        return (
            (state, rollout) for state in self.states.values() if 0 < state.count.share < 1 for rollout in state.wrong
        )

    async def search(self, state: State, rollout: str) -> None:
        """Find the first wrong step of a wrong rollout. If most rollouts of a prefix cannot be read, none is found.

        Raises RejectedError if a call failed.
        """
        state.visits += 1
        state.wrong.remove(rollout)
        before = split(state.prefix, self.tools.splitter) if state.prefix else ()
        steps = (*before, *split(rollout, self.tools.splitter))

        async def reachable(length: int) -> bool:
            return (await self.state("".join(steps[: len(before) + length]))).count.right > 0

        try:
            wrong = len(before) + await first_wrong(len(steps) - len(before), reachable)
        except RejectedError as error:
            if error.failed:
                raise
        else:
            self.searched.append(Searched(steps, self._shares(steps), wrong))

    def _shares(self, steps: tuple[str, ...]) -> Labels:
        prefixes = ("".join(steps[:length]) for length in range(1, len(steps) + 1))
        return tuple(self.states[prefix].count.share if prefix in self.states else None for prefix in prefixes)


def _wrong(estimate: Estimate) -> list[str]:
    """The distinct wrong rollouts with text, in the order of their samples."""
    texts = (each.text for each in estimate.rollouts if each.status is RolloutStatus.WRONG)
    return [text for text in dict.fromkeys(texts) if text.strip()]


LABELER = OmegaPRM
