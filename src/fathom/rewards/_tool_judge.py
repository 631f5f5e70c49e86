"""A judge of steps that calls tools before its verdict: the loop that `grounded_prm` and `tattoo` share.

The model checks one step at a time. It may write a call, whose result it reads in the next prompt:

    The product can be computed. <calculator>13 * 15</calculator>
    [calculator: 195]
    The step says 205. \\boxed{incorrect}

Every prompt is a single message: the problem, the steps so far, and the latest calls with their results, as many as
`window`. So prompts stay bounded, however many calls a solution takes. A step has at most `calls` calls; a model that
still gives no verdict makes the vote invalid.

A failed call is shown to the model with its reason, and stands in the transcript as failed. It decides nothing.
Text after a call is dropped, because the model made it up before it saw the result.
"""

from __future__ import annotations

import asyncio
import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from fathom import prompts, sandbox
from fathom.data.records import Comparison
from fathom.data.steps import steps_of, thought_and_answer
from fathom.engines import Engine, Request
from fathom.engines.usage import NO_USAGE, Usage
from fathom.judges import Rule, SequentialRewardModel, Vote, scored_by_steps, without_text
from fathom.judges.thinkprm import VERDICT
from fathom.process.tools import Observation, Tool, called
from fathom.rationale import Status
from fathom.rewards._unreadable import UnreadableError, check_finished
from fathom.settings import Splitter


class Call(NamedTuple):
    """A call in a text, which ends with it."""

    text: str
    tool: Tool
    argument: str


class Exchange(NamedTuple):
    """A call and its result."""

    step: int
    """The number of the step, from 1."""
    call: Call
    observation: Observation

    def __str__(self) -> str:
        outcome = self.call.tool if self.observation.ok else f"{self.call.tool} failed"
        return f"{self.call.text}\n[{outcome}: {self.observation.text}]"


@dataclass(frozen=True, kw_only=True)
class ToolJudge(SequentialRewardModel):
    """Judges the steps of each solution alone, up to the first wrong one; later steps have no score.

    Raises FathomError where the tool `python` cannot be run safely.
    """

    tools: tuple[Tool, ...] = ("calculator",)
    """The tools that the model may call."""
    calls: Annotated[int, Field(ge=0, le=64)] = 4
    """The largest number of calls for a step."""
    window: Annotated[int, Field(ge=1, le=64)] = 4
    """How many calls and results, the latest ones, a prompt shows."""
    require_call: bool = False
    """Give a step no score if no call for it succeeded."""
    unsafe_code: bool = False
    """Run programs without a sandbox where the system offers none."""
    split: Splitter = "paragraphs"
    """How to split responses without steps."""
    template: Path | None = None
    """A Jinja file that replaces the shipped prompt."""
    threshold: ClassVar[float | None] = 0.5
    scores_steps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if "python" in self.tools and not self.unsafe_code and not sandbox.available():
            sandbox.check()  # states why, before a model is loaded

    @property
    @abstractmethod
    def template_name(self) -> str:
        """The name of the shipped template under `prompts/`, without `.jinja`."""

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean", steps="min")

    def steps(self, comparison: Comparison) -> tuple[str, ...]:
        """The steps of a single response."""
        return steps_of(comparison, self.split)

    def decided(self, comparison: Comparison) -> Vote | None:
        return without_text("".join(self.steps(comparison)))

    # Pure parts -------------------------------------------------------------------------------------------------------

    def values(self, comparison: Comparison, index: int, exchanges: Sequence[Exchange]) -> dict[str, Any]:
        """The variables of the template, for step `index` (from 1) after the calls of all steps so far."""
        steps = self.steps(comparison)
        made = sum(exchange.step == index for exchange in exchanges)
        return {
            "instruction": comparison.prompt_text,
            "earlier": steps[: index - 1],
            "step": steps[index - 1],
            "kind": None if comparison.step_types is None else comparison.step_types[0][index - 1],
            "index": index,
            "exchanges": tuple(map(str, exchanges[-self.window :])),
            "tools": self.tools,
            "left": made < self.calls and bool(self.tools),
        }

    def prompt(self, comparison: Comparison, index: int, exchanges: Sequence[Exchange]) -> str:
        return prompts.render(self.template or self.template_name, **self.values(comparison, index, exchanges))

    def read(self, text: str) -> Call | bool | Status:
        """The first call in a text, or else its verdict: True for a correct step. Verdicts must agree.

        A call or verdict in the thought of a thinking model does not count.
        """
        text = thought_and_answer(text)[1]
        found = re.search(rf"<({'|'.join(self.tools)})>(.*?)(?:</\1>|$)", text, re.DOTALL) if self.tools else None
        before = text[: found.start()] if found else text
        verdicts = {match[1].lower() == "correct" for match in VERDICT.finditer(before)}
        if len(verdicts) > 1 or (found and verdicts):
            return Status.CONTRADICTORY
        if found:
            tool: Tool = next(tool for tool in self.tools if tool == found[1])
            return Call(f"{before}<{tool}>{found[2]}</{tool}>".strip(), tool, found[2].strip())
        return verdicts.pop() if verdicts else Status.MISSING

    # The loop ---------------------------------------------------------------------------------------------------------

    async def vote(self, engine: Engine, comparison: Comparison, sample: int) -> Vote:
        check = _Check(self, engine, comparison, sample)
        steps = len(self.steps(comparison))
        scores: list[float | None] = []
        while len(scores) < steps and 0.0 not in scores:
            index = len(scores) + 1
            try:
                correct = await check.verdict(index)
            except UnreadableError as problem:
                error = f"step {index}: {problem.error}"
                return Vote(problem.status, text=check.text(), usage=problem.usage, error=error)
            supported = any(each.step == index and each.observation.ok for each in check.exchanges)
            scores.append(float(correct) if supported or not self.require_call else None)
        scores += [None] * (steps - len(scores))
        failed = sum(not each.observation.ok for each in check.exchanges)
        text = f"{check.text()}\n\n[calls: {len(check.exchanges)}, failed: {failed}]"
        vote = Vote(Status.OK, order=(0,), step_scores=(tuple(scores),), text=text, usage=check.usage)
        return scored_by_steps(vote, self.rule.steps)


