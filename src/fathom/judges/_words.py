"""Reading judges that think first and end in one word of a few.

    word("... so it holds.\\nVerdict: YES", {"yes": 1.0, "no": 0.0})                  # 1.0

The word is the whole answer, or stands alone on a line after `Verdict:`, or else `Judgment:`, or else `Answer:`, in
letters of any case and with any markup. All such lines count: two that differ are two verdicts, and never the last one.
So are such a line and a later clause that ends in the other word. A text that was cut off has a verdict only where the
word is all of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fathom.judges._lines import labelled_values, strip_markup, text_after, unanimous
from fathom.judges._probabilities import Choices
from fathom.judges._templated import score_vote
from fathom.judges._verdict import Vote
from fathom.rationale import Status
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.mentions import is_denied
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.withdrawals import taken_back

_NAMES = ("verdict", "judge?ment", "answer")
_CLAUSE_ENDS = re.compile(r"[.,;:!?\n]")
_OF_PART = re.compile(
    r"\b(?:steps?|lines?|parts?|paragraphs?|setup|approach|method|format|beginning|idea)(?: \w+)? (?:is|are|was|were)$"
)
_AROUND = " *_\"'()"


def word(text: str, words: Mapping[str, float], *, finished: bool = True) -> float | Status:
    """What the word stands for that an answer names as its verdict, or why there is none."""
    document = Document.of(text)
    if document is None:
        return Status.TRUNCATED
    alone = words.get(strip_markup(document.folded))
    if alone is not None:
        return alone
    if not finished:
        return Status.TRUNCATED
    lines = next((lines for name in _NAMES if (lines := labelled_values(document, name))), [])
    said = unanimous(document, lines, lambda value: words.get(strip_markup(value)), _claim)
    if said is Status.MISSING:
        return _first_line(document, words)
    if isinstance(said, Status):
        return said
    return said if _later(text_after(document, lines), words) <= {said} else Status.CONTRADICTORY


def _claim(value: float) -> Claim:
    return Claim("word", value)


def _first_line(document: Document, words: Mapping[str, float]) -> Status:
    """A word that more follows is no verdict; whether it is taken back tells which kind of none."""
    end = document.line_end(1)
    first = words.get(strip_markup(document.folded[:end]))
    return Status.CONTRADICTORY if first is not None and taken_back(document, end, _claim(first)) else Status.MISSING


def _later(text: str, words: Mapping[str, float]) -> set[float]:
    """What clauses that end in one of the words say: what it stands for, or the opposite where they deny it."""
    clauses = (clause.rstrip(_AROUND).rpartition(" ") for clause in _CLAUSE_ENDS.split(text))
    found = (
        (before[-300:], words.get(last.lstrip(_AROUND))) for before, _, last in clauses if not _OF_PART.search(before)
    )
    return {1 - value if is_denied(f"{before} ") else value for before, value in found if value is not None}


def vote_of_word(text: str, words: Mapping[str, float], *, finished: bool) -> Vote:
    """A vote on one response: what the one word stands for that the text ends in."""
    said = word(text, words, finished=finished)
    return Vote(said) if isinstance(said, Status) else score_vote(said)


def spellings(choices: Choices) -> Choices:
    """The choices in small letters, in capitals and with a capital, as `word` reads them all."""
    return {form: place for each, place in choices.items() for form in (each.lower(), each.upper(), each.title())}
