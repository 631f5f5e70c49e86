"""A critic of solutions by paragraphs: the index of the first that is wrong, in a box, or -1.

Rule: ProcessBench (arXiv 2412.06559), its critics.

    vote = ProcessBenchJudge().read("Paragraph 2 adds wrongly. \\\\boxed{2}", comparison)
    first_error(vote.scores[0])                                                      # 3: paragraphs count from 0

Scores are those of `fathom.judges.mr_gsm8k`. Paragraphs are what empty lines part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.judges import Pattern
from fathom.judges._templated import TemplatedJudge, absent, scored
from fathom.judges.mr_gsm8k import step_score
from fathom.rationale import Status
from fathom.records import Comparison
from fathom.verdict import Vote

_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_INDEX = re.compile(r"\s*(-1|\d{1,6})\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ProcessBenchJudge(TemplatedJudge):
    """Scores solutions, each alone."""

    pattern: ClassVar[Pattern] = "pointwise"

    @property
    def own_template(self) -> str:
        return "processbench"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The last box must hold a whole number from -1."""
        boxes = _BOXED.findall(text)
        if not boxes:
            return absent(text, finished=finished)
        match = _INDEX.fullmatch(boxes[-1])
        if match is None:
            return Vote(Status.INVALID, text=text)
        return scored(step_score(None if int(match[1]) < 0 else int(match[1]) + 1), text)


JUDGE = ProcessBenchJudge
