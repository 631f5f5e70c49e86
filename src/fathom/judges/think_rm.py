"""Think-RM: long reasoning, then which of two responses is better, or by how much.

Method: "Think-RM" (arXiv 2505.16265); format and scale: its repository. The wording of the prompts is ours.

    vote = ThinkRMJudge(labels="strength").read("<think>...</think><answer>-2</answer>", comparison)
    vote.winner, vote.scores                                               # 0, (2.0, 0.0): the first is better by 2

The reasoning is kept in `Vote.reasoning`, whether the engine returns it separately or the text has a think block. For
the paper's majority over m samples use `Repeated(judge, m)`; for its pairwise RLHF see `fathom.ranking.differences`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from fathom.data.records import Comparison
from fathom.judges._lines import strip_markup, tag_values, unanimous
from fathom.judges._probabilities import Choices
from fathom.judges._rewards import accuracy_reward, required_label, strength_reward
from fathom.judges._templated import TemplatedJudge
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.thoughts import split_reasoning

STRENGTHS = (-3, -2, -1, 1, 2, 3)
"""Negative if the first response is better, positive if the second is; 1 is slightly better, 3 is much better."""
_LETTERS = {"a": 0, "b": 1}
_NUMBERS = {form: strength for strength in STRENGTHS for form in (str(strength), f"{strength:+d}")}


@dataclass(frozen=True, kw_only=True)
class ThinkRMJudge(TemplatedJudge):
    """Judges pairs. The answer is a letter with `labels="binary"`, and one of `STRENGTHS` with `labels="strength"`."""

    choices: ClassVar[Choices] = {"A": 0, "B": 1}
    labels: Literal["binary", "strength"] = "binary"
    trained: bool = False

    @property
    def gives_scores(self) -> bool:  # type: ignore[override]
        return self.labels == "strength"

    @property
    def template_name(self) -> str:
        return f"think_rm/{'trained_' if self.trained else ''}{self.labels}"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The `<answer>` after the reasoning. Anything but one of the valid answers is invalid.

        The authors take the last of several answers; here answers that differ are contradictory. Quoted answers do not
        count.
        """
        thought, _ = split_reasoning(text)
        vote = self._vote(text, finished)
        return replace(vote, reasoning=thought) if thought else vote

    def _vote(self, text: str, finished: bool) -> Vote:
        document = Document.of(text)
        if document is None:
            return Vote(Status.TRUNCATED)
        answers = _LETTERS if self.labels == "binary" else _NUMBERS
        first = 0 if self.labels == "binary" else -1
        answer = unanimous(
            document,
            tag_values(document, "answer"),
            lambda value: answers.get(strip_markup(value)),
            lambda value: Claim("pair", "A" if value <= first else "B"),
            finished=finished,
        )
        if isinstance(answer, Status):
            return Vote(answer)
        if self.labels == "binary":
            return Vote(Status.OK, winner=answer)
        scores = (float(max(-answer, 0)), float(max(answer, 0)))
        return Vote(Status.OK, winner=int(answer > 0), scores=scores)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """Binary: 1 if right, else 0. Strength: 1 for winner and strength, 0.5 for the winner only, else 0."""
        return (accuracy_reward if self.labels == "binary" else strength_reward)(vote, required_label(comparison))


JUDGE = ThinkRMJudge
