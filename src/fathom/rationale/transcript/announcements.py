"""Lines and sentences that announce a final verdict, and what each announces.

>>> document = Document.of("## Final verdict\\n\\n**B**")
>>> [given.outcome for given in announced(document, [], [], 0, finished=True).verdicts]
['B']
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

from fathom.rationale.transcript.choices import MARK, VerdictMention, holds_nothing_else, stated
from fathom.rationale.transcript.document import Document, Spans, is_within
from fathom.rationale.transcript.marks import MAX_CLOSE_LOOKS, MAX_PLACES, Mark, surroundings
from fathom.rationale.transcript.mentions import is_denied, is_imagined, is_quoted, is_reported, is_reported_after
from fathom.rationale.transcript.names import NOUN
from fathom.rationale.transcript.sentences import around


class Announced(NamedTuple):
    """The announced verdicts, the announced answers, and the places of marks whose announcement does not count.

    Each answer tells whether it names a response: `Answer: Assistant B` and not `Answer: B`.
    """

    verdicts: list[VerdictMention]
    answers: list[tuple[VerdictMention, bool]]
    withheld: set[int]


class _Announcement(NamedTuple):
    """Words that announce a final verdict, and the place right after their link (`:`, `is`).

    `of` says what they announce: the verdict, an answer (which may be the judge's own to the task), or a verdict on
    a part of the question only.
    """

    start: int
    place: int
    of: Literal["verdict", "answer", "part"]


_PART = re.compile(r"[\s*_]{0,4}(?:for|on|under|regarding|in terms of|by|of) ")
_LINK = re.compile(
    r"[\s*_~`\"')\]]{0,6}(?:\((?P<aside>[^()\n]{0,40})\))?[\s*_]{0,4}"
    r"(?:(?:(?:is|goes to)(?![a-z])|是|为)[\s*_]{0,3}:?|[:=|>]|->|=>|→|[-–—]{1,2}(?= ))"
)
_ASIDE = re.compile(rf"\b(?:{NOUN}|user|according|by|for|on|in terms of)\b")
_NO_LINK_NEEDED = re.compile(r"[\s*_]{0,4}\[ ?\[|[ \t*_#]*\n")
_SENTENCE_STARTS = ("final ", "my verdict", "最终", "最終")
_SENTENCE_START = re.compile(
    r"(?:final (?:verdict|judge?ment|decision|answer|choice|conclusion|winner|ruling)|my verdict"
    r"|最[终終](?:裁决|裁決|判断|结论|答案|评判|决定|判决|选择))(?![a-z])"
)
_TAG_NOUNS = ("verdict", "answer", "winner", "decision", "choice", "judgment", "judgement", "preference", "ruling")
_TAGS = (
    *(f"{prefix}{noun}" for prefix in ("", "final_", "overall_") for noun in _TAG_NOUNS),
    *("better", "better_response", "best_response", "preferred", "preferred_response", "selection"),
)
_ANSWER = re.compile(
    r"(?!.*(?:better|best|preferred|superior|stronger|bessere|meilleure|mejor|melhor|migliore|lepsza|лучший|tốt hơn"
    r"|更))"
    r".*(?:answer|答案|choice|选择|selection|antwort|réponse|respuesta|risposta|resposta)"
)
_NAMES_RESPONSE = re.compile(
    rf"[^a-z0-9\n]{{0,16}}(?:(?:is|the|it['’]?s) )?(?:{NOUN}[ #:]{{0,2}}[a-z1-9](?![a-z0-9])|(?:the )?(?:first"
    rf"|second) {NOUN})"
)
_CONTENT = re.compile(
    r"[\s*_)\]]{0,4}[.,:–—-]{1,2}[ \t*_]*(?!because\b|since\b|as\b|due\b|for\b|it\b|its\b|this\b|that\b|the (?:first"
    r"|second|other|response)\b"
    rf"|which\b|both\b|neither\b|overall\b|so\b|and\b|but\b|not\b|(?:{NOUN})\b|a\b|b\b|clear)[^\s*_]"
)
_WORDS = re.compile(r"\S")
_BLANK = re.compile(r"[\s*_\"'`:>~$#-]*")


def announced(
    document: Document, unit_spans: Spans, marks: list[Mark], first_unit: int, *, finished: bool
) -> Announced | None:
    """What the announcements outside of `owned` amount to; None when there are too many to be a judgement."""
    told = Announced([], [], set())
    seen: dict[tuple[str, str], list[VerdictMention] | None] = {}
    for n, words in enumerate(_announcements(document, unit_spans, first_unit)):
        if n > MAX_PLACES or len(seen) > MAX_CLOSE_LOOKS:
            return None
        near = surroundings(document, words.start, words.place)
        if near in seen:
            known = seen[near]
            here = known and [VerdictMention(given.outcome, words.start, words.place) for given in known]
        else:
            here = seen[near] = _announced(document, words, marks, finished)
        if here is None:
            end = document.line_end(words.place)
            told.withheld.update(mark.start for mark in marks if words.start < mark.start < end)
        elif words.of == "answer":
            told.answers.extend(
                (given, _names_response(document, words.place)) for given in here if not _gives_content(document, given)
            )
        else:
            told.verdicts.extend(here)
    return told


def _gives_content(document: Document, given: VerdictMention) -> bool:
    """Whether the letter of an answer is followed by what an option says: `Answer: B, carbon dioxide`."""
    return _CONTENT.match(document.folded, given.end) is not None


def _names_response(document: Document, place: int) -> bool:
    return _NAMES_RESPONSE.match(document.folded, place) is not None


def _announcements(document: Document, unit_spans: Spans, first_unit: int) -> Iterator[_Announcement]:
    told = {label.end for label in document.labels}
    for label in document.labels:
        words = document.folded[label.words : label.end]
        if label.kind not in ("final", "verdict") or is_within(label.start + 1, unit_spans):
            continue
        if label.kind == "verdict" and label.start < first_unit:
            continue
        if _PART.match(document.folded, label.end):
            yield _Announcement(label.words, label.end, "part")
        elif link := _LINK.match(document.folded, label.end):
            yield _Announcement(label.words, link.end(), "part" if _is_aside(link) else _object(words))
        elif _NO_LINK_NEEDED.match(document.folded, label.end):
            yield _Announcement(label.words, label.end, _object(words))
    for start in _SENTENCE_STARTS:
        for at in islice(_places(document.folded, start), 2 * MAX_PLACES):
            match = _SENTENCE_START.match(document.folded, at)
            link = match and _LINK.match(document.folded, match.end())
            if match and link and match.end() not in told and not is_within(at, unit_spans):
                yield _Announcement(at, link.end(), "part" if _is_aside(link) else _object(match[0]))
    for tag in _TAGS if "</" in document.folded else ():
        if f"</{tag}>" in document.folded:
            for at in islice(_places(document.folded, f"<{tag}>"), MAX_PLACES):
                if not is_within(at, unit_spans):
                    yield _Announcement(at, at + len(tag) + 2, _object(tag))


def _is_aside(link: re.Match[str]) -> bool:
    """Whether a verdict is said in brackets to be somebody's, or on a part: `Verdict (according to B):`."""
    return bool(link["aside"]) and _ASIDE.search(link["aside"]) is not None


def _object(words: str) -> Literal["verdict", "answer"]:
    return "answer" if _ANSWER.match(words) else "verdict"


def _places(text: str, words: str) -> Iterator[int]:
    at = text.find(words)
    while at >= 0:
        yield at
        at = text.find(words, at + 1)


def _announced(
    document: Document, words: _Announcement, marks: list[Mark], finished: bool
) -> list[VerdictMention] | None:
    """What is announced: the marks on that line, else the bare choice there. None when the words do not announce."""
    start, place = words.start, words.place
    before, _ = around(document.folded, start, place)
    if words.of == "part" or is_denied(before) or is_reported(before) or is_imagined(before):
        return None
    if is_quoted(document, start - _is_key(document, start, place), place):
        return None
    end = document.line_end(place)
    heading = _BLANK.fullmatch(document.folded, place, end) is not None
    if heading:
        place, end = _line_below(document, end)
    there = [mark for mark in marks if place <= mark.start < end]
    if not there and document.folded[place:end].rstrip(" *_").endswith(":"):
        place, end = _line_below(document, end)
        there = [mark for mark in marks if place <= mark.start < end]
        heading = True
    if there:
        return [] if words.of == "answer" else _marked(document, start, place, there, heading)
    if MARK.search(document.folded, place, min(end, place + 400)):
        return []
    return _bare(document, start, place, end, finished, heading)


def _line_below(document: Document, end: int) -> tuple[int, int]:
    """Where the next line that is not empty starts and ends."""
    words = _WORDS.search(document.folded, end)
    start = words.start() if words else len(document.folded)
    return start, document.line_end(start)


def _bare(document: Document, start: int, place: int, end: int, finished: bool, heading: bool) -> list[VerdictMention]:
    """What a line states without double brackets, and what the line below states, if both are nothing but a choice."""
    line = document.folded[place : min(end, place + 400)]
    statement = stated(line, complete=finished or end < len(document.folded), alone=heading)
    outcomes = statement.outcomes
    if (
        not outcomes
        or is_reported_after(line[statement.end :])
        or line[statement.end :].lstrip(" *_)\"'").startswith("?")
    ):
        return []
    if holds_nothing_else(line, statement.end):
        outcomes += stated(document.folded[end : document.line_end(end + 1)], alone=True).outcomes
    return [VerdictMention(outcome, start, place + statement.rest) for outcome in outcomes]


def _marked(document: Document, start: int, place: int, there: list[Mark], heading: bool) -> list[VerdictMention]:
    """What the marks on an announced line amount to. Under a heading the line must hold one and nothing else."""
    if heading:
        there = [
            mark
            for mark in there[:1]
            if _is_direct(document, place, mark) and holds_nothing_else(document.folded, mark.end)
        ]
    given = [
        mark for mark in there if mark.is_given or (mark.standing == "quoted" and _is_direct(document, place, mark))
    ]
    doubted = [mark for mark in there if given and mark.standing == "imagined"]
    return [VerdictMention(mark.outcome, start, mark.end) for mark in given + doubted]


def _is_direct(document: Document, place: int, mark: Mark) -> bool:
    """Whether only the announcement's own quotation marks stand around a mark."""
    between = document.folded[place : mark.start]
    opening = between.strip(" *_:")[:1]
    return _BLANK.fullmatch(between) is not None or (opening in ('"', "“", "「") and between.count(opening) == 1)


def _is_key(document: Document, start: int, place: int) -> bool:
    """Whether the announcement is a JSON key."""
    return document.folded[start - 1] == '"' and '"' in document.folded[start:place]
