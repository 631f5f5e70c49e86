"""Sentence splitting for text that may be wrapped, marked up, and full of lists and quotations.

    >>> list(sentences('**wait**, b says "no". so a.'))
    ['wait , b says', 'so a']

All functions expect folded text. A line break ends a sentence, unless the line is long and does not end with
punctuation: then the text was wrapped at some width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_LINE_LENGTH = 4000
MAX_SENTENCE_LENGTH = 800
"""Longer lines and sentences are processed in pieces of this length."""

REACH = 300
"""Maximum number of characters on either side of a place that are considered."""

# A line break inside a sentence: at least 48 characters before it, no closing punctuation, and no list item, heading,
# table or quote after it. The look-behind follows the line break because a literal prefix makes the search much faster.
_WRAPPED = re.compile(r"\n(?<=[^\n]{48}[^\s.!?:;。！？：；|>`…)\]\"”*-]\n)[ \t]{0,8}(?=[^\s#>|`~•*+-])(?!\d{1,2}[.)] )")
_ENDS = re.compile(r"[.!?…]+[\"'”’)\]*_]*(?=\s|$)|[。！？；;]|[-–—](?:(?<=\s.)-?\s|(?<=—))")
_BREAK = re.compile(r"[.!?](?:[\"'”’)\]*_]*(?=\s|$)|(?=[*_]))|[。！？]|\n")
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|vs|cf|resp|approx|z\.b|p\. ?ex|p\.ej)$")
# Text in quotation marks of several languages. Single quotes need a boundary outside and no space inside, so that
# apostrophes (`don't`) do not open one.
_QUOTED = re.compile(
    r'"[^"\n]{0,400}"|“[^”\n]{0,400}”|「[^」\n]{0,400}」|『[^』\n]{0,400}』|«[^»\n]{0,400}»|„[^“”\n]{0,400}[“”]'
    r"|`[^`\n]{0,400}`|(?<![a-z0-9])'(?=\S)[^'\n]{2,400}(?<=\S)'(?![a-z0-9])|‘[^’\n]{2,400}’(?![a-z])"
)
_QUOTATION_MARKS = "\"“「『«„`'‘"
_MARKUP = str.maketrans(dict.fromkeys('*_~#|<>[]{}()$\\"“”`', " "))
# A conjunction before a clause in which the judge speaks about itself or the verdict: `b is short, but i misread it`.
_CLAUSE = re.compile(
    r",? (?:but|however|yet),? (?=i\b|my\b|on second|wait\b|actually\b|that (?:was|is)\b|the verdict\b|it should\b"
    r"|the other\b)"
)


def joined(folded: str) -> str:
    """Join wrapped lines. Positions stay the same."""
    return _WRAPPED.sub(lambda match: " " * len(match[0]), folded) if "\n" in folded else folded


def sentences(folded: str) -> Iterator[str]:
    """The sentences without markup, code, block quotes and quotations."""
    fenced = False
    for line in joined(folded).split("\n"):
        stripped = line.lstrip()
        if stripped.startswith(("```", "~~~")):
            fenced = not fenced
        elif stripped and not fenced and not stripped.startswith("> "):
            for start in range(0, len(line), MAX_LINE_LENGTH):
                yield from _of_line(line[start : start + MAX_LINE_LENGTH])


def _of_line(line: str) -> Iterator[str]:
    if any(mark in line for mark in _QUOTATION_MARKS):
        line = _QUOTED.sub(" ", line)
    for piece in _ENDS.split(line):
        for clause in _clauses(piece):
            for start in range(0, len(clause), MAX_SENTENCE_LENGTH):
                if sentence := plain(clause[start : start + MAX_SENTENCE_LENGTH]):
                    yield sentence


def _clauses(sentence: str) -> list[str]:
    """Split before a clause in which the judge turns back. The substring check skips the pattern for most sentences."""
    turns = " but " in sentence or " however" in sentence or " yet" in sentence
    return _CLAUSE.split(sentence) if turns else [sentence]


def plain(words: str) -> str:
    """Remove markup, brackets and surrounding punctuation, and collapse spaces."""
    return " ".join(words.translate(_MARKUP).split()).strip(" ,:-–—.!·•=→⇒")


def around(folded: str, start: int, end: int) -> tuple[str, str]:
    """The sentence before `start`, and the line after `end`, each of bounded length."""
    before, after = _line_before(folded, start), _line_after(folded, end)
    breaks = list(_BREAK.finditer(before))
    while breaks and _ABBREVIATED.search(before, 0, breaks[-1].start()):
        breaks.pop()
    return before[breaks[-1].end() :] if breaks else before, after


def _line_before(folded: str, place: int) -> str:
    """The line up to a position, including earlier lines that were wrapped."""
    floor = max(0, place - REACH)
    start = folded.rfind("\n", floor, place)
    while start > floor and _WRAPPED.match(folded, start):
        start = folded.rfind("\n", floor, start)
    return folded[max(start + 1, floor) : place].replace("\n", " ")


def _line_after(folded: str, place: int) -> str:
    ceiling = min(len(folded), place + REACH)
    end = folded.find("\n", place, ceiling)
    while end >= 0 and _WRAPPED.match(folded, end):
        end = folded.find("\n", end + 1, ceiling)
    return folded[place : end if end >= 0 else ceiling].replace("\n", " ")


def rest_of_sentence(after: str) -> str:
    """The part of a line that belongs to the sentence it continues."""
    found = _BREAK.search(after)
    return after[: found.start()] if found else after
