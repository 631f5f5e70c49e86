"""What a labeler is: it gives every step of a solution a label, or rejects the solution with a reason.

    class Always(Labeler):
        async def label_solution(self, solution, tools):
            return Labelled(solution, (1.0,) * len(solution.steps))

Bound to the name `LABELER` in a file, it is used by `fathom label FILE --method NAME`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.engines import AnyRequest, Capability
from fathom.errors import FathomError
from fathom.judges import EngineRewardModel, bounded_gather
from fathom.labelers._rollouts import Count, RejectedError, Rollouts
from fathom.labelers._solutions import Solution, solutions
from fathom.plugins import PluginKind
from fathom.settings import Settings, Splitter

Labels = tuple[float | None, ...]
"""A label per step, 0 (wrong) to 1 (right); None for a step without a label."""

LABELERS = PluginKind(noun="labeler", group="fathom.labelers", packages=("fathom.labelers",), attribute="LABELER")


@dataclass(frozen=True)
class Labelled:
    """A solution with its labels."""

    solution: Solution
    labels: Labels
    confidence: Labels = ()
    """How sure each label is, 0 to 1; what it measures depends on the labeler. Empty if the labeler does not say."""
    values: Labels = ()
    """The estimated probability of success after each step, if the labeler estimates it."""
    sources: Mapping[str, Labels] = field(default_factory=dict)
    """The labels of each source that the labeler combines, by name. A labeler that combines none is the source."""
    verdicts: tuple[str, ...] = ()
    """What a formal check says about each step, such as "untranslated"; empty for other labelers."""
    rejected: str | None = None
    """Why the solution is not used; None if it is."""
    detail: str = ""
    """More about the rejection, such as the text of an error."""
    failed: bool = False
    """Whether it was rejected because a call failed."""


@dataclass(frozen=True)
class Tools:
    """What labelers may use: rollouts of a model, and a judge of steps."""

    rollouts: Rollouts
    judge: EngineRewardModel | None = None
    splitter: Splitter = "paragraphs"


class Labeler(Settings):
    """Base class of labelers. Their fields are their options.

    A labeler implements `label_solution` or, if it makes solutions of its own, overrides `label`; and `requests`, for
    dry runs.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({"text", "prefix"})
    """What the engine of the rollouts must be able to do; empty for a labeler without rollouts."""
    needs_reference: ClassVar[bool] = True
    """Whether problems need a reference answer."""

    @property
    def judge_votes(self) -> int:
        """How many votes it takes from the judge of steps: 0 if it needs none; one is greedy, several are samples."""
        return 0

    @property
    def warning(self) -> str | None:
        """What to say before a run about these options, if anything."""
        return None

    async def label(self, problem: Comparison, tools: Tools) -> list[Labelled]:
        """Label the solutions of a problem. Raises FathomError for a problem that it cannot label."""

        async def one(solution: Solution) -> Labelled:
            try:
                return await self.label_solution(solution, tools)
            except RejectedError as error:
                return rejected(solution, error)

        return await bounded_gather(one, solutions(problem, tools.splitter))

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        """Label one solution. Raises RejectedError for one that gets no labels."""
        raise NotImplementedError(f"{type(self).__name__} has no label_solution")

    def requests(self, solution: Solution, tools: Tools) -> Iterable[AnyRequest]:
        """The calls for one solution, at most; the journal answers those that are repeated."""
        return ()


def unlabelled(solution: Solution, reason: str, *, sources: Mapping[str, Labels] | None = None) -> Labelled:
    """The solution without labels, with the reason and what its sources said."""
    return Labelled(solution, (None,) * len(solution.steps), sources=sources or {}, rejected=reason)


def rejected(solution: Solution, error: RejectedError) -> Labelled:
    """The solution without labels, because of an error."""
    return replace(unlabelled(solution, error.reason), detail=error.detail, failed=error.failed)


def judge_of(tools: Tools) -> EngineRewardModel:
    """The judge of steps. Raises FathomError if there is none."""
    if tools.judge is None:
        raise FathomError("this method needs a judge of steps, got none; name one with --judge, or as Tools(judge=...)")
    return tools.judge


def shares(counts: Sequence[Count | None]) -> Labels:
    """The share of right rollouts after each step; None where there are none."""
    return tuple(None if count is None else count.share for count in counts)


def precisions(counts: Sequence[Count | None]) -> Labels:
    """How precisely the rollouts determine each share: `Count.precision`."""
    return tuple(None if count is None else count.precision for count in counts)
