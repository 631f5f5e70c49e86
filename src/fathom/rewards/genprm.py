r"""GenPRM: a model that analyzes each step, checks it by programs that are run, and says whether it is right.

    fathom judge solutions.jsonl --judge genprm --temperature 0.6 --top-p 0.95 --judge-option samples=8 --model M ...

Method: "GenPRM" (arXiv 2504.00891, section 3; github.com/RyanLiu112/GenPRM). The steps are turns of one conversation.
For each step, the model continues these texts in turn:

    <analyze>\nLet's analyze the Paragraph 1 step by step: ...</analyze>
    <verify>\nLet's use python code to find any potential error:\n```python\n...```
    [Code Output]\n\n```\n...\n```                                  (the program's output; up to `rounds` programs)
    <output>\n**Judgement**: $\boxed{                               (here P(Yes) / (P(Yes) + P(No)) is read)

The score of a step is the mean of this probability over `samples` rationales. The conversation goes on with the first
of them, and a program can use what earlier programs of the conversation defined, as in the authors' code. Differences:
the judgement is read at a position that is given, and not searched for; a step without a probability of either word
makes the vote invalid, where the authors give it 0.5; a text that is cut at `--max-tokens` makes it truncated; programs
run in a sandbox (`fathom.sandbox`), where the authors' run in the process of the judge.

The prompt is ours. For the authors' models, give theirs as `template` (a Jinja file with `index`, `instruction` and
`step`) and `system`. The cost is at least four calls per step and sample, or two without programs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field

from fathom import prompts, sandbox
from fathom.data.records import Comparison
from fathom.data.steps import steps_of
from fathom.engines import Capability, ChatMessage, Engine, Request
from fathom.engines.usage import Usage
from fathom.judges import Rule, SequentialRewardModel, Vote, bounded_gather, scored_by_steps, without_text, word_share
from fathom.rationale import Status
from fathom.rewards._unreadable import UnreadableError, check_finished
from fathom.settings import Splitter

ANALYZE = "<analyze>\nLet's analyze the Paragraph {index} step by step: "
VERIFY = "<verify>\nLet's use python code to find any potential error:\n"
CODE, END_OF_CODE = "```python\n", "\n```"
JUDGE_IT = "<output>\n**Judgement**: $\\boxed{"
LIMITS = sandbox.Limits(seconds=5.0, output=4096)
"""The deadline is that of the authors' code."""


class Rationale(NamedTuple):
    """What the model wrote on a step."""

    text: str
    score: float
    """P(Yes) / (P(Yes) + P(No)), 0 to 1."""
    programs: tuple[str, ...]
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class GenPRM(SequentialRewardModel):
    """Scores the steps of each solution alone. Raises FathomError where programs cannot be run safely."""

    samples: Annotated[int, Field(ge=1, le=64)] = 1
    """Rationales per step, whose probabilities are averaged. Above 1, give a temperature above 0."""
    verify: bool = True
    """Whether the model writes programs; False: analyses only."""
    rounds: Annotated[int, Field(ge=1, le=10)] = 3
    """Programs per step."""
    unsafe_code: bool = False
    """Run programs without a sandbox where the system offers none."""
    split: Splitter = "paragraphs"
    """How to split responses without steps."""
    template: Path | None = None
    """A Jinja file that replaces the shipped prompt of a step."""
    system: str = ""
    """A system prompt."""
    threshold: ClassVar[float | None] = 0.5
    scores_steps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.verify and not self.unsafe_code and not sandbox.available():
            sandbox.check()  # states why, before a model is loaded

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean", steps="min")

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"text", "logprobs", "prefix"})

    def steps(self, comparison: Comparison) -> tuple[str, ...]:
        """The steps of a single response."""
        return steps_of(comparison, self.split)

    def decided(self, comparison: Comparison) -> Vote | None:
        return without_text("".join(self.steps(comparison)))

    async def vote(self, engine: Engine, comparison: Comparison, sample: int) -> Vote:
        messages: list[ChatMessage] = [{"role": "system", "content": self.system}] if self.system else []
        firsts: list[Rationale] = []
        scores: list[float] = []
        usage = Usage()
        for index, step in enumerate(self.steps(comparison), 1):
            messages.append({"role": "user", "content": self.turn(comparison, index, step)})
            earlier = [program for each in firsts for program in each.programs]
            writer = _Writer(self, engine, tuple(messages), index, earlier)
            numbers = range(sample * self.samples, (sample + 1) * self.samples)
            try:
                rationales = await bounded_gather(writer.rationale, numbers)
            except UnreadableError as problem:
                error = f"step {index}: {problem.error}"
                return Vote(problem.status, text=_text(firsts), usage=usage + problem.usage, error=error)
            messages.append({"role": "assistant", "content": rationales[0].text})
            firsts.append(rationales[0])
            scores.append(fmean(each.score for each in rationales))
            usage = sum((each.usage for each in rationales), usage)
        vote = Vote(Status.OK, order=(0,), step_scores=(tuple(scores),), text=_text(firsts), usage=usage)
        return scored_by_steps(vote, self.rule.steps)

    def turn(self, comparison: Comparison, index: int, step: str) -> str:
        """The prompt of a step; the first one contains the problem."""
        return prompts.render(self.template or "genprm", index=index, instruction=comparison.prompt_text, step=step)


