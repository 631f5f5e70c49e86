"""The final verdicts that a text gives: which outcome, how firmly, where.

    >>> page = Page.of("I like [[B]].\\n\\nFinal verdict: [[A]]")
    >>> [given.outcome for given in final_verdicts(page, [], finished=True)]
    ['A']

A verdict counts when it is given, not when it is quoted, offered, denied or imagined. What cannot be told apart for
certain is left out, or reported together with its opposite.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

from fathom.transcript.choices import CONDITION, MARK, Outcome, holds_nothing_else, inside_mark, stated
from fathom.transcript.mentions import REVISION, around, is_denied, is_imagined, is_quoted
from fathom.transcript.page import Page

MOST_PLACES = 512
MOST_WEIGHED = 64
"""More marks or announcements than those, or more of either that each need a look of their own, are a model that loops:
none of them counts."""

Spans = Sequence[tuple[int, int]]
"""Places from and to, in order and apart."""


class Given(NamedTuple):
    """A verdict, and where it starts and ends."""

    outcome: Outcome
    start: int
    end: int


# Marks ---------------------------------------------------------------------------------------------------------------


class _Mark(NamedTuple):
    """A bracketed mark, and how it stands there: `closing` is given alone or at the end of its sentence."""

    outcome: Outcome
    start: int
    end: int
    standing: Literal["closing", "passing", "offered", "denied", "imagined", "quoted"]

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
_BARE = re.compile(r"[^\w?？:：;,\"“”'‘’`]*")


def _marks(page: Page) -> list[_Mark] | None:
    """Every bracketed mark that looks like an outcome; None when there are too many to be a judgement."""
    if "[" not in page.folded:
        return []
    matches = list(islice(MARK.finditer(page.folded), MOST_PLACES + 1))
    if len(matches) > MOST_PLACES:
        return None
    found = [(match, outcome) for match in matches if (outcome := inside_mark(match[1]))]
    offered = {k + i for k in range(len(found) - 1) if _are_offered(page, found[k][0], found[k + 1][0]) for i in (0, 1)}
    marks: list[_Mark] = []
    closing: set[tuple[str, str]] = set()
    weighed = 0
    for k, (match, outcome) in enumerate(found):
        start, end = match.span()
        surroundings = _surroundings(page, start, end)
        if k in offered:
            marks.append(_Mark(outcome, start, end, "offered"))
        elif surroundings in closing:
            marks.append(_Mark(outcome, start, end, "closing"))
        else:
            weighed += 1
            marks.append(_weigh(page, start, end, outcome))
            if marks[-1].standing == "closing":
                closing.add(surroundings)
        if weighed > MOST_WEIGHED:
            return None
    return marks


def _surroundings(page: Page, start: int, end: int) -> tuple[str, str]:
    """What tells a verdict from another; a repeated one needs no second look."""
    return page.folded[max(0, start - 60) : start], page.folded[start : end + 60]


def _are_offered(page: Page, first: re.Match[str], second: re.Match[str]) -> bool:
    between = second.start() - first.end()
    return 0 < between <= 60 and _OFFERED_NEXT.fullmatch(page.folded, first.end(), second.start()) is not None


def _weigh(page: Page, start: int, end: int, outcome: Outcome) -> _Mark:
    before, after = around(page, start, end)
    if is_quoted(page, start, end):
        return _Mark(outcome, start, end, "quoted")
    if is_denied(before) or after.startswith("~~"):
        return _Mark(outcome, start, end, "denied")
    if is_imagined(before) or CONDITION.match(after):
        return _Mark(outcome, start, end, "imagined")
    alone = _BARE.fullmatch(before) and _BARE.fullmatch(after)
    return _Mark(outcome, start, end, "closing" if alone or _ENDS_SENTENCE.match(after) else "passing")


# Announcements -------------------------------------------------------------------------------------------------------


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
    r"[\s*_~`\"')\]]{0,6}(?:\([^()\n]{0,40}\))?[\s*_]{0,4}"
    r"(?:(?:(?:is|goes to)(?![a-z])|是|为)[\s*_]{0,3}:?|[:=|>]|->|=>|→|[-–—]{1,2}(?= ))"
)
_NO_LINK_NEEDED = re.compile(r"[\s*_]{0,4}\[ ?\[|[ \t*_#]*\n")
_SENTENCE_STARTS = ("final ", "my verdict", "最终", "最終")
_SENTENCE_START = re.compile(
    r"(?:final (?:verdict|judge?ment|decision|answer|choice|conclusion|winner|ruling)|my verdict"
    r"|最[终終](?:裁决|裁決|判断|结论|答案|评判|决定|判决|选择))(?![a-z])"
)
_TAGS = ("verdict", "answer", "final_verdict", "final_answer", "winner", "decision", "choice", "judgment")
_WORDS = re.compile(r"\S")
_BLANK = re.compile(r"[\s*_\"'`:>~$#-]*")
_TAKEN_BACK = re.compile(r"\b(?:not|if|would|nobody|no one)\b|n['’]t\b|不")


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
            yield _Announcement(label.words, link.end(), _object(words))
        elif _NO_LINK_NEEDED.match(page.folded, label.end):
            yield _Announcement(label.words, label.end, _object(words))
    for start in _SENTENCE_STARTS:
        for at in islice(_places(page.folded, start), 2 * MOST_PLACES):
            match = _SENTENCE_START.match(page.folded, at)
            link = match and _LINK.match(page.folded, match.end())
            if match and link and match.end() not in told and not is_within(at, owned):
                yield _Announcement(at, link.end(), _object(match[0]))
    for tag in _TAGS if "<" in page.folded else ():
        if f"</{tag}>" in page.folded:
            for at in islice(_places(page.folded, f"<{tag}>"), MOST_PLACES):
                yield _Announcement(at, at + len(tag) + 2, _object(tag))


def _object(words: str) -> Literal["verdict", "answer"]:
    return "answer" if words.endswith(("answer", "答案")) else "verdict"


def _places(text: str, words: str) -> Iterator[int]:
    at = text.find(words)
    while at >= 0:
        yield at
        at = text.find(words, at + 1)


def is_within(place: int, spans: Spans) -> bool:
    k = bisect(spans, place, key=lambda span: span[0])
    return k > 0 and place < spans[k - 1][1]


def _announced(page: Page, words: _Announcement, marks: list[_Mark], finished: bool) -> list[Given] | None:
    """What is announced: the marks on that line, else the bare choice there. None when the words are taken back."""
    start, place = words.start, words.place
    before, _ = around(page, start, place)
    if words.of == "part" or _TAKEN_BACK.search(before) or is_denied(before) or is_imagined(before):
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
    return [Given(outcome, start, place) for outcome in _bare(page, place, end, finished, heading)]


def _line_below(page: Page, end: int) -> tuple[int, int]:
    """Where the next line that is not empty starts and ends."""
    words = _WORDS.search(page.folded, end)
    start = words.start() if words else len(page.folded)
    return start, page.line_end(start)


def _bare(page: Page, place: int, end: int, finished: bool, heading: bool) -> tuple[Outcome, ...]:
    """What a line states without double brackets, and what the line below states, if both are nothing but a choice."""
    line = page.folded[place : min(end, place + 400)]
    statement = stated(line, complete=finished or end < len(page.folded), alone=heading)
    if statement.outcomes and holds_nothing_else(line, statement.end):
        return statement.outcomes + stated(page.folded[end : page.line_end(end + 1)], alone=True).outcomes
    return statement.outcomes


def _marked(page: Page, start: int, place: int, there: list[_Mark], heading: bool) -> list[Given]:
    """What the marks on an announced line amount to. Under a heading the line must hold one and nothing else."""
    if heading:
        there = [
            mark for mark in there[:1] if _is_direct(page, place, mark) and holds_nothing_else(page.folded, mark.end)
        ]
    given = [mark for mark in there if mark.is_given or (mark.standing == "quoted" and _is_direct(page, place, mark))]
    doubted = [mark for mark in there if given and mark.standing == "imagined"]
    return [Given(mark.outcome, start, mark.end) for mark in given + doubted]


def _is_direct(page: Page, place: int, mark: _Mark) -> bool:
    """Whether only the announcement's own quotation marks stand around a mark."""
    between = page.folded[place : mark.start]
    opening = between.strip(" *_:")[:1]
    return _BLANK.fullmatch(between) is not None or (opening in ('"', "“", "「") and between.count(opening) == 1)


