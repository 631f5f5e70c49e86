"""The final verdicts that a text gives: which outcome, how firmly, where.

    >>> document = Document.of("I like [[B]].\\n\\nFinal verdict: [[A]]")
    >>> [given.outcome for given in final_verdicts(document, [], finished=True)]
    ['A']

A verdict counts when it is given, not when it is quoted, offered, denied, reported or imagined. What cannot be told
apart for certain is left out, or returned together with its opposite.
"""

from __future__ import annotations

from fathom.rationale.transcript.announcements import announced
from fathom.rationale.transcript.choices import Outcome, VerdictMention
from fathom.rationale.transcript.comparisons import closing_comparison
from fathom.rationale.transcript.document import Document, Spans, is_within, merged
from fathom.rationale.transcript.marks import Mark, marks, may_go_on
from fathom.rationale.transcript.options import has_options
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.structured import Structured, structured
from fathom.rationale.transcript.withdrawals import taken_back

_RIVAL: dict[Outcome, Outcome] = {"A": "B", "B": "A", "tie": "A"}


def final_verdicts(document: Document, unit_spans: Spans, *, finished: bool) -> list[VerdictMention]:
    """The verdicts of the strongest kind in the text; those of different outcomes contradict each other.

    `owned` are the spans that belong to units: a verdict there is a sub-verdict.
    """
    data = structured(document)
    found = marks(document, data.spans)
    if found is None:
        return []
    told = announced(
        document, merged(unit_spans, data.spans), found, unit_spans[0][0] if unit_spans else 0, finished=finished
    )
    if told is None:
        return []
    free = [
        mark
        for mark in found
        if mark.is_given and not is_within(mark.start, unit_spans) and mark.start not in told.withheld
    ]
    if told.verdicts:
        later = _later_marks(document, told.verdicts, free)
        in_words = not any(mark.start < each.end and mark.end > each.start for mark in found for each in told.verdicts)
        # A mark of another menu decides over the words that lead up to it: `A is better: [[A>B]]`.
        only_later = in_words and later and all(each.outcome == "invalid" for each in later)
        given = (later if only_later else told.verdicts + later) + data.given
    elif closing := [
        mark for mark in free if mark.standing == "closing" and (finished or not may_go_on(document, mark))
    ]:
        # Data may hold a draft. After the mark it is a second verdict.
        last = closing[-1].start
        given = [VerdictMention(*mark[:3]) for mark in closing] + [each for each in data.given if each.start > last]
    elif data.given:
        given = data.given
    elif told.answers or data.answers:
        answers = [*told.answers, *((each, False) for each in data.answers)]
        of_task = has_options(document)
        given = [each for each, names_response in answers if names_response or not of_task]
    else:
        given = _compared(document, found, data) if finished else []
    return given + _withdrawn(document, given)


def _later_marks(document: Document, verdicts: list[VerdictMention], free: list[Mark]) -> list[VerdictMention]:
    """The marks after the last final verdict line: a second thought, where they differ from it."""
    end = document.line_end(max(given.start for given in verdicts))
    later = [mark for mark in free if mark.start > end]
    return [VerdictMention(*mark[:3]) for mark in later if mark.outcome != "invalid" or mark.standing == "closing"]


def _compared(document: Document, found: list[Mark], data: Structured) -> list[VerdictMention]:
    """The verdict in words of a text that has no other, and that shows no mark of any menu."""
    if (
        found
        or data.spans
        or data.breaks_off
        or (document.labels and any(label.kind == "final" for label in document.labels))
    ):
        return []
    winner = closing_comparison(document.folded)
    return [] if winner is None else [VerdictMention(winner, len(document.folded), len(document.folded))]


def _withdrawn(document: Document, given: list[VerdictMention]) -> list[VerdictMention]:
    """Another outcome, when the text goes on to take the verdict back."""
    outcomes = {each.outcome for each in given}
    if len(outcomes) != 1 or "invalid" in outcomes:
        return []
    first, last = min(given, key=lambda each: each.end), max(given, key=lambda each: each.end)
    repeated = (first.end, last.start) if first.end < last.start else None
    if taken_back(document, last.end, Claim("pair", last.outcome), repeated=repeated):
        return [VerdictMention(_RIVAL[last.outcome], last.start, last.end)]
    return []
