"""PandaLM's verdicts: `1`, `2` or `Tie` on the first line, then a reason and a reference response.

Rule: PandaLM (arXiv 2306.05087), the parser of its repository.

    PandaLMJudge().read("2\\n\\n### Reason: ...\\n\\n### Reference: ...", comparison).winner          # 1

The published figures count an unreadable verdict as a tie. Here it has its own status, and `bench.pandalm` counts it as
a tie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges._probabilities import Choices
from fathom.judges._published import PublishedJudge, pair_claim
from fathom.judges._templated import choice_vote, unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document

VERDICTS: Mapping[str, int | None] = {"1": 0, "2": 1, "tie": None}


@dataclass(frozen=True, kw_only=True)
class PandaLMJudge(PublishedJudge):
    """Judges pairs."""

    gives_scores: ClassVar[bool] = False
    choices: ClassVar[Choices] = {"1": 0, "2": 1, "Tie": None}

    @property
    def template_name(self) -> str:
        return "pandalm"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The first non-blank line must be the verdict and nothing else; `Tie` in any letter case."""
        document = Document.of(text)
        line = "" if document is None else document.text.strip().split("\n")[0]
        if document is None or not line:
            return unreadable_vote(finished=finished and document is not None)
        verdict = line if line in ("1", "2") else line.lower()
        if verdict not in VERDICTS:
            return Vote(Status.INVALID)
        winner, start = VERDICTS[verdict], document.text.index(line)
        problem = self.disqualification(
            _without_reference(document), [(start, start + len(line))], pair_claim(winner), reasons=False
        )
        return choice_vote(winner) if problem is None else Vote(problem)


def _without_reference(document: Document) -> Document:
    """The document up to the judge\'s own reference response, which cannot take back the verdict."""
    end = document.text.find("### Reference")
    return document if end < 0 else replace(document, text=document.text[:end], folded=document.folded[:end])


JUDGE = PandaLMJudge
