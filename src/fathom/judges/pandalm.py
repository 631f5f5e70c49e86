"""Verdicts on the first line, `1`, `2` or `Tie`, then a reason and a reference, as PandaLM writes them.

Rule: PandaLM (arXiv 2306.05087), the parser of its repository.

    PandaLMJudge().read("2\\n\\n### Reason: ...\\n\\n### Reference: ...", comparison).winner          # 1

Published figures count what cannot be read as a tie; here it has a status of its own, and `bench.pandalm` counts it so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fathom.judges._probabilities import Choices
from fathom.judges._templated import TemplatedJudge, absent, named
from fathom.rationale import Status
from fathom.records import Comparison
from fathom.verdict import Vote

VERDICTS: Mapping[str, int | None] = {"1": 0, "2": 1, "tie": None}


@dataclass(frozen=True, kw_only=True)
class PandaLMJudge(TemplatedJudge):
    """Judges pairs."""

    gives_scores: ClassVar[bool] = False
    choices: ClassVar[Choices] = {"1": 0, "2": 1, "Tie": None}

    @property
    def own_template(self) -> str:
        return "pandalm"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The first line of the text without the spaces around it."""
        line = text.strip().split("\n")[0]
        if not line:
            return absent(text, finished=finished)
        verdict = line if line in ("1", "2") else line.lower()
        return named(VERDICTS[verdict], text) if verdict in VERDICTS else Vote(Status.INVALID, text=text)


JUDGE = PandaLMJudge
