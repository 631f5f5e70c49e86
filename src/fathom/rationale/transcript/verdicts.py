"""The final verdicts that a text states, with their positions.

    >>> document = Document.of("I like [[B]].\\n\\nFinal verdict: [[A]]")
    >>> [given.outcome for given in final_verdicts(document, [], finished=True)]
    ['A']

A mention of a verdict counts if the judge gives it, not if it is quoted, offered, denied, reported or only considered.
An ambiguous mention is dropped, or returned together with its opposite, so that the text becomes contradictory.

Algorithm:

1. Collect candidates of four kinds: data (JSON, tool calls, table rows: `structured`), bracketed marks outside of data
   (`marks`), announced lines such as `Final verdict: A` (`announcements`), and, as a last resort, a closing sentence
   such as "Overall, B is better" (`comparisons`). `marks` and `announcements` classify each candidate by the words
   around it (`mentions`, `denials`, `leads`). Candidates inside of units are sub-verdicts and do not count.
2. Keep the strongest kind that the text has: announced verdicts, with marks after the last of them and data; else marks
   that close a sentence, with data after them; else data; else announced answers, unless the letters may be options of
   a multiple-choice task (`options`); else the closing comparison, if the text shows no other sign of a verdict.
3. Read on after the first and the last mention kept. If a later sentence takes the verdict back or names another winner
   (`withdrawals`, `rivals`, `turns`), add the opposite outcome.

The caller takes the verdict if all mentions have the same outcome, and reports a contradiction otherwise. So step 3 can
only add doubt: it never turns one verdict into another.
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
"""An outcome that contradicts each one. For a tie, any other outcome does."""


def final_verdicts(document: Document, unit_spans: Spans, *, finished: bool) -> list[VerdictMention]:
    """Mentions of the final verdict, of the strongest kind in the text. Different outcomes contradict each other.

    `unit_spans` are the spans of units; verdicts there are sub-verdicts. Returns no mention for degenerate repetition.
    """
    data = structured(document)
    found = marks(document, data.spans)
    if found is None:
        return []
    announcements = announced(
        document, merged(unit_spans, data.spans), found, unit_spans[0][0] if unit_spans else 0, finished=finished
    )
    if announcements is None:
        return []
    free = [
        mark
        for mark in found
        if mark.is_given and not is_within(mark.start, unit_spans) and mark.start not in announcements.withheld
    ]
    if verdicts := announcements.verdicts:
        later = _later_marks(document, verdicts, free)
        in_words = not any(mark.start < each.end and mark.end > each.start for mark in found for each in verdicts)
        # An invalid mark after a verdict in words makes the verdict invalid: `Verdict: A is better. [[A>B]]`.
        only_later = in_words and later and all(each.outcome == "invalid" for each in later)
        given = (later if only_later else verdicts + later) + data.given
    elif closing := [
        mark for mark in free if mark.standing == "closing" and (finished or not may_go_on(document, mark))
    ]:
        # Data before the mark may be a draft. After the mark it is a second verdict.
        last = closing[-1].start
        given = [VerdictMention(*mark[:3]) for mark in closing] + [each for each in data.given if each.start > last]
    elif data.given:
        given = data.given
    elif announcements.answers or data.answers:
        answers = [*announcements.answers, *((each, False) for each in data.answers)]
        of_task = has_options(document)
        given = [each for each, names_response in answers if names_response or not of_task]
    else:
        given = _compared(document, found, data) if finished else []
    return given + _withdrawn(document, given)


def _later_marks(document: Document, verdicts: list[VerdictMention], free: list[Mark]) -> list[VerdictMention]:
    """Marks after the last announced verdict. If they differ from it, they are a second thought."""
    end = document.line_end(max(given.start for given in verdicts))
    later = [mark for mark in free if mark.start > end]
    return [VerdictMention(*mark[:3]) for mark in later if mark.outcome != "invalid" or mark.standing == "closing"]


def _compared(document: Document, found: list[Mark], data: Structured) -> list[VerdictMention]:
    """The closing comparison, for texts without marks, data and final verdict lines."""
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
    """The opposite outcome, if later text takes the verdict back; nothing for texts that are contradictory already."""
    outcomes = {each.outcome for each in given}
    if len(outcomes) != 1 or "invalid" in outcomes:
        return []
    first, last = min(given, key=lambda each: each.end), max(given, key=lambda each: each.end)
    repeated = (first.end, last.start) if first.end < last.start else None
    if taken_back(document, last.end, Claim("pair", last.outcome), repeated=repeated):
        return [VerdictMention(_RIVAL[last.outcome], last.start, last.end)]
    return []