def _is_key(page: Page, start: int, place: int) -> bool:
    """Whether the announcement is a JSON key."""
    return page.folded[start - 1] == '"' and '"' in page.folded[start:place]


# JSON ----------------------------------------------------------------------------------------------------------------

_KEYS = re.compile(
    r"(?:final[ _-]?)?(?:verdict|winner|answer|choice|decision|judge?ment)|(?:better|preferred)[ _-]response"
)


def _from_json(text: str) -> list[Given] | None:
    """The verdicts of a reply that is one JSON object; None when it is not."""
    if not text.startswith("{"):
        return None
    try:
        members: Any = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    values = [value for key, value in members if _KEYS.fullmatch(key.strip().lower()) and value not in (None, "")]
    return [Given(_outcome_of_value(value), 0, 0) for value in values]


def _outcome_of_value(value: object) -> Outcome:
    folded = str(value).lower().strip()
    mark = MARK.fullmatch(folded)
    return inside_mark(mark[1] if mark else folded) or "invalid"


# All together --------------------------------------------------------------------------------------------------------


def final_verdicts(page: Page, owned: Spans, *, finished: bool) -> list[Given]:
    """The verdicts of the strongest kind in the text; those of different outcomes contradict each other.

    `owned` are the spans that belong to units: a verdict there is a sub-verdict.
    """
    if (from_json := _from_json(page.text.strip())) is not None:
        return from_json
    marks = _marks(page)
    if marks is None:
        return []
    gathered = _gather(page, owned, marks, finished)
    if gathered is None:
        return []
    announced, answered, taken_back = gathered
    free = [
        mark for mark in marks if mark.is_given and not is_within(mark.start, owned) and mark.start not in taken_back
    ]
    if announced:
        end = page.line_end(max(given.start for given in announced))
        later = [mark for mark in free if mark.start > end]
        announced += [Given(*mark[:3]) for mark in later if mark.outcome != "invalid" or mark.standing == "closing"]
        return announced + _revised(page, announced)
    closing = [mark for mark in free if mark.standing == "closing" and (finished or not _may_go_on(page, mark))]
    strongest = [Given(*mark[:3]) for mark in closing] or answered
    return strongest + _revised(page, strongest)


