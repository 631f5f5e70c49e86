"""LLMBar's pairwise evaluators, with the verdicts `Output (a)` and `Output (b)`.

Rule: LLMBar (arXiv 2310.07641), the configurations of its evaluators.

    LLMBarJudge().read("Output (b)", comparison).winner                              # 1
    LLMBarJudge(style="cot").read("... Therefore, Output (b) is better.", comparison)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from fathom.data.records import Comparison
from fathom.judges._probabilities import Choices
from fathom.judges._published import PublishedJudge, pair_claim
from fathom.judges._templated import choice_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale.transcript.document import Document

Style = Literal["plain", "cot"]
_PATTERNS: Mapping[Style, tuple[re.Pattern[str], re.Pattern[str]]] = {
    "plain": (re.compile(r"(?:^|\n) ?Output \(a\)"), re.compile(r"(?:^|\n) ?Output \(b\)")),
    # The unescaped dot matches any character, as in the published code.
    "cot": (re.compile(r"Output \(a\) is better."), re.compile(r"Output \(b\) is better.")),
}


@dataclass(frozen=True, kw_only=True)
class LLMBarJudge(PublishedJudge):
    """Judges pairs. `plain` asks for the name of the better output only, `cot` for an explanation that ends with it."""

    style: Style = "plain"
    gives_scores: ClassVar[bool] = False
    choices: ClassVar[Choices] = {"a": 0, "b": 1}

    @property
    def template_name(self) -> str:
        return f"llmbar/{self.style}"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The first output whose pattern matches anywhere wins. (a) is tried first, so a text with both counts for (a).

        The pattern is the name at the start of a line for `plain`, and "Output (a) is better." for `cot`.
        """
        document = Document.of(text)
        if document is None:
            return unreadable_vote(finished=False)
        for winner, pattern in enumerate(_PATTERNS[self.style]):
            if spans := [
                (document.text.index("O", match.start()), match.end()) for match in pattern.finditer(document.text)
            ]:
                problem = self.disqualification(document, spans, pair_claim(winner), reasons=False)
                return choice_vote(winner) if problem is None else Vote(problem)
        return unreadable_vote(finished=finished)


JUDGE = LLMBarJudge
