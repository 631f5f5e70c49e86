"""The bracketed marks of a text, `[[A]]` and the like, and how each stands there.

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
"""More marks or announcements than those, or more of either that each need a look of their own, are a model that loops:
none of them counts."""


class Mark(NamedTuple):
    """A bracketed mark. `closing` is given alone or at the end of its sentence, `passing` in the midst of one."""

    outcome: Outcome
    start: int
    end: int
    standing: Literal["closing", "passing", "offered", "denied", "reported", "imagined", "quoted"]

    @property
    def is_given(self) -> bool:
        return self.standing in ("closing", "passing")


_OFFERED_NEXT = re.compile(
    r"""[\s*_`"'”’.,;)]{0,6}(?:(?:(?:or|and|vs\.?|versus)(?![a-z])|[/|,<>=&、，]|或者?|和|以及)[\s*_`"'“‘(]{0,6}){1,2}"""
    r"(?:(?:the )?(?:final|overall) \w{1,10}\W{1,6}|(?:verdict|output|write|winner)\W{1,6})?"
)
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
    """Every mark that looks like an outcome and stands outside of `owned`; None when there are too many to judge."""
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
    """What tells a verdict from another."""
    return document.folded[max(0, start - 60) : start], document.folded[start : end + 60]


def may_go_on(document: Document, mark: Mark) -> bool:
    """Whether the text was cut off right after a mark in mid-sentence."""
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
