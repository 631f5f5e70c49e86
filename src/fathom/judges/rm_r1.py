"""RM-R1: classifies the task, writes a rubric (Chat) or a solution (Reasoning), evaluates, and answers in a tag.

Method: "RM-R1: Reward Modeling as Reasoning" (arXiv 2505.02387); rule: the reward of its repository.

    RMR1Judge().read("... <answer>[[A]]</answer>", comparison).winner                # 0

In the rationale, the items of a Chat rubric become principles, and the solution of a Reasoning task becomes the trace.
The content of `<eval>` covers all principles at once, so it is not parsed and stays in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.judges._published import PublishedJudge, pair_claim
from fathom.judges._templated import unreadable_vote
from fathom.judges._verdict import Vote
from fathom.rationale import MAX_UNITS, Rationale, Status, Unit
from fathom.rationale.transcript.document import Document

TAIL = 80
"""Number of characters at the end of the text that are searched for the answer."""
ANSWERS = ("<answer>[[A]]</answer>", "<answer>[[B]]</answer>")
_RUBRIC = re.compile(r"<rubric>(.*?)(?:<justify>|</rubric>)", re.DOTALL)
_ITEM = re.compile(r"^([ \t]*)(?:\d+[.)]|[-*•])[ \t]+([^:\n]+)(?::[ \t]*(.*))?$", re.MULTILINE)
_SOLUTION = re.compile(r"<solution>(.*?)</solution>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class RMR1Judge(PublishedJudge):
    """Judges pairs. `trained` selects the prompt for reasoning models, which asks for the answer only."""

    gives_scores: ClassVar[bool] = False
    trained: bool = False

    @property
    def template_name(self) -> str:
        return "rm_r1/trained" if self.trained else "rm_r1/instruct"

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """Exactly one of the two answers must occur in the last 80 characters; both are contradictory.

        Reasoning and trailing whitespace are ignored. In a truncated text the answer must be at the very end.
        """
        document = Document.of(text)
        if document is None:
            return Vote(Status.TRUNCATED)
        spoken = document.text.rstrip()
        floor = max(0, len(spoken) - (TAIL if finished else len(ANSWERS[0])))
        there = [winner for winner, answer in enumerate(ANSWERS) if answer in spoken[floor:]]
        if len(there) > 1:
            return Vote(Status.CONTRADICTORY, rationale=_rationale(spoken))
        if not there:
            return unreadable_vote(finished=finished)
        start = spoken.rindex(ANSWERS[there[0]])
        problem = self.disqualification(document, [(start, start + len(ANSWERS[0]))], pair_claim(there[0]))
        if problem is not None:
            return Vote(problem, rationale=_rationale(spoken))
        return Vote(Status.OK, winner=there[0], rationale=_rationale(spoken, there[0]))


def _rationale(text: str, winner: int | None = None) -> Rationale:
    rubric, solution = _RUBRIC.search(text), _SOLUTION.search(text)
    units = _principles(rubric[1]) if rubric else ()
    return Rationale(units, solution[1] if solution else "", None if winner is None else ("A", "B")[winner])


def _principles(rubric: str) -> tuple[Unit, ...]:
    """The outermost list items of a rubric, without bold markup; nested items only elaborate on them."""
    items = [(len(indent), Unit(*fields)) for indent, *fields in _ITEM.findall(rubric.replace("**", "").expandtabs())]
    outermost = min((indent for indent, _ in items), default=0)
    return tuple(unit for indent, unit in items if indent == outermost)[:MAX_UNITS]


JUDGE = RMR1Judge
