"""The task of `fathom label`: the labels of the solutions of one problem.

    with labelers.answer_checker("math") as check:
        tools = task.tools(engine, check, cost)     # what the labeler works with, on one machine and on many

A problem is labelled by one worker, whatever the method: the tree of OmegaPRM, for example, is not divided. Shards
share no completions, so a prefix that problems of two shards have in common is completed for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import TypeAdapter

from fathom import labelers
from fathom.data.folders import Folder
from fathom.data.records import Comparison
from fathom.engines import Capability, Engine, Sampling, check_capabilities
from fathom.errors import FathomError
from fathom.judges import EngineRewardModel, Judge
from fathom.judging import RowOutcome, make_judge_for_checkpoint
from fathom.labelers import Checker, Cost, Labeler, Labelled, Rollouts, Tools
from fathom.results import parts
from fathom.scale.plan import Report
from fathom.scale.task import Item, Work
from fathom.settings import BoundSettings, EngineSettings, JudgeSettings, LabelSettings, SamplingSettings

LABELLED = TypeAdapter(list[Labelled])
COST = TypeAdapter(Cost)


@dataclass(frozen=True, kw_only=True)
class LabelTask:
    """Labels problems by a method, with these settings."""

    method: str
    engine: EngineSettings
    bounds: BoundSettings
    sampling: SamplingSettings
    labels: LabelSettings
    judge: JudgeSettings
    """That of steps, for methods that ask one."""
    folder: ClassVar = parts.ITEMS
    columns: ClassVar = parts.ITEM_COLUMNS

    @property
    def concurrency(self) -> int:
        return self.labels.concurrency

    @property
    def labeler(self) -> Labeler:
        """Raises FathomError for an unknown method or option."""
        return labelers.make_labeler(self.method, **self.labels.options)

    @property
    def asked(self) -> EngineRewardModel | None:
        """The judge of steps, if the labeler needs one. A single vote is greedy.

        Raises FathomError for a judge that does not score steps.
        """
        votes = self.labeler.judge_votes
        if not votes:
            return None
        chosen = make_judge_for_checkpoint(None, **self.judge.arguments)
        if not chosen.scores_steps:
            raise FathomError(
                f"--judge {self.judge.judge} does not score steps; expected processbench, mr_gsm8k or process"
            )
        if not isinstance(chosen, Judge):
            return chosen
        return replace(chosen, sampling=replace(self._sampling, temperature=0.0) if votes == 1 else self._sampling)

    @property
    def needs(self) -> frozenset[Capability]:
        """What the engine must be able to do; empty if the method calls no model."""
        asked = self.asked
        return self.labeler.needs | (asked.needs if asked else frozenset())

    def tools(self, engine: Engine, check: Checker, cost: Cost) -> Tools:
        """The tools of the labeler, which add to `cost`."""
        asked = self.asked
        rollouts = Rollouts(engine, self._sampling, check, instruction=self.labels.instruction, cost=cost)
        return Tools(rollouts, asked and replace(asked, engine=engine), self.labels.split)

    @property
    def copies(self) -> tuple[float, int]:
        """The share of solutions of which the result has a copy with merged steps, and its seed."""
        return self.labels.merge, self.sampling.seed

    @property
    def _sampling(self) -> Sampling:
        return Sampling(**self.sampling.model_dump(exclude_none=True))

    @contextmanager
    def work(self, engine: Engine) -> Iterator[Work]:
        check_capabilities(engine, self.needs, f"the method {self.method}")
        labeler, cost = self.labeler, Cost()
        with labelers.answer_checker(self.labels.checker, unsafe_code=self.judge.unsafe_code) as check:
            tools = self.tools(engine, check, cost)

            async def item(problem: Comparison) -> Item:
                labelled = await labeler.label(problem, tools)
                row = {"id": problem.id, "row": LABELLED.dump_json(labelled).decode()}
                return Item(row, outcome(labelled))

            yield Work(item, lambda: {"cost": COST.dump_python(cost, mode="json")})


def outcome(labelled: Iterable[Labelled]) -> RowOutcome:
    """Whether any solution of a problem was labelled, and whether any call failed."""
    found = list(labelled)
    return RowOutcome(any(each.rejected is None for each in found), any(each.failed for each in found))


def labelled_by_workers(out: Folder) -> Iterator[list[Labelled]]:
    """The labelled solutions of each problem, in the order of the source, without problems that were set aside."""
    for line, _ in parts.lines(out.address, parts.ITEMS):
        yield LABELLED.validate_json(line)


def cost_of_workers(reports: Iterable[Report]) -> Cost:
    """The completions that the labels of all shards were made of."""
    total = Cost()
    for report in reports:
        total += COST.validate_python(report.details["cost"])
    return total
