"""Lines and sentences that announce a final verdict, and what each announces.

>>> page = Page.of("## Final verdict\\n\\n**B**")
>>> [given.outcome for given in announced(page, [], [], 0, finished=True).verdicts]
['B']
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

from fathom.rationale.transcript.choices import MARK, Given, holds_nothing_else, stated
from fathom.rationale.transcript.marks import MOST_PLACES, MOST_WEIGHED, Mark, surroundings
from fathom.rationale.transcript.mentions import is_denied, is_imagined, is_quoted, is_reported, is_reported_after
from fathom.rationale.transcript.names import NOUN
from fathom.rationale.transcript.page import Page, Spans, is_within
from fathom.rationale.transcript.sentences import around


class Announced(NamedTuple):
    """The announced verdicts, the announced answers, and the places of marks whose announcement does not count.

    Each answer tells whether it names a response: `Answer: Assistant B` and not `Answer: B`.
    """

    verdicts: list[Given]
    answers: list[tuple[Given, bool]]
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


def announced(page: Page, owned: Spans, marks: list[Mark], first_unit: int, *, finished: bool) -> Announced | None:
    """What the announcements outside of `owned` amount to; None when there are too many to be a judgement."""
    told = Announced([], [], set())
    seen: dict[tuple[str, str], list[Given] | None] = {}
    for n, words in enumerate(_announcements(page, owned, first_unit)):
        if n > MOST_PLACES or len(seen) > MOST_WEIGHED:
            return None
        near = surroundings(page, words.start, words.place)
        if near in seen:
            known = seen[near]
            here = known and [Given(given.outcome, words.start, words.place) for given in known]
        else:
            here = seen[near] = _announced(page, words, marks, finished)
        if here is None:
            end = page.line_end(words.place)
            told.withheld.update(mark.start for mark in marks if words.start < mark.start < end)
        elif words.of == "answer":
            told.answers.extend(
                (given, _names_response(page, words.place)) for given in here if not _gives_content(page, given)
            )
        else:
            told.verdicts.extend(here)
    return told


def _gives_content(page: Page, given: Given) -> bool:
    """Whether the letter of an answer is followed by what an option says: `Answer: B, carbon dioxide`."""
    return _CONTENT.match(page.folded, given.end) is not None


def _names_response(page: Page, place: int) -> bool:
    return _NAMES_RESPONSE.match(page.folded, place) is not None


def _announcements(page: Page, owned: Spans, first_unit: int) -> Iterator[_Announcement]:
    told = {label.end for label in page.labels}
    for label in page.labels:
        words = page.folded[label.words : label.end]
        if label.kind not in ("final", "verdict") or is_within(label.start + 1, owned):
            continue
        if label.kind == "verdict" and label.start < first_unit:
            continue
        if _PART.match(page.folded, label.end):
            yield _Announcement(label.words, label.end, "part")
        elif link := _LINK.match(page.folded, label.end):
            yield _Announcement(label.words, link.end(), "part" if _is_aside(link) else _object(words))
        elif _NO_LINK_NEEDED.match(page.folded, label.end):
            yield _Announcement(label.words, label.end, _object(words))
    for start in _SENTENCE_STARTS:
        for at in islice(_places(page.folded, start), 2 * MOST_PLACES):
            match = _SENTENCE_START.match(page.folded, at)
            link = match and _LINK.match(page.folded, match.end())
            if match and link and match.end() not in told and not is_within(at, owned):
                yield _Announcement(at, link.end(), "part" if _is_aside(link) else _object(match[0]))
    for tag in _TAGS if "</" in page.folded else ():
        if f"</{tag}>" in page.folded:
            for at in islice(_places(page.folded, f"<{tag}>"), MOST_PLACES):
                if not is_within(at, owned):
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


def _announced(page: Page, words: _Announcement, marks: list[Mark], finished: bool) -> list[Given] | None:
    """What is announced: the marks on that line, else the bare choice there. None when the words do not announce."""
    start, place = words.start, words.place
    before, _ = around(page.folded, start, place)
    if words.of == "part" or is_denied(before) or is_reported(before) or is_imagined(before):
        return None
    if is_quoted(page, start - _is_key(page, start, place), place):
        return None
    end = page.line_end(place)
    heading = _BLANK.fullmatch(page.folded, place, end) is not None
    if heading:
        place, end = _line_below(page, end)
    there = [mark for mark in marks if place <= mark.start < end]
    if not there and page.folded[place:end].rstrip(" *_").endswith(":"):
        place, end = _line_below(page, end)
        there = [mark for mark in marks if place <= mark.start < end]
        heading = True
    if there:
        return [] if words.of == "answer" else _marked(page, start, place, there, heading)
    if MARK.search(page.folded, place, min(end, place + 400)):
        return []
    return _bare(page, start, place, end, finished, heading)


def _line_below(page: Page, end: int) -> tuple[int, int]:
    """Where the next line that is not empty starts and ends."""
    words = _WORDS.search(page.folded, end)
    start = words.start() if words else len(page.folded)
    return start, page.line_end(start)


def _bare(page: Page, start: int, place: int, end: int, finished: bool, heading: bool) -> list[Given]:
    """What a line states without double brackets, and what the line below states, if both are nothing but a choice."""
    line = page.folded[place : min(end, place + 400)]
    statement = stated(line, complete=finished or end < len(page.folded), alone=heading)
    outcomes = statement.outcomes
    if (
        not outcomes
        or is_reported_after(line[statement.end :])
        or line[statement.end :].lstrip(" *_)\"'").startswith("?")
    ):
        return []
    if holds_nothing_else(line, statement.end):
        outcomes += stated(page.folded[end : page.line_end(end + 1)], alone=True).outcomes
    return [Given(outcome, start, place + statement.rest) for outcome in outcomes]


def _marked(page: Page, start: int, place: int, there: list[Mark], heading: bool) -> list[Given]:
    """What the marks on an announced line amount to. Under a heading the line must hold one and nothing else."""
    if heading:
        there = [
            mark for mark in there[:1] if _is_direct(page, place, mark) and holds_nothing_else(page.folded, mark.end)
        ]
    given = [mark for mark in there if mark.is_given or (mark.standing == "quoted" and _is_direct(page, place, mark))]
    doubted = [mark for mark in there if given and mark.standing == "imagined"]
    return [Given(mark.outcome, start, mark.end) for mark in given + doubted]


def _is_direct(page: Page, place: int, mark: Mark) -> bool:
    """Whether only the announcement's own quotation marks stand around a mark."""
    between = page.folded[place : mark.start]
    opening = between.strip(" *_:")[:1]
    return _BLANK.fullmatch(between) is not None or (opening in ('"', "“", "「") and between.count(opening) == 1)


def _is_key(page: Page, start: int, place: int) -> bool:
    """Whether the announcement is a JSON key."""
    return page.folded[start - 1] == '"' and '"' in page.folded[start:place]
