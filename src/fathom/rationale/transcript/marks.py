"""The bracketed marks of a text, such as `[[A]]`, classified by their context.

>>> [(mark.outcome, mark.standing) for mark in marks(Document.of("It is not [[B]].\\n\\n[[A]]"), []) or ()]
[('B', 'denied'), ('A', 'closing')]
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Literal, NamedTuple

from fathom.rationale.transcript.choices import MARK, Outcome, inside_mark
from fathom.rationale.transcript.document import Document, Spans, is_within
from fathom.rationale.transcript.leads import leads
from fathom.rationale.transcript.mentions import standing
from fathom.rationale.transcript.options import is_option
from fathom.rationale.transcript.sentences import around

MAX_PLACES = 512
MAX_CLOSE_LOOKS = 64
"""Above either limit (on all marks or announcements; on those with distinct surroundings) the text is treated as
degenerate repetition and yields no verdict."""


class Mark(NamedTuple):
    """A bracketed mark. `closing` marks stand alone or at the end of a sentence, `passing` ones inside of one."""

    outcome: Outcome
    start: int
    end: int
    standing: Literal["closing", "passing", "offered", "denied", "reported", "imagined", "quoted"]

    @property
    def is_given(self) -> bool:
        return self.standing in ("closing", "passing")


# What stands between two marks that are alternatives of a menu: `[[A]] or [[B]]`, `[[A]], [[B]]`, `"[[A]]"/"[[B]]"`.
_OFFERED_NEXT = re.compile(
    r"""[\s*_`"'”’.,;)]{0,6}(?:(?:(?:or|and|vs\.?|versus)(?![a-z])|[/|,<>=&、，]|或者?|和|以及)[\s*_`"'“‘(]{0,6}){1,2}"""
    r"(?:(?:the )?(?:final|overall) \w{1,10}\W{1,6}|(?:verdict|output|write|winner)\W{1,6})?"
)
# After a mark: the end of the sentence, or a reason (`[[A]] because ...`, `[[A]] is my verdict`).
_ENDS_SENTENCE = re.compile(
    rf"(?:[\s*_~]{{0,6}}{MARK.pattern}){{0,4}}"  # marks side by side end it together
    r"""(?:</[a-z_]{1,20}>|[\s*_~)}\]>$|]|\\[)\]]){0,20}(?:[.!。！]+(?:[\s*_)"”'’<]|$)|$)"""
)
_HAS_REASON = re.compile(
    r"[\s*_)\]]{0,6}(?:,? ?(?:because|since|as (?!if\b))|[:,] ?(?:because|since|as|for)\b|[-–—]{1,2} "
    r"|is (?:my|the (?:\w+ )?(?:better|best|winner)|(?:\w+ )?(?:better|superior|stronger))\b|wins\b)"
)
_AFTER_TAG = re.compile(r".*</?[a-z_]{1,30}>")
_BARE = re.compile(r"[^\w?？:：;,\"“”'‘’`]*")


def marks(document: Document, unit_spans: Spans) -> list[Mark] | None:
    """All marks that look like an outcome, outside of `unit_spans`; None for degenerate repetition."""
    if "[" not in document.folded:
        return []
    matches = list(islice(MARK.finditer(document.folded), MAX_PLACES + 1))
    if len(matches) > MAX_PLACES:
        return None
    found = [
        (match, outcome)
        for match in matches
        if not is_within(match.start(), unit_spans) and (outcome := inside_mark(match[1]))
    ]
    offered = {
        k + i for k in range(len(found) - 1) if _are_offered(document, found[k][0], found[k + 1][0]) for i in (0, 1)
    }
    weighed: list[Mark] = []
    closing: set[tuple[str, str]] = set()
    looks = 0
    for k, (match, outcome) in enumerate(found):
        start, end = match.span()
        near = surroundings(document, start, end)
        if k in offered:
            weighed.append(Mark(outcome, start, end, "offered"))
        elif near in closing:  # a repeated mark needs no second look
            weighed.append(Mark(outcome, start, end, "closing"))
        else:
            looks += 1
            weighed.append(_weigh(document, start, end, outcome))
            if weighed[-1].standing == "closing":
                closing.add(near)
        if looks > MAX_CLOSE_LOOKS:
            return None
    return weighed


def surroundings(document: Document, start: int, end: int) -> tuple[str, str]:
    """The text around a place, which decides how it is classified. Equal surroundings need one closer look only."""
    return document.folded[max(0, start - 60) : start], document.folded[start : end + 60]


def may_go_on(document: Document, mark: Mark) -> bool:
    """Whether a truncated text ends right after a mark in the middle of a sentence."""
    before, _ = around(document.folded, mark.start, mark.end)
    return not document.folded[mark.end :].strip() and not _BARE.fullmatch(before)


def _are_offered(document: Document, first: re.Match[str], second: re.Match[str]) -> bool:
    between = second.start() - first.end()
    return 0 < between <= 60 and _OFFERED_NEXT.fullmatch(document.folded, first.end(), second.start()) is not None


def _weigh(document: Document, start: int, end: int, outcome: Outcome) -> Mark:
    before, after = around(document.folded, start, end)
    before = MARK.sub(" ", _AFTER_TAG.sub("", before))
    how = standing(document, start, end, before, after)
    if how != "given":
        return Mark(outcome, start, end, how)
    if _BARE.fullmatch(before):
        ends = _BARE.fullmatch(after) or _ENDS_SENTENCE.match(after) or _HAS_REASON.match(after)
        return Mark(outcome, start, end, "closing" if ends else "passing")
    if is_option(before):
        return Mark(outcome, start, end, "reported")
    return Mark(outcome, start, end, "closing" if _ENDS_SENTENCE.match(after) and leads(before) else "passing")
