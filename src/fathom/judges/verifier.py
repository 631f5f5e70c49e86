"""A verifier: does a response give the reference answer, YES or NO?

Method: "One token to fool LLM-as-a-judge" (arXiv 2507.08794), the format of Master-RM. Its defense against degenerate
responses is training data, which `fathom synth --arm verifier` makes (`fathom.synth.verifying`). The wording of the
prompts is ours.

    judge = VerifierJudge(engine=engine)
    (await judge(comparison)).scores                                       # per response: 1.0 for YES, 0.0 for NO
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import Arity
from fathom.judges._degenerate import find_degeneracy
from fathom.judges._probabilities import Choices
from fathom.judges._rewards import required_label, unique_best_reward
from fathom.judges._templated import TemplatedJudge
from fathom.judges._verdict import Vote
from fathom.judges._words import spellings, vote_of_word
from fathom.rationale import Rationale, Status, Unit

WORDS = {"yes": 1.0, "no": 0.0}


@dataclass(frozen=True, kw_only=True)
class VerifierJudge(TemplatedJudge):
    """Scores each response alone against the comparison's reference answer.

    `guard` decides how a response without content is handled (see `find_degeneracy`). With `refuse` it is NO without
    asking the model, and the vote's rationale records that. With `ask` the model is asked as usual. The model is always
    asked about a response that contains the reference answer.
    """

    arity: ClassVar[Arity] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    choices: ClassVar[Choices] = spellings({"yes": 0, "no": None})
    trained: bool = False
    guard: Literal["refuse", "ask"] = "refuse"

    @property
    def template_name(self) -> str:
        return "verifier/trained" if self.trained else "verifier/instruct"

    def check(self, comparison: Comparison) -> None:
        """Raise FathomError for several responses and for a comparison without a reference answer."""
        super().check(comparison)
        if comparison.reference is None:
            raise FathomError(
                f"comparison {comparison.id!r} has no reference answer to verify against; name its column with "
                "--map reference=COLUMN, or use a judge that needs none, such as libra"
            )

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        return vote_of_word(text, WORDS, finished=finished)

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """+1 if the score equals the label's, else -1. The paper itself only uses supervised fine-tuning."""
        return unique_best_reward(vote, required_label(comparison))

    def decided(self, comparison: Comparison) -> Vote | None:
        """NO for a response without content, unless `guard` is `ask`."""
        kind = find_degeneracy(comparison.responses[0], comparison.reference) if self.guard == "refuse" else None
        return None if kind is None else _refused(kind)


def _refused(kind: str) -> Vote:
    unit = Unit("Content", judgment=f"The response has no content ({kind}): NO, without asking the model.")
    return Vote(Status.OK, scores=(0.0,), rationale=Rationale((unit,)))


JUDGE = VerifierJudge
