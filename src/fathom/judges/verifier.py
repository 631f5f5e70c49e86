"""A verifier: whether a response gives the reference answer, YES or NO.

Method: "One token to fool LLM-as-a-judge" (arXiv 2507.08794), the form of Master-RM. Its defence is in training data:
`fathom synth --arm verifier` (`fathom.synth.verifying`). The wording of the prompts is ours.

    judge = VerifierJudge(engine=engine)
    (await judge(comparison)).scores                                       # one a response: 1.0 is YES, 0.0 is NO
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import Pattern
from fathom.judges._degenerate import degenerate
from fathom.judges._probabilities import Choices
from fathom.judges._rewards import unique_best_reward
from fathom.judges._templated import TemplatedJudge
from fathom.judges._verdict import Vote
from fathom.judges._words import spellings, vote_of_word
from fathom.rationale import Rationale, Status, Unit

WORDS = {"yes": 1.0, "no": 0.0}


@dataclass(frozen=True, kw_only=True)
class VerifierJudge(TemplatedJudge):
    """Scores responses, each alone, against the comparison's reference answer.

    `guard` says what becomes of a response that says nothing (see `degenerate`): `refuse` calls it NO without asking
    the model, and the vote's rationale says so; `ask` asks about it as about any other. A response that holds the
    reference answer is always asked about.
    """

    pattern: ClassVar[Pattern] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    choices: ClassVar[Choices] = spellings({"yes": 0, "no": None})
    trained: bool = False
    guard: Literal["refuse", "ask"] = "refuse"

    @property
    def template_name(self) -> str:
        return "verifier/trained" if self.trained else "verifier/instruct"

    def check(self, comparison: Comparison) -> None:
        """Raises FathomError for several responses, and for a comparison without a reference answer."""
        super().check(comparison)
        if comparison.reference is None:
            raise FathomError(
                f"comparison {comparison.id!r} has no reference answer to verify by; name its column with "
                "--map reference=COLUMN, or take a judge that needs none, such as libra"
            )

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        return vote_of_word(text, WORDS, finished=finished)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """+1 where the score is the label's, else -1. The paper trains by fine-tuning alone."""
        if comparison.label is None:
            raise ValueError(f"comparison {comparison.id!r} has no label to reward a verdict by")
        return unique_best_reward(vote, comparison.label)

    def decided(self, comparison: Comparison) -> Vote | None:
        """NO for a response without content, unless `guard` is `ask`."""
        kind = degenerate(comparison.responses[0], comparison.reference) if self.guard == "refuse" else None
        return None if kind is None else _refused(kind)


def _refused(kind: str) -> Vote:
    unit = Unit("Content", judgment=f"The response says nothing ({kind}): NO, without asking the model.")
    return Vote(Status.OK, scores=(0.0,), rationale=Rationale((unit,)))


JUDGE = VerifierJudge