@dataclass
class _Check:
    """The check of one solution: its calls, its transcript and its usage so far."""

    judge: ToolJudge
    engine: Engine
    comparison: Comparison
    sample: int
    exchanges: list[Exchange] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    usage: Usage = NO_USAGE

    async def verdict(self, index: int) -> bool:
        """Whether step `index` is correct, after its calls. Raises UnreadableError without a verdict."""
        self.transcript.append(f"Step {index}")
        for _ in range(self.judge.calls):
            found = await self._written(index)
            if not isinstance(found, Call):
                return found
            observed = await asyncio.to_thread(
                called, found.tool, found.argument, self.comparison.prompt_text, unsafe_code=self.judge.unsafe_code
            )
            self.exchanges.append(Exchange(index, found, observed))
            self.transcript.append(str(self.exchanges[-1]))
        last = await self._written(index)
        if isinstance(last, Call):
            self.transcript.append(last.text)
            raise UnreadableError(Status.INVALID, f"no verdict after {self.judge.calls} calls", self.usage)
        return last

    async def _written(self, index: int) -> Call | bool:
        """What the model writes next about a step. Raises UnreadableError for neither a call nor a verdict."""
        judge = self.judge
        content = judge.prompt(self.comparison, index, self.exchanges)
        sampling = replace(judge.sampling, stop=tuple(f"</{tool}>" for tool in judge.tools))
        done = await self.engine.complete(Request(({"role": "user", "content": content},), sampling, self.sample))
        self.usage += done.usage
        check_finished(done, self.usage)
        found = judge.read(done.text)
        if not isinstance(found, Call):
            self.transcript.append(done.text.strip())
        if isinstance(found, Status):
            expected = r"a call of a tool, \boxed{correct} or \boxed{incorrect}"
            raise UnreadableError(found, f"the text has no single verdict; expected {expected}", self.usage)
        return found

    def text(self) -> str:
        return "\n".join(self.transcript)
