"""RM-R1: the type of the task, then a rubric or a solution, an evaluation, and a tagged answer.

Method: "RM-R1: Reward Modeling as Reasoning" (arXiv 2505.02387); rule: the reward of its repository.

    RMR1Judge().read("... <answer>[[A]]</answer>", comparison).winner                # 0
"""

from __future__ import annotations

from dataclasses import dataclass

from fathom.judges._templated import TemplatedJudge, absent, named
from fathom.rationale import Status
from fathom.records import Comparison
from fathom.verdict import Vote

TAIL = 80
"""Characters at the end in which the answer is looked for."""
ANSWERS = ("<answer>[[A]]</answer>", "<answer>[[B]]</answer>")


@dataclass(frozen=True, kw_only=True)
class RMR1Judge(TemplatedJudge):
    """Judges pairs. `trained` asks for nothing but the answer, as the models that reason by themselves are asked."""

    trained: bool = False

    @property
    def own_template(self) -> str:
        return "rm_r1/trained" if self.trained else "rm_r1/instruct"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """One of the two answers, whole and in the last 80 characters; both there contradict each other."""
        there = [winner for winner, answer in enumerate(ANSWERS) if answer in text[-TAIL:]]
        if len(there) > 1:
            return Vote(Status.CONTRADICTORY, text=text)
        return named(there[0], text) if there else absent(text, finished=finished)


JUDGE = RMR1Judge
