"""ProcessBench's critic of solutions: the index of the first wrong paragraph in a box, or -1 if none is wrong.

Rule: ProcessBench (arXiv 2412.06559), its critic models. With several votes, the index that most of them name counts;
of several indices with equally many votes, the one named first (`fathom.metrics.steps.voted_first_error`).

    vote = ProcessBenchJudge().read("Paragraph 2 adds wrongly. \\\\boxed{2}", comparison)
    vote.step_scores                                                                 # ((1.0, 1.0, 0.0, None),)

Paragraphs are the steps of the comparison, each shown with its index from 0, or, if it has none, the parts of the
response between blank lines. To use the published prompt, give it as a template with the variables `instruction` and
`paragraphs`:

    {% for paragraph in paragraphs %}<paragraph_{{ loop.index0 }}>...
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from fathom.data.records import Comparison
from fathom.judges import Arity
from fathom.judges._published import PublishedJudge
from fathom.judges._rewards import required_label, steps_reward
from fathom.judges._steps import first_error_vote
from fathom.judges._templated import unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.sentences import around

_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_TASK_ANSWER = re.compile(  # text before a box that contains the answer to the task instead of an index
    r"\b(?:correct|right|true|actual|real|expected|proper) (?:final )?(?:answer|result|value|sum|solution|number"
    r"|total)\b[^.]{0,30}$"
    r"|\b(?:sum|value|product|total|difference|quotient|probability|area|volume|length|answer to the (?:task|question"
    r"|problem))"
    r" (?:\w+ ){0,3}?(?:is|are|should be|equals|must be|would be|becomes)\W*$|[a-z0-9)}] ?= ?[$\\(\[ ]*$"
)
_INDEX = re.compile(r"\s*(-1|\d{1,6})\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ProcessBenchJudge(PublishedJudge):
    """Scores the paragraphs of each solution alone."""

    arity: ClassVar[Arity] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    scores_steps: ClassVar[bool] = True

    @property
    def template_name(self) -> str:
        return "processbench"

    def values(self, comparison: Comparison) -> dict[str, Any]:
        steps = comparison.steps
        return super().values(comparison) | {"paragraphs": None if steps is None else steps[0]}

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """+1 if the vote names the first wrong step of the label, or none if it has none."""
        return steps_reward(vote, required_label(comparison))

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The last box must contain an integer of at least -1, and must not be introduced as the answer to the task."""
        document = Document.of(text)
        boxes = [] if document is None else list(_BOXED.finditer(document.text))
        if document is None or not boxes:
            return unreadable_vote(finished=finished and document is not None)
        before, _ = around(document.folded, *boxes[-1].span())
        if not self.as_published and _TASK_ANSWER.search(before):
            return unreadable_vote(finished=finished)
        match = _INDEX.fullmatch(boxes[-1][1])
        problem = self.disqualification(document, [boxes[-1].span()], Claim("other"))
        if match is None or problem is not None:
            return Vote(problem or Status.INVALID)
        index = int(match[1])
        paragraphs = len(re.split(r"\n\s*\n", comparison.responses[0].strip()))
        return first_error_vote(None if index < 0 else index, comparison, paragraphs)


JUDGE = ProcessBenchJudge
