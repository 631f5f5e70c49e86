"""Lines, sentences and tags that announce a final verdict, and the verdict that each announces.

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
    """Announced verdicts, announced answers, and the positions of marks whose announcement does not count.

    The flag of an answer says whether it names a response: `Answer: Assistant B`, unlike `Answer: B`.
    """

    verdicts: list[VerdictMention]
    answers: list[tuple[VerdictMention, bool]]
    withheld: set[int]


class _Announcement(NamedTuple):
    """Words that announce a final verdict, and the position right after their link (`:`, `is`).

    `of` is what they announce: the verdict, an answer (which may be the judge's own solution of the task), or a verdict
    on only a part of the question.
    """

    start: int
    place: int
    of: Literal["verdict", "answer", "part"]


_PART = re.compile(r"[\s*_]{0,4}(?:for|on|under|regarding|in terms of|by|of) ")
# Between announcement and verdict: closing markup, an aside in brackets, then `:`, `is`, `goes to`, an arrow or a dash.
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
# Announcements of an answer, as opposed to the better answer: `answer`, but not `better answer`.
_ANSWER = re.compile(
    r"(?!.*(?:better|best|preferred|superior|stronger|bessere|meilleure|mejor|melhor|migliore|lepsza|лучший|tốt hơn"
    r"|更))"
    r".*(?:answer|答案|choice|选择|selection|antwort|réponse|respuesta|risposta|resposta)"
)
_NAMES_RESPONSE = re.compile(
    rf"[^a-z0-9\n]{{0,16}}(?:(?:is|the|it['’]?s) )?(?:{NOUN}[ #:]{{0,2}}[a-z1-9](?![a-z0-9])|(?:the )?(?:first"
    rf"|second) {NOUN})"
)
# The text of an option after its letter: `Answer: B. Carbon dioxide`. Words that begin a reason are excluded.
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
    """Collect the announcements outside of `unit_spans`; None for degenerate repetition.

    Before `first_unit`, the start of the first unit, only labels that say "final" count. Repetitions with equal
    surroundings reuse the first result.
    """
    result = Announced([], [], set())
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
            result.withheld.update(mark.start for mark in marks if words.start < mark.start < end)
        elif words.of == "answer":
            result.answers.extend(
                (given, _names_response(document, words.place)) for given in here if not _gives_content(document, given)
            )
        else:
            result.verdicts.extend(here)
    return result


def _gives_content(document: Document, given: VerdictMention) -> bool:
    """Whether the letter of an answer is followed by the text of an option: `Answer: B, carbon dioxide`."""
    return _CONTENT.match(document.folded, given.end) is not None


def _names_response(document: Document, place: int) -> bool:
    return _NAMES_RESPONSE.match(document.folded, place) is not None


def _announcements(document: Document, unit_spans: Spans, first_unit: int) -> Iterator[_Announcement]:
    labelled = {label.end for label in document.labels}
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
            if match and link and match.end() not in labelled and not is_within(at, unit_spans):
                yield _Announcement(at, link.end(), "part" if _is_aside(link) else _object(match[0]))
    for tag in _TAGS if "</" in document.folded else ():
        if f"</{tag}>" in document.folded:
            for at in islice(_places(document.folded, f"<{tag}>"), MAX_PLACES):
                if not is_within(at, unit_spans):
                    yield _Announcement(at, at + len(tag) + 2, _object(tag))


def _is_aside(link: re.Match[str]) -> bool:
    """Whether an aside attributes the verdict to somebody or limits it to a part: `Verdict (according to B):`."""
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
    """The announced verdicts: marks on that line, else the bare choice there. None if the words do not announce one."""
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
    """Start and end of the next line that is not empty."""
    words = _WORDS.search(document.folded, end)
    start = words.start() if words else len(document.folded)
    return start, document.line_end(start)


def _bare(document: Document, start: int, place: int, end: int, finished: bool, heading: bool) -> list[VerdictMention]:
    """The choice on a line, without double brackets. If that is all, a choice on the next line counts too."""
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
    """The verdicts of the marks on an announced line. Below a heading, the line must hold one mark and nothing else."""
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
    """Whether a mark follows the announcement directly, possibly in quotation marks."""
    between = document.folded[place : mark.start]
    opening = between.strip(" *_:")[:1]
    return _BLANK.fullmatch(between) is not None or (opening in ('"', "“", "「") and between.count(opening) == 1)


def _is_key(document: Document, start: int, place: int) -> bool:
    """Whether the announcement is a JSON key."""
    return document.folded[start - 1] == '"' and '"' in document.folded[start:place]
