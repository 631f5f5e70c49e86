"""MR-GSM8K's critic of step-by-step solutions: is the solution correct, and which step is the first wrong one?

Rule: MR-GSM8K (arXiv 2312.17080), the fields of its evaluation.

    vote = MRGSM8KJudge().read("Final Judgement: wrong\\nFirst Error Step: 3\\nError Analysis: ...", comparison)
    vote.step_scores                                                                 # ((1.0, 1.0, 0.0),)

Steps are those of the comparison or, if it has none, the non-empty lines of the response.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges import Arity
from fathom.judges._published import PublishedJudge
from fathom.judges._steps import first_error_vote
from fathom.judges._templated import unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.rivals import Claim

_FIELDS = re.compile(
    r"Final Judgement:(?P<judgment>(?:(?!First Error Step:).)*)First Error Step:"
    r"(?P<step>(?:(?!Error Analysis:).)*)Error Analysis:(?:\s*(?:[Nn]one|[Nn]o|N/A)\b)?",
    re.DOTALL,
)
_NUMBER = re.compile(r"\d+", re.ASCII)
_MAX_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class MRGSM8KJudge(PublishedJudge):
    """Scores the steps of each solution alone."""

    arity: ClassVar[Arity] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    scores_steps: ClassVar[bool] = True

    @property
    def template_name(self) -> str:
        return "mr_gsm8k"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The judgment is the text between `Final Judgement:` and `First Error Step:`, the step the first number after.

        "Wrong" without a step is invalid, because nothing is known about the steps then. So is "incorrect" followed by
        more words, which the published code mistakes for "correct".
        """
        document = Document.of(text)
        fields = None if document is None else _FIELDS.search(document.text)
        if document is None or fields is None:
            return unreadable_vote(finished=finished and document is not None)
        judgment = fields["judgment"].strip().lower()
        wrong = "wrong" in judgment or judgment == "incorrect"
        right = "correct" in judgment.replace("incorrect", "")
        if wrong and right:
            return Vote(Status.CONTRADICTORY)
        number = _step(fields["step"]) if wrong else None
        if not right and not number:
            return Vote(Status.INVALID)
        problem = self.disqualification(document, [fields.span()], Claim("word", float(right)), reasons=False)
        if problem is not None:
            return Vote(problem)
        lines = sum(bool(line.strip()) for line in comparison.responses[0].splitlines())
        return first_error_vote(None if number is None else number - 1, comparison, lines)


def _step(text: str) -> int | None:
    """The first number in the text, a 1-based step index; None for no number, 0, and absurdly long numbers."""
    number = _NUMBER.search(text)
    return int(number[0]) or None if number and len(number[0]) <= _MAX_DIGITS else None


JUDGE = MRGSM8KJudge
