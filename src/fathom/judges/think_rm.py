"""Think-RM: a long thought, then which of two responses is better, or by how much.

Method: "Think-RM" (arXiv 2505.16265); form and scale: its repository. The wording of the prompts is ours.

    vote = ThinkRMJudge(labels="strength").read("<think>...</think><answer>-2</answer>", comparison)
    vote.winner, vote.scores                                               # 0, (2.0, 0.0): the first, and by how much

The thought is kept in `Vote.reasoning`, whether the engine tells it apart or the text has it in a think block. Several
thoughts and the majority of their votes are `Repeated(judge, m)`. All pairs of a group, for reinforcement learning
without rewards of single samples, are `fathom.scaling.differences`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from fathom.judges._probabilities import Choices
from fathom.judges._templated import TemplatedJudge, absent
from fathom.judges._words import apart
from fathom.rationale import Status
from fathom.records import Comparison
from fathom.rewards import accuracy_reward, strength_reward
from fathom.verdict import Vote

STRENGTHS = (-3, -2, -1, 1, 2, 3)
"""Below 0 the first response is better, above 0 the second; 1 is slightly, 3 is much."""
_ANSWER = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ThinkRMJudge(TemplatedJudge):
    """Judges pairs. `labels` says what the answer is: `binary` a letter, `strength` a number of `STRENGTHS`."""

    choices: ClassVar[Choices] = {"A": 0, "B": 1}
    labels: Literal["binary", "strength"] = "binary"
    trained: bool = False

    @property
    def own_template(self) -> str:
        return f"think_rm/{'trained_' if self.trained else ''}{self.labels}"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The last `<answer>` after the thought. Invalid where it is not one of the answers, whole."""
        thought, answer = apart(text)
        given = _ANSWER.findall(answer)
        if not given:
            return _thinking(absent(text, finished=finished), thought)
        return _thinking(self._vote(given[-1], text), thought)

    def _vote(self, answer: str, text: str) -> Vote:
        if self.labels == "binary":
            winner = {"A": 0, "B": 1}.get(answer)
            return Vote(Status.INVALID, text=text) if winner is None else Vote(Status.OK, winner=winner, text=text)
        strength = {str(strength): strength for strength in STRENGTHS}.get(answer.removeprefix("+"))
        if strength is None:
            return Vote(Status.INVALID, text=text)
        scores = (float(max(-strength, 0)), float(max(strength, 0)))
        return Vote(Status.OK, winner=int(strength > 0), scores=scores, text=text)

    def reward(self, vote: Vote, comparison: Comparison) -> float:
        """1 or 0; with strengths 1 where winner and strength are the label's, 0.5 for the winner alone, else 0."""
        if comparison.label is None:
            raise ValueError(f"comparison {comparison.id!r} has no label to reward a verdict by")
        return (accuracy_reward if self.labels == "binary" else strength_reward)(vote, comparison.label)


def _thinking(vote: Vote, thought: str) -> Vote:
    return replace(vote, reasoning=thought) if thought else vote


JUDGE = ThinkRMJudge
