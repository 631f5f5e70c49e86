"""The final verdicts that a text gives: which outcome, how firmly, where.

    >>> page = Page.of("I like [[B]].\\n\\nFinal verdict: [[A]]")
    >>> [given.outcome for given in final_verdicts(page, [], finished=True)]
    ['A']

A verdict counts when it is given, not when it is quoted, offered, denied, reported or imagined. What cannot be told
apart for certain is left out, or returned together with its opposite.
"""

from __future__ import annotations

from fathom.rationale.transcript.announcements import announced
from fathom.rationale.transcript.choices import Given, Outcome
from fathom.rationale.transcript.comparisons import closing_comparison
from fathom.rationale.transcript.marks import Mark, marks, may_go_on
from fathom.rationale.transcript.options import has_options
from fathom.rationale.transcript.page import Page, Spans, is_within, merged
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.structured import Structured, structured
from fathom.rationale.transcript.withdrawals import taken_back

_RIVAL: dict[Outcome, Outcome] = {"A": "B", "B": "A", "tie": "A"}


def final_verdicts(page: Page, owned: Spans, *, finished: bool) -> list[Given]:
    """The verdicts of the strongest kind in the text; those of different outcomes contradict each other.

    `owned` are the spans that belong to units: a verdict there is a sub-verdict.
    """
    data = structured(page)
    found = marks(page, data.spans)
    if found is None:
        return []
    told = announced(page, merged(owned, data.spans), found, owned[0][0] if owned else 0, finished=finished)
    if told is None:
        return []
    free = [
        mark for mark in found if mark.is_given and not is_within(mark.start, owned) and mark.start not in told.withheld
    ]
    if told.verdicts:
        later = _later_marks(page, told.verdicts, free)
        in_words = not any(mark.start < each.end and mark.end > each.start for mark in found for each in told.verdicts)
        # A mark of another menu decides over the words that lead up to it: `A is better: [[A>B]]`.
        only_later = in_words and later and all(each.outcome == "invalid" for each in later)
        given = (later if only_later else told.verdicts + later) + data.given
    elif closing := [mark for mark in free if mark.standing == "closing" and (finished or not may_go_on(page, mark))]:
        # Data may hold a draft. After the mark it is a second verdict.
        last = closing[-1].start
        given = [Given(*mark[:3]) for mark in closing] + [each for each in data.given if each.start > last]
    elif data.given:
        given = data.given
    elif told.answers or data.answers:
        answers = [*told.answers, *((each, False) for each in data.answers)]
        of_task = has_options(page)
        given = [each for each, names_response in answers if names_response or not of_task]
    else:
        given = _compared(page, found, data) if finished else []
    return given + _withdrawn(page, given)


def _later_marks(page: Page, verdicts: list[Given], free: list[Mark]) -> list[Given]:
    """The marks after the last final verdict line: a second thought, where they differ from it."""
    end = page.line_end(max(given.start for given in verdicts))
    later = [mark for mark in free if mark.start > end]
    return [Given(*mark[:3]) for mark in later if mark.outcome != "invalid" or mark.standing == "closing"]


def _compared(page: Page, found: list[Mark], data: Structured) -> list[Given]:
    """The verdict in words of a text that has no other, and that shows no mark of any menu."""
    if found or data.spans or data.breaks_off or (page.labels and any(label.kind == "final" for label in page.labels)):
        return []
    winner = closing_comparison(page.folded)
    return [] if winner is None else [Given(winner, len(page.folded), len(page.folded))]


def _withdrawn(page: Page, given: list[Given]) -> list[Given]:
    """Another outcome, when the text goes on to take the verdict back."""
    outcomes = {each.outcome for each in given}
    if len(outcomes) != 1 or "invalid" in outcomes:
        return []
    first, last = min(given, key=lambda each: each.end), max(given, key=lambda each: each.end)
    repeated = (first.end, last.start) if first.end < last.start else None
    if taken_back(page, last.end, Claim("pair", last.outcome), repeated=repeated):
        return [Given(_RIVAL[last.outcome], last.start, last.end)]
    return []
