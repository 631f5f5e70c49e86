r"""ThinkPRM: one chain of thought that verifies a solution step by step, and the probability that it is correct.

Method: "Process Reward Models That Think" (arXiv 2504.16828, section 3; github.com/mukhal/ThinkPRM). The prompt is
ours; for the authors' models, give theirs as `template`, with the variables `instruction` and `steps`.

    vote.scores                 # reads="solution": P(yes) / (P(yes) + P(no)) after "Is the solution correct?"
    vote.step_scores            # reads="steps": ((1.0, 0.0, None),), from \boxed{correct} and \boxed{incorrect}

With `reads="solution"`, the model writes a chain, which is then closed with the question, and the next token is read.
`rounds` adds sequential verification: a chain that has ended is continued after a text such as "Let me double check".
For K parallel chains give `--votes K --temperature 0.6`: the score of a verdict is the mean over votes, as in the
paper.

To fine-tune a model on chains of a teacher that agree with labels of steps (section 3.2), filter them by
`fathom rejection-sample --judge thinkprm --judge-option reads=steps`: `vote_reward` compares the verdicts with the
labels up to the first wrong step, and `demonstration` ends the chain there and answers the closing question.

With `reads="steps"`, the chain must have a verdict for every step, or for all steps up to the first incorrect one;
later steps have no score. Other numbers of verdicts are invalid, because it is then unknown which step a verdict is
about. So is a chain that names steps, such as "Step 2:", and does not name step k before verdict k: it left out a
step, judged one twice, or repeated the prompt. The chain is in `Vote.text`. A chain that was cut off has no score,
except with `reads="steps"` after a verdict "incorrect", which ends a chain anyway. The authors close a chain that was
cut off, and ask the question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from fathom.data.records import Comparison
from fathom.data.steps import split
from fathom.engines import Capability, Engine, Request
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Arity, Ask, Rule, sequential_votes, word_share
from fathom.judges._rewards import required_label, solution_reward, steps_reward
from fathom.judges._templated import TemplatedJudge, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status

QUESTION = "\nIs the solution correct?"
"""Without a space at the end, because the answer's first token usually begins with one."""
STOP = (QUESTION.strip(), "</think>")
NUDGES = ("Let me double check", "Let's verify again", "Did I miss something?")
"""The authors' texts between rounds of verification."""
VERDICT = re.compile(r"\\boxed\{\s*(?:\\text\{\s*)?(correct|incorrect)\s*\}?\s*\}", re.IGNORECASE)
"""The verdict on a step, as the authors' models write it."""
_NUMBER = r"(?:steps?|paragraphs?)[\W_]{0,3}(\d+)"
_HEADING = re.compile(rf"(?:^|\n)[\W_]*{_NUMBER}|{_NUMBER}[\W_]{{0,2}}:", re.IGNORECASE)
"""A step that is named at the beginning of a line, or before a colon."""
_MENTION = re.compile(_NUMBER, re.IGNORECASE)
_MENU = re.compile(r"\W*(?:or\b)?\W*", re.IGNORECASE)
"""What separates the two verdicts of a prompt's "\\boxed{correct} or \\boxed{incorrect}"."""


