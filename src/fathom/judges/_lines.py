"""Parse labelled lines (`Score: 7`) and tags (`<answer>A</answer>`), the forms in which judges state a verdict.

    document = Document.of("Step 3 fails.\\n**Score:** 2")
    [strip_markup(match.value) for match in labelled_values(document, "score")]                  # ["2"]

As for every other verdict, `fathom.rationale.transcript` decides which parts of a text count and which are only quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from fathom.rationale import Status
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.mentions import is_denied, is_quoted, is_reported, standing
from fathom.rationale.transcript.rivals import Claim
from fathom.rationale.transcript.sentences import around
from fathom.rationale.transcript.withdrawals import taken_back

Value = TypeVar("Value", bound=Hashable)

MAX_PLACES = 64
"""More matches than this mean that the model is looping, and none of them counts."""

_MARKUP = r"(?:[^\w\n\\]|_){0,12}"
_LINK = r"[ \t*_~`\"')\]]{0,6}(?:[:=]|(?=\n|$))"
_NOTHING = " \t*_#`$\\[("
_WRAPPED = re.compile(r"\\(?:boxed|text|textbf|mathrm)\s*(?=\{)|\\[()\[\]]")
_AROUND = " \t\n*_`$\"'“”‘’«»「」『』【】《》()[]{}"


class Match(NamedTuple):
    """The value on a line or in a tag, in lower case, with its start and end in the folded text."""

    value: str
    start: int
    end: int


def labelled_values(document: Document, name: str) -> list[Match]:
    """Find the lines `name: value` that are not quoted, struck out, denied or reported.

    `name` is a regular expression. If nothing follows the name, as in a heading, the value is the next non-empty line.
    """
    pattern = re.compile(
        rf"\n({_MARKUP}(?:\d{{1,2}}[.)]{_MARKUP})?)(?:(?:the|my|our) )?(?:(?:final|overall) )?({name}){_LINK}"
    )
    return [_line(document, match.end()) for match in _matches(pattern, document) if not _is_mentioned(document, match)]


def tag_values(document: Document, tag: str) -> list[Match]:
    """Find the contents of `<tag>...</tag>` that are not quoted, denied or hypothetical.

    A tag at the very end of the text counts even after hypothetical words, as in "rather than B: <answer>A</answer>".
    """
    pattern = re.compile(rf"<{tag}>([^<]{{0,80}})</{tag}>")
    return [
        Match(match[1], match.start(), match.end())
        for match in _matches(pattern, document)
        if _is_given(document, *match.span())
    ]


def _matches(pattern: re.Pattern[str], document: Document) -> list[re.Match[str]]:
    matches = [] if document.loops else list(islice(pattern.finditer(document.folded), MAX_PLACES + 1))
    return matches if len(matches) <= MAX_PLACES else []


def _is_mentioned(document: Document, match: re.Match[str]) -> bool:
    line = document.folded[match.start() + 1 : document.line_end(match.end())]
    if ">" in match[1] or "~~" in line or is_quoted(document, match.start(2), match.end()):
        return True
    before, _ = around(document.folded, match.start(2), match.end())
    return is_denied(before) or is_reported(before)


def _is_given(document: Document, start: int, end: int) -> bool:
    closes = not document.folded[end:].strip()
    how = standing(document, start, end, *around(document.folded, start, end))
    return how in (("given", "imagined") if closes else ("given",))


def _line(document: Document, start: int) -> Match:
    end = document.line_end(start)
    while not document.folded[start:end].strip(_NOTHING) and end < len(document.folded):
        start, end = end + 1, document.line_end(end + 1)
    return Match(document.folded[start:end], start, end)


def strip_markup(value: str) -> str:
    """Remove markup, quotation marks and brackets around a value, and punctuation after it."""
    return _WRAPPED.sub("", value).lstrip(_AROUND).rstrip(_AROUND + ".,!。")


def unanimous(
    document: Document,
    matches: Sequence[Match],
    read: Callable[[str], Value | None],
    claim: Callable[[Value], Claim],
    *,
    finished: bool = True,
) -> Value | Status:
    """The value that all matches agree on, or the Status that explains why there is none.

    `read` parses a match and returns None for an invalid value. `claim` converts a value to the form in which a later
    withdrawal is recognized. In a truncated text (`finished=False`) the value must be at the very end, because later
    text could contradict it.
    """
    values = {read(match.value) for match in matches}
    if not finished and (len(values) != 1 or None in values or text_after(document, matches).strip()):
        return Status.TRUNCATED
    if not values:
        return Status.MISSING
    if len(values) > 1:
        return Status.CONTRADICTORY
    value = values.pop()
    if value is None:
        return Status.INVALID
    repeated = (matches[0].end, matches[-1].start) if len(matches) > 1 else None
    is_taken_back = taken_back(document, matches[-1].end, claim(value), repeated=repeated)
    return Status.CONTRADICTORY if is_taken_back else value


def text_after(document: Document, matches: Sequence[Match]) -> str:
    """The folded text after the last match; empty if there is none."""
    return document.folded[matches[-1].end :] if matches else ""
