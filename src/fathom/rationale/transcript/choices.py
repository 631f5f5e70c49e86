"""Spellings of a choice between A, B and tie.

>>> inside_mark("response a"), stated("**b**, because a rambles").outcomes, sub_verdict("slightly A")
('A', ('B',), None)
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from fathom.rationale.transcript.characters import fold, visible
from fathom.rationale.transcript.comparisons import related
from fathom.rationale.transcript.names import FOREIGN_NOUN, NOUN

Outcome = Literal["A", "B", "tie", "invalid"]

MARK = re.compile(r"\[ ?\\?\[([^\[\]\n]{1,32})\] ?\\?\]")
"""A bracketed mark in folded text; the first group is its content."""

_OPENERS = (
    r"""(?:[\s*_~`"'“‘«「『【《〈<(\[{$:>|-]"""
    r"""|\\(?:boxed|text|textbf|mathrm|mathbf|mathsf|fbox|[(\[])(?![a-z])){0,16}"""
)
_CLOSERS = r"""[ \t*_~`"'”’»」』】》〉>)\]}$]{0,12}"""
_NOUN = rf"(?:(?:{NOUN}|{FOREIGN_NOUN})[ #:_]{{0,2}})"
_PLACE = (
    r"(?:the )?(?P<place>first|second)(?: (?:response|answer|assistant|reply|output|one|candidate|model|completion))?"
)
_TIE = r"(?:tied?|draw|equal(?:ly good)?|平局|平手|持平)"
_BETTER = r"(?:better|best|superior|stronger|winner|preferred|preferable|right one|correct one)"
# Adverbs between a copula and `better`.
_HOW_MUCH = (
    r"(?:(?:clearly|significantly|slightly|much|far|by|definitely|the|a|overall|marginally|somewhat|simply) ){0,4}"
)
_WINS = (
    rf"(?:(?:is|was) {_HOW_MUCH}{_BETTER}|wins|prevails|performs better|does better"
    r"|(?:明显)?更好|更优|更佳|胜出|获胜)"
)
# A choice at the start of a line: opening markup (also LaTeX), `it is` and an article, a noun, then a letter, an
# ordinal, a tie or another answer (`neither`, `7/10`), closing markup, and what must follow: the end, punctuation, a
# reason (`because`) or a predicate (`is better`). Without such an end, `a` is the article: `Verdict: a close call`.
_CHOICE = re.compile(
    rf"{_OPENERS}(?:(?:(?:it'?s|it is|is|that is|for|the) |是"
    rf"|为){_OPENERS})?(?:an? (?=[a-z]{{2}}))?(?P<noun>{_NOUN})?{_OPENERS}"
    rf"(?:(?P<letter>[a-z])|{_PLACE}|(?P<tie>{_TIE})|(?P<other>\d{{1,3}}(?:\.\d+)?(?: ?/ ?\d{{1,3}})?|neither|none"
    rf"|both))"
    rf"(?![a-z0-9+]|_(?![_\s*]|$)|['’]\w)(?P<closers>{_CLOSERS})"
    r"(?P<after>$|\n|</|[.!](?!\w)|[。！，；：,;:|(]|[-–—]{1,2}(?=\s)|\\[)\]]"
    rf"|(?:because|since|due to|as it|between|over|rather than|instead of|ahead of|{_WINS})(?![a-z]))"
)
# A second choice right after the first makes a menu, not a choice: `A or B`, `A/B`.
_SECOND_CHOICE = re.compile(
    r"[\s,;/|&(]{0,4}(?:(?:or|and|vs\.?|versus|或者?|和) ?|(?<=[/|,;&]) ?)"
    rf"{_OPENERS}{_NOUN}?{_OPENERS}(?:[abc]|{_TIE})(?![a-z'’])(?:{_CLOSERS}(?:$|[\n,./|)]|or\b))"
)
# A comparison by signs: `A > B`, `B >> A`, `A = B`.
_COMPARED = re.compile(
    rf"[\s*_`]{{0,6}}{_NOUN}?(?P<left>[ab])[\s*_]{{0,3}}(?P<sign>[<>=≻≺≥≤≈~]{{1,3}})[\s*_]{{0,3}}{_NOUN}?(?P<right>[ab])(?![a-z0-9])"
)
CONDITION = re.compile(r"[\s,*_\])}]{0,6}(?:if|unless|when|where|provided|assuming|如果|除非|当)(?![a-z])")
_SENTENCE_END = re.compile(r"[.!](?=\s|$)|[。！]")
_NOTHING_ELSE = re.compile(r"[ \t*_~`\"'”’」)\\\]}$.!。]*(?:</[a-z_]{1,20}>)?[ \t*_]*(?:\n|$)")
_MIXED = re.compile(r"[\W_]{0,8}(?:mixed|both|neither|even|balanced|混合|均衡|两者)")

_INSIDE = re.compile(rf"[\s*_`\"'$:]{{0,4}}{_NOUN}?(?:(?P<a>a)|(?P<b>b)|(?P<tie>c|{_TIE}))[\s*_`\"'$.\\]{{0,4}}")
_FIRST = rf"(?:{_NOUN}?a|{_NOUN}(?:1|one)|(?:the )?first(?: {_NOUN}| one)?|第一个?(?:回答|回复)?)"
_SECOND = rf"(?:{_NOUN}?b|{_NOUN}(?:2|two)|(?:the )?second(?: {_NOUN}| one)?|第二个?(?:回答|回复)?)"
_ALONE = re.compile(
    rf"[\s*_`\"'$:(\[<]{{0,6}}(?:(?P<a>{_FIRST})|(?P<b>{_SECOND})|(?P<tie>(?:a |it is a |it's a )?{_TIE}|\[\[c\]\]))"
    r"[\s*_`\"'$.)\]>]{0,6}"
)
_INVALID_INSIDE = re.compile(
    rf"\s{{0,4}}{_NOUN}?(?:[\w+.-]{{1,8}}|\?{{1,4}}|[ab] ?[<>=≻~]{{1,3}} ?[ab]|\d{{1,3}} ?/ ?\d{{1,3}})[\s\\]{{0,4}}"
)
_PLACEHOLDER = re.compile(r"\s*(?:verdict|choice|answer|letter|winner|your.*|x|\.+)\s*")


MAX_LINE_LENGTH = 400
"""Only this many characters of a line are parsed for a choice."""


class VerdictMention(NamedTuple):
    """A verdict and its position in the text."""

    outcome: Outcome
    start: int
    end: int


class Statement(NamedTuple):
    """The outcomes that a line states without double brackets: none, one, or two that contradict each other."""

    outcomes: tuple[Outcome, ...]
    end: int
    rest: int
    """Start of the text after the choice and the reason or predicate that belongs to it."""


_NOTHING = Statement((), 0, 0)


@lru_cache(maxsize=512)
def inside_mark(content: str) -> Outcome | None:
    """The outcome of `[[content]]`; None if it is not an outcome, such as a menu or a placeholder."""
    if match := _INSIDE.fullmatch(content):
        return "A" if match["a"] else "B" if match["b"] else "tie"
    if _PLACEHOLDER.fullmatch(content) or not _INVALID_INSIDE.fullmatch(content):
        return None
    return "invalid"


def choice_alone(folded: str) -> Outcome | None:
    """The choice, if a folded text is nothing else: `response_a`, `the second`, `tie`. None for other texts."""
    match = _ALONE.fullmatch(folded)
    if match is None:
        return None
    return "A" if match["a"] else "B" if match["b"] else "tie"


def stated(line: str, *, complete: bool = True, alone: bool = False) -> Statement:
    """Parse the choice at the start of a folded line.

    `complete` is False if the text was cut off at the end of `line`; `A` may then be the start of a word. With `alone`
    the line must not hold anything else.
    """
    line = line[:MAX_LINE_LENGTH]
    if (compared := _COMPARED.match(line)) and compared["left"] != compared["right"]:
        return Statement((_compared(compared),), compared.end(), compared.end())
    match = _CHOICE.match(line)
    if match is None:
        return _related(line, complete)
    if _is_left_open(match):
        return _NOTHING
    end = match.end("closers")
    if _SECOND_CHOICE.match(line, end) or CONDITION.match(line, end):
        return _NOTHING
    if (not complete and not line[end:].strip()) or (alone and not _NOTHING_ELSE.match(line, end)):
        return _NOTHING
    rest = end
    if match["after"][:1].isalpha():
        rest = found.start() if (found := _SENTENCE_END.search(line, end)) else len(line)
    return Statement(_named(match, line[end:]), end, rest)


def _compared(match: re.Match[str]) -> Outcome:
    """The outcome of a comparison by signs, such as `A > B`. Unknown signs are invalid."""
    better = (
        match["left"] if set(match["sign"]) <= set(">≻") else match["right"] if set(match["sign"]) <= set("<≺") else ""
    )
    if better:
        return "A" if better == "a" else "B"
    return "tie" if set(match["sign"]) <= set("=≈~") else "invalid"


def _related(line: str, complete: bool) -> Statement:
    """The outcomes that the first sentence of a line states in words. The sentence must be complete."""
    end = len(line) if (found := _SENTENCE_END.search(line)) is None else found.start()
    if not complete and end == len(line):
        return _NOTHING
    return Statement(related(line[:end]), end, end)


def holds_nothing_else(text: str, end: int) -> bool:
    """Whether a line holds only punctuation and markup after `end`."""
    return _NOTHING_ELSE.match(text, end) is not None


def _is_left_open(match: re.Match[str]) -> bool:
    """Whether a bracket or quotation mark before the choice is not closed after it: `[[A` is truncated."""
    before, after = match[0][: match.start("closers") - match.start()], match["closers"]
    pairs = [("[", "]"), ("(", ")"), ("{", "}"), ("“", "”"), ("「", "」"), ("【", "】")]
    return "[[" in before or any(left in before and right not in after for left, right in pairs)


def _named(match: re.Match[str], after: str) -> tuple[Outcome, ...]:
    if match["tie"]:
        return ("tie",)
    letter = match["letter"]
    if match["place"] or (match["noun"] and match["other"] in ("1", "2")):
        letter = "a" if (match["place"] or match["other"]) in ("first", "1") else "b"
    if letter in ("a", "b"):
        rival = "b" if letter == "a" else "a"
        named: tuple[Outcome, Outcome] = ("A", "B") if letter == "a" else ("B", "A")
        return named if _praises(rival, after) else named[:1]
    bracketed = re.search(r"[\[({【「『《<]", match[0][: match.start("closers") - match.start()])
    return ("tie",) if letter == "c" and bracketed else ("invalid",)


def _praises(rival: str, after: str) -> bool:
    """Whether the reason after a choice also prefers the other response: `A is better at tone, B at accuracy`."""
    if re.search(rf"\b{rival}\b[\s*_]{{1,4}}(?:{_WINS}|(?:at|in|on|for)\b)", after):
        return True
    return re.match(rf"[ :(]{{0,3}}\d.*\b{rival}\b\W{{0,4}}\d", after) is not None


def sub_verdict(text: str) -> Literal["A", "B", "MIXED"] | None:
    """The sub-verdict in a unit's verdict field; None if it is unclear."""
    line = visible(fold(text.strip())).partition("\n")[0]
    marks = {outcome for match in MARK.finditer(line) if (outcome := inside_mark(match[1]))}
    outcomes = marks or set(stated(line).outcomes)
    if outcomes == {"A"}:
        return "A"
    if outcomes == {"B"}:
        return "B"
    return "MIXED" if outcomes == {"tie"} or _MIXED.match(line) else None