@dataclass(frozen=True, kw_only=True)
class ThinkPRMJudge(TemplatedJudge):
    """Verifies each solution alone."""

    arity: ClassVar[Arity] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    reads: Literal["solution", "steps"] = "solution"
    rounds: Annotated[int, Field(ge=1, le=len(NUDGES) + 1)] = 1
    """Rounds of verification in one chain."""

    def __post_init__(self) -> None:
        if self.reads == "steps" and self.rounds > 1:
            raise FathomError(
                f"rounds={self.rounds} with reads='steps': a later round may repeat the verdicts, so they cannot be "
                "assigned to steps; give one of the two"
            )

    @property
    def scores_steps(self) -> bool:  # type: ignore[override]
        return self.reads == "steps"

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean", steps="min")

    @property
    def needs(self) -> frozenset[Capability]:
        return super().needs | ({"prefix", "logprobs"} if self.reads == "solution" else set())

    @property
    def template_name(self) -> str:
        return "thinkprm"

    def values(self, comparison: Comparison) -> dict[str, Any]:
        steps = comparison.steps
        return super().values(comparison) | {"steps": None if steps is None else steps[0]}

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The verdicts of a chain. For the whole solution: 1.0 if all steps are correct, else 0.0."""
        verdicts = [match[1].lower() == "correct" for match in VERDICT.finditer(text)]
        if not verdicts or (not finished and all(verdicts)):
            return unreadable_vote(finished=finished)
        if problem := _misplaced(text):
            return Vote(Status.INVALID, error=problem)
        steps = comparison.steps
        count = len(split(comparison.responses[0], "paragraphs") if steps is None else steps[0])
        if False in verdicts:
            verdicts = verdicts[
                : verdicts.index(False) + 1
            ]  # text after the first incorrect step is no part of a chain
        if len(verdicts) > count or (all(verdicts) and len(verdicts) < count):
            return Vote(Status.INVALID, error=f"the chain has {len(verdicts)} verdicts for {count} steps")
        if self.reads == "solution":
            return Vote(Status.OK, scores=(float(all(verdicts)),))
        scores = (*map(float, verdicts), *(None,) * (count - len(verdicts)))
        return Vote(Status.OK, step_scores=(scores,))

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """+1 if all verdicts agree with the labels of the steps; with `reads="solution"`, if the score agrees."""
        reward = steps_reward if self.reads == "steps" else solution_reward
        return reward(vote, required_label(comparison))

    def demonstration(self, vote: Vote) -> str:
        """The chain up to its last verdict or the first incorrect one, and the answer to the closing question."""
        verdicts = list(VERDICT.finditer(vote.text))
        incorrect = (match for match in verdicts if match[1].lower() == "incorrect")
        last = next(incorrect, verdicts[-1])
        return f"{vote.text[: last.end()]}{QUESTION} {'Yes' if last[1].lower() == 'correct' else 'No'}"

    def plan(self, comparison: Comparison, sample: int = 0) -> list[Ask]:
        if self.reads == "steps":
            return super().plan(comparison, sample)
        raise FathomError(
            "thinkprm with reads=solution asks for P(yes) after its own chain, so its calls cannot be planned, counted "
            f"or made ahead: there are {self.rounds + 1} for each response"
        )

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        if self.reads == "steps":
            return await super().votes(comparison, sample)
        return await sequential_votes(self, comparison, lambda engine, shown: self._vote(engine, shown, sample))

    async def _vote(self, engine: Engine, comparison: Comparison, sample: int) -> Vote:
        messages, chain, usage = tuple(self.prompt(comparison)), "", Usage()
        sampling = replace(self.sampling, stop=STOP)
        for place in range(self.rounds):
            chain += f"\n{NUDGES[place - 1]}" if place else ""
            done = await engine.complete(Request(messages, sampling, sample, chain))
            usage += done.usage
            if done.finish_reason in ("refusal", "content_filter"):
                return Vote(Status.REFUSED, text=done.text, usage=usage, error="the model declined")
            if done.finish_reason == "length":
                return Vote(Status.TRUNCATED, text=chain + done.text, usage=usage)
            chain += done.text.rstrip()
        asked = Request(messages, replace(self.sampling, temperature=0.0, max_tokens=1, top_logprobs=20), sample)
        answer = await engine.complete(replace(asked, prefix=f"{chain}{QUESTION}"))
        usage += answer.usage
        score = word_share(answer.logprobs[0], "yes", "no") if answer.logprobs else None
        text = f"{chain}{QUESTION}{answer.text}"
        if score is None:
            error = "neither yes nor no is among the likely next tokens"
            return Vote(Status.INVALID, text=text, usage=usage, error=error)
        return Vote(Status.OK, scores=(score,), text=text, usage=usage)


def _misplaced(text: str) -> str | None:
    """Why the verdicts of a chain cannot be assigned to its steps in order; None if they can."""
    found = list(VERDICT.finditer(text))
    ends = [0, *(match.end() for match in found)]
    before = [text[start : match.start()] for start, match in zip(ends, found, strict=False)]
    if any(_MENU.fullmatch(each) for each in before[1:]):
        return "the chain has two verdicts without a text between them"
    named = [_named(each) for each in before]
    last = next((place for place, match in enumerate(found) if match[1].lower() == "incorrect"), len(found) - 1)
    numbered = any(each is not None for each in (*named, _named(text[ends[-1] :])))
    for place, number in enumerate(named):
        # The text after the first incorrect verdict is no part of a chain, unless it judges an earlier step again.
        right = number == place + 1 if place <= last else number is None or number > last + 1
        if numbered and not right:
            about = "no step" if number is None else f"step {number}"
            return f"the text before verdict {place + 1} names {about}; each verdict must name its step, or none may"
    return None


def _named(text: str) -> int | None:
    """The step that a text is about: that of its last heading, or else the last one that it mentions."""
    numbers = [
        [int(next(filter(None, match.groups()))) for match in each.finditer(text)] for each in (_HEADING, _MENTION)
    ]
    return next((found[-1] for found in numbers if found), None)


JUDGE = ThinkPRMJudge
