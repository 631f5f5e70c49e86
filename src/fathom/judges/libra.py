"""Libra: decides by reasoning, without a reference answer, whether a response is correct.

Method: Libra-RM (arXiv 2507.21645). We know its task and type of reward, but not the wording of its prompts.

    (await LibraJudge(engine=engine)(comparison)).scores                   # per response: 1.0 correct, 0.0 incorrect

The paper's reward includes a length penalty. Its formula is unknown to us, so it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges import Arity
from fathom.judges._probabilities import Choices
from fathom.judges._rewards import accuracy_reward, required_label
from fathom.judges._templated import TemplatedJudge
from fathom.judges._verdict import Vote
from fathom.judges._words import spellings, vote_of_word

WORDS = {"correct": 1.0, "incorrect": 0.0}


@dataclass(frozen=True, kw_only=True)
class LibraJudge(TemplatedJudge):
    """Scores each response alone, without showing the reference answer.

    `trained` selects the short prompt for a model that was trained on the task.
    """

    arity: ClassVar[Arity] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    choices: ClassVar[Choices] = spellings({"correct": 0, "incorrect": None})
    trained: bool = False

    @property
    def template_name(self) -> str:
        return "libra/trained" if self.trained else "libra/instruct"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The verdict word must come after the reasoning."""
        return vote_of_word(text, WORDS, finished=finished)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """1 if the score equals the label's, else 0."""
        return accuracy_reward(vote, required_label(comparison))


JUDGE = LibraJudge
