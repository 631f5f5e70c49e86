"""The line that a judge is told to close with: a name, a colon, and a value.

    document = Document.of("Step 3 fails.\\n**Score:** 2")
    [strip_markup(line.value) for line in closing(document, "score")]                            # ["2"]

`fathom.rationale.transcript` says which part of a text counts and what is only quoted, as for every other verdict.
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
"""A text with more such lines or tags is a model that loops: none of them counts."""

_MARKUP = r"(?:[^\w\n\\]|_){0,12}"
_LINK = r"[ \t*_~`\"')\]]{0,6}(?:[:=]|(?=\n|$))"
_NOTHING = " \t*_#`$\\[("
_WRAPPED = re.compile(r"\\(?:boxed|text|textbf|mathrm)\s*(?=\{)|\\[()\[\]]")
_AROUND = " \t\n*_`$\"'“”‘’«»「」『』【】《》()[]{}"


class Match(NamedTuple):
    """What stands on the line or in the tag, in lower case, and where that starts and ends on the page."""

    value: str
    start: int
    end: int


def labelled_values(document: Document, name: str) -> list[Match]:
    """The lines `name: value` that are given and not quoted or struck out; a heading has its value on the next line."""
    pattern = re.compile(
        rf"\n({_MARKUP}(?:\d{{1,2}}[.)]{_MARKUP})?)(?:(?:the|my|our) )?(?:(?:final|overall) )?({name}){_LINK}"
    )
    return [_line(document, match.end()) for match in _found(pattern, document) if not _is_mentioned(document, match)]


def tag_values(document: Document, tag: str) -> list[Match]:
    """What stands in `<tag>...</tag>` where it is given, and not quoted, denied or imagined.

    What closes the text is given whatever leads up to it: "rather than B: <answer>A</answer>".
    """
    pattern = re.compile(rf"<{tag}>([^<]{{0,80}})</{tag}>")
    return [
        Match(match[1], match.start(), match.end())
        for match in _found(pattern, document)
        if _is_given(document, *match.span())
    ]


def _found(pattern: re.Pattern[str], document: Document) -> list[re.Match[str]]:
    found = [] if document.loops else list(islice(pattern.finditer(document.folded), MAX_PLACES + 1))
    return found if len(found) <= MAX_PLACES else []


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
    """A value without the markup, quotation marks and brackets around it, and without a stop or comma after it."""
    return _WRAPPED.sub("", value).lstrip(_AROUND).rstrip(_AROUND + ".,!。")


def unanimous(
    document: Document,
    said: Sequence[Match],
    read: Callable[[str], Value | None],
    claim: Callable[[Value], Claim],
    *,
    finished: bool = True,
) -> Value | Status:
    """What all that is said amounts to, or why that is nothing: it cannot be read, it differs, the text takes it back.

    `claim` puts a value into the form in which the opposite can be recognised. In a text that was cut off it must be
    the very end.
    """
    values = {read(each.value) for each in said}
    if not finished and (len(values) != 1 or None in values or text_after(document, said).strip()):
        return Status.TRUNCATED
    if not values:
        return Status.MISSING
    if len(values) > 1:
        return Status.CONTRADICTORY
    value = values.pop()
    if value is None:
        return Status.INVALID
    repeated = (said[0].end, said[-1].start) if len(said) > 1 else None
    is_taken_back = taken_back(document, said[-1].end, claim(value), repeated=repeated)
    return Status.CONTRADICTORY if is_taken_back else value


def text_after(document: Document, said: Sequence[Match]) -> str:
    """What stands after the last of it, in lower case."""
    return document.folded[said[-1].end :] if said else ""