def _gather(
    page: Page, owned: Spans, marks: list[_Mark], finished: bool
) -> tuple[list[Given], list[Given], set[int]] | None:
    """The announced verdicts, the announced answers, and the places of marks whose announcement is taken back.

    None when there are too many announcements to be a judgement.
    """
    announced: list[Given] = []
    answered: list[Given] = []
    taken_back: set[int] = set()
    seen: dict[tuple[str, str], list[Given] | None] = {}
    for n, words in enumerate(_announcements(page, owned, owned[0][0] if owned else 0)):
        if n > MOST_PLACES or len(seen) > MOST_WEIGHED:
            return None
        surroundings = _surroundings(page, words.start, words.place)
        if surroundings in seen:
            known = seen[surroundings]
            here = known and [Given(given.outcome, words.start, words.place) for given in known]
        else:
            here = seen[surroundings] = _announced(page, words, marks, finished)
        if here is None:
            end = page.line_end(words.place)
            taken_back.update(mark.start for mark in marks if words.start < mark.start < end)
        else:
            (answered if words.of == "answer" else announced).extend(here)
    return announced, answered, taken_back


def _may_go_on(page: Page, mark: _Mark) -> bool:
    """Whether the text was cut off right after a mark in mid-sentence."""
    before, _ = around(page, mark.start, mark.end)
    return not page.folded[mark.end :].strip() and not _BARE.fullmatch(before)


def _revised(page: Page, given: list[Given]) -> list[Given]:
    """The other choice, when the text goes on to take the verdict back without giving a mark."""
    if not given:
        return []
    last = max(given, key=lambda each: each.end)
    if last.outcome not in ("A", "B"):
        return []
    rival: Outcome = "B" if last.outcome == "A" else "A"
    tail = page.folded[last.end : last.end + 4000]
    revision = REVISION.search(tail)
    if revision and re.search(rf"\b{rival.lower()}\b", tail[revision.end() : revision.end() + 200]):
        return [Given(rival, last.start, last.end)]
    return []
