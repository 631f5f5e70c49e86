"""Arena-Hard's five-level verdicts, parsed as JudgeBench does: `[[A>>B]]`, `[[A>B]]`, `[[A=B]]`, `[[B>A]]`, `[[B>>A]]`.

Rule: JudgeBench (arXiv 2410.12784), utils of its repository; format: Arena-Hard (arXiv 2406.11939).

    ArenaHardJudge().read("My final verdict is: [[A>>B]]", comparison).scores        # (2.0, 0.0)

The winner's score is 2 for significantly better and 1 for slightly better; all other scores are 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges._probabilities import Choices
from fathom.judges._published import PublishedJudge, pair_claim
from fathom.judges._templated import choice_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document

LEVELS: Mapping[str, tuple[float, float]] = {
    "A>>B": (2.0, 0.0),
    "A>B": (1.0, 0.0),
    "A=B": (0.0, 0.0),
    "B>A": (0.0, 1.0),
    "B>>A": (0.0, 2.0),
}
_VERDICT = re.compile(r"\[\[([AB<>=]+)\]\]")


@dataclass(frozen=True, kw_only=True)
class ArenaHardJudge(PublishedJudge):
    """Judges pairs after writing its own answer."""

    choices: ClassVar[Choices] = {"A>>B": 0, "A>B": 0, "A=B": None, "B>A": 1, "B>>A": 1}

    @property
    def template_name(self) -> str:
        return "arena_hard"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """All verdicts in the text must be identical: `[[A>>B]]` and `[[A>B]]` are contradictory."""
        document = Document.of(text)
        matches = [] if document is None else list(_VERDICT.finditer(document.text))
        verdicts = {match[1] for match in matches}
        if document is None or not verdicts:
            return unreadable_vote(finished=finished and document is not None)
        if len(verdicts) > 1:
            return Vote(Status.CONTRADICTORY)
        scores = LEVELS.get(verdicts.pop())
        if scores is None:
            return Vote(Status.INVALID)
        winner = None if scores[0] == scores[1] else int(scores[1] > scores[0])
        problem = self.disqualification(document, [match.span() for match in matches], pair_claim(winner))
        return choice_vote(winner, scores) if problem is None else Vote(problem)


JUDGE = ArenaHardJudge
