"""A critique that ends with "So, the final decision is Response 1", 2, or a tie, as Auto-J writes it.

Rule: Auto-J (arXiv 2310.05470), the pairwise reader of its repository.

    AutoJJudge().read("... So, the final decision is Tie.", comparison).winner       # None, with status ok
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

BEFORE = "final decision is "
DECISIONS: Mapping[str, int | None] = {"response 1": 0, "response 2": 1, "tie": None}


@dataclass(frozen=True, kw_only=True)
class AutoJJudge(TemplatedJudge):
    """Judges pairs."""

    gives_scores: ClassVar[bool] = False
    choices: ClassVar[Choices] = {"1": 0, "2": 1, "Tie": None, "tie": None}

    @property
    def own_template(self) -> str:
        return "autoj"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """What the last `final decision is ` is followed by begins with a decision, in letters of any case."""
        _, found, rest = text.strip().rpartition(BEFORE)
        if not found:
            return absent(text, finished=finished)
        said = rest.strip().lower()
        winners = [winner for decision, winner in DECISIONS.items() if said.startswith(decision)]
        return named(winners[0], text) if winners else Vote(Status.INVALID, text=text)


JUDGE = AutoJJudge
