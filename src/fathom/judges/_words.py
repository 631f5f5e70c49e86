"""Parse verdicts that are one word out of a few, such as YES or NO, after optional reasoning.

    word("... so it holds.\\nVerdict: YES", {"yes": 1.0, "no": 0.0})                  # 1.0

The word must be the whole answer, or the only word on a line after `Verdict:` (else `Judgment:`, else `Answer:`), in
any letter case and with any markup. All such lines count. Two lines that differ are contradictory; the last one does
not win. A later clause that ends in the other word also makes the text contradictory. In a truncated text, the word
must be the whole answer.
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
    """The value in `words` of the verdict's word, or the Status that explains why there is none."""
    document = Document.of(text)
    if document is None:
        return Status.TRUNCATED
    alone = words.get(strip_markup(document.folded))
    if alone is not None:
        return alone
    if not finished:
        return Status.TRUNCATED
    lines = next((lines for name in _NAMES if (lines := labelled_values(document, name))), [])
    value = unanimous(document, lines, lambda text: words.get(strip_markup(text)), _claim)
    if value is Status.MISSING:
        return _without_label(document, words)
    if isinstance(value, Status):
        return value
    return value if _later_values(text_after(document, lines), words) <= {value} else Status.CONTRADICTORY


def _claim(value: float) -> Claim:
    return Claim("word", value)


def _without_label(document: Document, words: Mapping[str, float]) -> Status:
    """The status of a text without a labelled line. A word on the first line that later text takes back is
    contradictory; otherwise there is no verdict, because the word must be the whole answer.
    """
    end = document.line_end(1)
    first = words.get(strip_markup(document.folded[:end]))
    return Status.CONTRADICTORY if first is not None and taken_back(document, end, _claim(first)) else Status.MISSING


def _later_values(text: str, words: Mapping[str, float]) -> set[float]:
    """The values of clauses that end in one of the words, inverted for denials such as "this is not correct"."""
    clauses = (clause.rstrip(_AROUND).rpartition(" ") for clause in _CLAUSE_ENDS.split(text))
    # Clauses about a part ("the first step is correct") say nothing about the whole. The slice bounds the search.
    values = (
        (before[-300:], words.get(last.lstrip(_AROUND))) for before, _, last in clauses if not _OF_PART.search(before)
    )
    return {1 - value if is_denied(f"{before} ") else value for before, value in values if value is not None}


def vote_of_word(text: str, words: Mapping[str, float], *, finished: bool) -> Vote:
    """The vote on one response from the single verdict word of the text."""
    value = word(text, words, finished=finished)
    return Vote(value) if isinstance(value, Status) else score_vote(value)


def spellings(choices: Choices) -> Choices:
    """The choices in lower case, upper case and title case: `word` accepts all of them."""
    return {
        form: index for choice, index in choices.items() for form in (choice.lower(), choice.upper(), choice.title())
    }
