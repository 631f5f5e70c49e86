"""A critic of solutions by paragraphs: the index of the first that is wrong, in a box, or -1.

Rule: ProcessBench (arXiv 2412.06559), its critics.

    vote = ProcessBenchJudge().read("Paragraph 2 adds wrongly. \\\\boxed{2}", comparison)
    vote.step_scores                                                                 # ((1.0, 1.0, 0.0, None),)

Paragraphs are the steps of the comparison; where it gives none, empty lines separate them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges import Pattern
from fathom.judges._published import PublishedJudge
from fathom.judges._steps import first_error_vote
from fathom.judges._templated import unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.sentences import around

_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_OF_TASK = re.compile(  # what a box holds that is the answer to the task, and no index
    r"\b(?:correct|right|true|actual|real|expected|proper) (?:final )?(?:answer|result|value|sum|solution|number"
    r"|total)\b[^.]{0,30}$"
    r"|\b(?:sum|value|product|total|difference|quotient|probability|area|volume|length|answer to the (?:task|question"
    r"|problem))"
    r" (?:\w+ ){0,3}?(?:is|are|should be|equals|must be|would be|becomes)\W*$|[a-z0-9)}] ?= ?[$\\(\[ ]*$"
)
_INDEX = re.compile(r"\s*(-1|\d{1,6})\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ProcessBenchJudge(PublishedJudge):
    """Scores solutions, each alone."""

    pattern: ClassVar[Pattern] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    scores_steps: ClassVar[bool] = True

    @property
    def template_name(self) -> str:
        return "processbench"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The last box must hold a whole number from -1."""
        document = Document.of(text)
        boxes = [] if document is None else list(_BOXED.finditer(document.text))
        if document is None or not boxes:
            return unreadable_vote(finished=finished and document is not None)
        before, _ = around(document.folded, *boxes[-1].span())
        if not self.as_published and _OF_TASK.search(before):
            return unreadable_vote(finished=finished)
        match = _INDEX.fullmatch(boxes[-1][1])
        problem = self.disqualification(document, [boxes[-1].span()], Claim("other"))
        if match is None or problem is not None:
            return Vote(problem or Status.INVALID)
        index = int(match[1])
        paragraphs = len(re.split(r"\n\s*\n", comparison.responses[0].strip()))
        return first_error_vote(None if index < 0 else index, comparison, paragraphs)


JUDGE = ProcessBenchJudge
