"""The ways to write a choice.

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
"""A bracketed mark in folded text; what stands inside is the first group."""

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
_HOW_MUCH = (
    r"(?:(?:clearly|significantly|slightly|much|far|by|definitely|the|a|overall|marginally|somewhat|simply) ){0,4}"
)
_WINS = (
    rf"(?:(?:is|was) {_HOW_MUCH}{_BETTER}|wins|prevails|performs better|does better"
    r"|(?:明显)?更好|更优|更佳|胜出|获胜)"
)
_CHOICE = re.compile(
    rf"{_OPENERS}(?:(?:(?:it'?s|it is|is|that is|for|the) |是"
    rf"|为){_OPENERS})?(?:an? (?=[a-z]{{2}}))?(?P<noun>{_NOUN})?{_OPENERS}"
    rf"(?:(?P<letter>[a-z])|{_PLACE}|(?P<tie>{_TIE})|(?P<other>\d{{1,3}}(?:\.\d+)?(?: ?/ ?\d{{1,3}})?|neither|none"
    rf"|both))"
    rf"(?![a-z0-9+]|_(?![_\s*]|$)|['’]\w)(?P<closers>{_CLOSERS})"
    r"(?P<after>$|\n|</|[.!](?!\w)|[。！，；：,;:|(]|[-–—]{1,2}(?=\s)|\\[)\]]"
    rf"|(?:because|since|due to|as it|between|over|rather than|instead of|ahead of|{_WINS})(?![a-z]))"
)
_SECOND_CHOICE = re.compile(
    r"[\s,;/|&(]{0,4}(?:(?:or|and|vs\.?|versus|或者?|和) ?|(?<=[/|,;&]) ?)"
    rf"{_OPENERS}{_NOUN}?{_OPENERS}(?:[abc]|{_TIE})(?![a-z'’])(?:{_CLOSERS}(?:$|[\n,./|)]|or\b))"
)
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
"""No more of a line is read for what it states."""


class VerdictMention(NamedTuple):
    """A verdict, and where it starts and ends."""

    outcome: Outcome
    start: int
    end: int


class Statement(NamedTuple):
    """The outcomes that a line states without double brackets: none, one, or two that contradict each other."""

    outcomes: tuple[Outcome, ...]
    end: int
    rest: int
    """Where what follows begins: after the reason or the predicate that belongs to the choice."""


_NOTHING = Statement((), 0, 0)


@lru_cache(maxsize=512)
def inside_mark(content: str) -> Outcome | None:
    """The outcome that `[[content]]` stands for; None where it stands for none, as a menu or a placeholder does."""
    if match := _INSIDE.fullmatch(content):
        return "A" if match["a"] else "B" if match["b"] else "tie"
    if _PLACEHOLDER.fullmatch(content) or not _INVALID_INSIDE.fullmatch(content):
        return None
    return "invalid"


def choice_alone(folded: str) -> Outcome | None:
    """The choice that a folded text is and nothing else: `response_a`, `the second`, `tie`; None for anything else."""
    match = _ALONE.fullmatch(folded)
    if match is None:
        return None
    return "A" if match["a"] else "B" if match["b"] else "tie"


def stated(line: str, *, complete: bool = True, alone: bool = False) -> Statement:
    """What the start of a folded line states.

    `complete` is False when the text was cut off at the end of `line`: `A` may then be the start of a word. With
    `alone` the line must hold nothing else.
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
    """The outcome of `A > B`; a sign that says neither better nor worse nor equal is none of the menu."""
    better = (
        match["left"] if set(match["sign"]) <= set(">≻") else match["right"] if set(match["sign"]) <= set("<≺") else ""
    )
    if better:
        return "A" if better == "a" else "B"
    return "tie" if set(match["sign"]) <= set("=≈~") else "invalid"


def _related(line: str, complete: bool) -> Statement:
    """What the first sentence of a line says in words. It must have ended."""
    end = len(line) if (found := _SENTENCE_END.search(line)) is None else found.start()
    if not complete and end == len(line):
        return _NOTHING
    return Statement(related(line[:end]), end, end)


def holds_nothing_else(text: str, end: int) -> bool:
    """Whether a line holds only punctuation and markup after `end`."""
    return _NOTHING_ELSE.match(text, end) is not None


def _is_left_open(match: re.Match[str]) -> bool:
    """Whether a bracket or quotation mark before the choice is not closed after it: `[[A` is a text cut off."""
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
    """Whether the reason for a choice goes on to prefer the other: `A is better at tone, B at accuracy`."""
    if re.search(rf"\b{rival}\b[\s*_]{{1,4}}(?:{_WINS}|(?:at|in|on|for)\b)", after):
        return True
    return re.match(rf"[ :(]{{0,3}}\d.*\b{rival}\b\W{{0,4}}\d", after) is not None


def sub_verdict(text: str) -> Literal["A", "B", "MIXED"] | None:
    """What a unit's verdict field says; None where that cannot be told."""
    line = visible(fold(text.strip())).partition("\n")[0]
    marks = {outcome for match in MARK.finditer(line) if (outcome := inside_mark(match[1]))}
    said = marks or set(stated(line).outcomes)
    if said == {"A"}:
        return "A"
    if said == {"B"}:
        return "B"
    return "MIXED" if said == {"tie"} or _MIXED.match(line) else None
