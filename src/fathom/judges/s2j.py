"""Solve-to-Judge: the judge first solves the task itself, then says which response is better, in one text.

Method: "S2J" (arXiv 2509.22099). Models often misjudge tasks that they can solve, so reinforcement learning rewards
both the solution and the verdict. The wording of the prompts is ours.

    judge = S2JJudge(engine=engine)                                        # to judge
    with fathom.metrics.answers.checking(S2JJudge()) as judge: ...         # to train: with math-verify for solutions

The paper's weights for the two rewards are unknown to us; the default of `solving_weight` is ours. Without a reference
answer, the paper scores the solution with a scalar reward model. That is not implemented: such comparisons are rewarded
by their verdict only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges._probabilities import Choices
from fathom.judges._rewards import required_label, solving_reward
from fathom.judges._templated import TemplatedJudge
from fathom.judges._verdict import Vote
from fathom.rationale import parse

Solved = Callable[[str, str], bool | None]
"""`solved(solution, reference)`: whether the solution reaches the reference answer; None if that is undecidable."""


@dataclass(frozen=True, kw_only=True)
class S2JJudge(TemplatedJudge):
    """Judges pairs. `solved` checks the judge's own solution in training, as `fathom.metrics.answers.Verifier` does.

    The prompt never shows the reference answer, because the judge must solve the task itself.
    """

    gives_scores: ClassVar[bool] = False
    choices: ClassVar[Choices] = {"A": 0, "B": 1, "tie": None}
    trained: bool = False
    solving_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    solved: Solved | None = field(default=None, repr=False)

    @property
    def template_name(self) -> str:
        return "s2j/trained" if self.trained else "s2j/instruct"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        reading = parse(text, finished=finished)
        winner = {"A": 0, "B": 1}.get(reading.rationale.verdict or "")
        return Vote(reading.status, winner=winner, rationale=reading.rationale)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """+1 or -1 for the verdict, plus `solving_weight` if the solution reaches the reference answer.

        Raises FathomError if there is a reference answer but no `solved` to check the solution.
        """
        label = required_label(comparison)
        return solving_reward(vote, label, self._solved(vote, comparison.reference), self.solving_weight)

    def _solved(self, vote: Vote, reference: str | None) -> bool | None:
        solution = vote.rationale.trace if vote.rationale else ""
        if reference is None or not self.solving_weight:
            return None
        if self.solved is None:
            raise FathomError("S2J has no function to check solutions; pass solved=... or solving_weight=0")
        return self.solved(solution, reference) if solution else False


JUDGE = S2JJudge
