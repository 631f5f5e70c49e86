"""A critic of solutions by steps: whether a solution is right, and which step is the first that is not.

Rule: MR-GSM8K (arXiv 2312.17080), the fields of its evaluation.

    vote = MRGSM8KJudge().read("Final Judgement: wrong\\nFirst Error Step: 3\\nError Analysis: ...", comparison)
    first_error(vote.scores[0])                                                      # 3

The score of a solution is 1 where it is right and 1 - 1/k where step k is the first wrong one, so that it is 0 to 1 and
grows with what is right; `first_error` gives the step back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges import Pattern
from fathom.judges._published import PublishedJudge
from fathom.judges._templated import absent, scored
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.page import Page
from fathom.rationale.transcript.rivals import Claim

RIGHT = 1.0
_FIELDS = re.compile(
    r"Final Judgement:(?P<judgement>(?:(?!First Error Step:).)*)First Error Step:"
    r"(?P<step>(?:(?!Error Analysis:).)*)Error Analysis:(?:\s*(?:[Nn]one|[Nn]o|N/A)\b)?",
    re.DOTALL,
)
_NUMBER = re.compile(r"\d+", re.ASCII)
_MOST_DIGITS = 6


def step_score(first_wrong: int | None) -> float:
    """What a solution is worth whose first wrong step is that one, counted from 1; None where all are right."""
    return RIGHT if first_wrong is None else 1 - 1 / first_wrong


def first_error(score: float) -> int | None:
    """The step that `step_score` was made of."""
    return None if score == RIGHT else round(1 / (1 - score))


@dataclass(frozen=True, kw_only=True)
class MRGSM8KJudge(PublishedJudge):
    """Scores solutions, each alone."""

    pattern: ClassVar[Pattern] = "pointwise"

    @property
    def own_template(self) -> str:
        return "mr_gsm8k"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The judgement is what stands before `First Error Step:`, the step the first number after it.

        A solution that is called wrong without a step is invalid, because there is no score for it. So is "incorrect"
        with more words, which the published code takes for "correct".
        """
        page = Page.of(text)
        found = None if page is None else _FIELDS.search(page.text)
        if page is None or found is None:
            return absent(text, finished=finished and page is not None)
        said = found["judgement"].strip().lower()
        wrong, right = "wrong" in said or said == "incorrect", "correct" in said.replace("incorrect", "")
        if wrong and right:
            return Vote(Status.CONTRADICTORY, text=text)
        number = _step(found["step"]) if wrong else None
        if not right and not number:
            return Vote(Status.INVALID, text=text)
        away = self.taken_away(page, [found.span()], Claim("word", float(right)), reasons=False)
        return scored(step_score(number), text) if away is None else Vote(away, text=text)


def _step(text: str) -> int | None:
    number = _NUMBER.search(text)
    return int(number[0]) if number and len(number[0]) <= _MOST_DIGITS else None


JUDGE = MRGSM8KJudge