def _text(rationales: Sequence[Rationale]) -> str:
    return "\n\n".join(f"Step {index}\n{each.text}" for index, each in enumerate(rationales, 1))


@dataclass
class _Writer:
    """Writes rationales on one step."""

    model: GenPRM
    engine: Engine
    messages: tuple[ChatMessage, ...]
    index: int
    earlier: Sequence[str]
    """The programs of earlier steps."""

    async def rationale(self, sample: int) -> Rationale:
        """A rationale with its score. Raises UnreadableError if there is none."""
        text, used = ANALYZE.format(index=self.index), Usage()
        analysis, used = await self._continued(text, ("</analyze>",), sample, used)
        text += f"{analysis.rstrip()}\n</analyze>\n"
        programs: list[str] = []
        if self.model.verify:
            text += VERIFY
        while self.model.verify and len(programs) < self.model.rounds:
            code, used = await self._continued(text + CODE, (END_OF_CODE,), sample, used)
            programs.append(code)
            output = await asyncio.to_thread(executed, [*self.earlier, *programs], unsafe_code=self.model.unsafe_code)
            text += f"{CODE}{code}{END_OF_CODE}\n[Code Output]\n\n```\n{output}\n```\n"
            after, used = await self._continued(text, (CODE.strip(),), sample, used)
            remark, judged, _ = after.partition("<output>")
            text += remark
            if judged:
                break
        if self.model.verify and "</verify>" not in text:
            text = f"{text.rstrip()}\n</verify>\n"
        score, used = await self._judged(f"{text}{JUDGE_IT}", sample, used)
        return Rationale(
            f"{text}{JUDGE_IT}{'Yes' if score >= 0.5 else 'No'}}}$\n</output>", score, tuple(programs), used
        )

    async def _continued(self, prefix: str, stop: tuple[str, ...], sample: int, used: Usage) -> tuple[str, Usage]:
        sampling = replace(self.model.sampling, stop=stop)
        done = await self.engine.complete(Request(self.messages, sampling, sample, prefix))
        check_finished(done, used + done.usage)
        return done.text, used + done.usage

    async def _judged(self, prefix: str, sample: int, used: Usage) -> tuple[float, Usage]:
        sampling = replace(self.model.sampling, temperature=0.0, max_tokens=1, top_logprobs=20)
        done = await self.engine.complete(Request(self.messages, sampling, sample, prefix))
        used += done.usage
        score = word_share(done.logprobs[0], "yes", "no") if done.logprobs else None
        if score is None:
            raise UnreadableError(Status.INVALID, "neither Yes nor No is among the likely next tokens", used)
        return score, used


def executed(programs: Sequence[str], *, unsafe_code: bool = False) -> str:
    """The output of the last program, which can use what the earlier ones defined, or what went wrong in one line.

    Earlier programs run again, without their output. Raises FathomError where programs cannot be run safely.
    """
    *earlier, last = programs
    again = (
        "import contextlib, io\n"
        f"for _program in {list(earlier)!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):\n"
        "        exec(_program, globals())\n"
    )
    done = sandbox.run(f"{again if earlier else ''}{last}\n", limits=LIMITS, unsafe_code=unsafe_code)
    if done.status == "deadline":
        return f"Code execute time out: more than {LIMITS.seconds:g} seconds"
    if done.status == "ok":
        return done.output.strip()
    return f"Code execute Error: {(done.output.strip().splitlines() or [done.status])[-1]}"


JUDGE = GenPRM
