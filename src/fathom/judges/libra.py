"""Libra: whether a response is correct, found out by thinking, without a reference answer.

Method: Libra-RM (arXiv 2507.21645). Known to us are the task and the kind of reward, not the wording of its prompts.

    (await LibraJudge(engine=engine)(comparison)).scores                   # one a response: 1.0 correct, 0.0 incorrect

The paper's reward has a length penalty whose formula we do not know. It is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges import Pattern
from fathom.judges._probabilities import Choices
from fathom.judges._rewards import accuracy_reward
from fathom.judges._templated import TemplatedJudge
from fathom.judges._verdict import Vote
from fathom.judges._words import spellings, vote_of_word

WORDS = {"correct": 1.0, "incorrect": 0.0}


@dataclass(frozen=True, kw_only=True)
class LibraJudge(TemplatedJudge):
    """Scores responses, each alone. `trained` asks for nothing but the form. The reference answer is not shown."""

    pattern: ClassVar[Pattern] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    choices: ClassVar[Choices] = spellings({"correct": 0, "incorrect": None})
    trained: bool = False

    @property
    def template_name(self) -> str:
        return "libra/trained" if self.trained else "libra/instruct"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """What is thought is no verdict: the word counts after the thought."""
        return vote_of_word(text, WORDS, finished=finished)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """1 where the score is the label's, else 0."""
        if comparison.label is None:
            raise ValueError(f"comparison {comparison.id!r} has no label to reward a verdict by")
        return accuracy_reward(vote, comparison.label)


JUDGE = LibraJudge
