"""The final verdicts that a transcript names: which choice, how firmly, where.

    >>> [found.outcome for found in final_verdicts(Page.of("I like [[B]].\\n\\nFinal verdict: [[A]]"), [], True)]
    ['A']

A verdict counts when it is given, not when it is quoted, offered, denied or imagined; docs/reading-rules.md has the
rules. What cannot be told apart for certain is left out, or reported together with its opposite.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

from fathom.transcript import Page, fold, visible

Outcome = Literal["A", "B", "tie", "invalid"]

MOST_ANNOUNCED = 512
MOST_WEIGHED = 128
"""More announcements than those, or more of them or of marks that each need a look of their own, are a model that loops:
none of them counts."""


@dataclass(frozen=True, slots=True)
class Found:
    outcome: Outcome
    start: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """A bracketed mark. `stands` when nothing takes it back, `closes` when it is alone or ends its sentence."""

    outcome: Outcome
    start: int
    end: int
    offered: bool
    denied: bool
    quoted: bool
    closes: bool

    @property
    def stands(self) -> bool:
        return not (self.offered or self.denied or self.quoted)


# What stands where a choice stands -----------------------------------------------------------------------------------

_OPENERS = (
    r"""(?:[\s*_~`"'“‘«「『【《〈<(\[{$:>|-]|\\(?:boxed|text|textbf|mathrm|mathbf|mathsf|fbox|[(\[])(?![a-z])){0,16}"""
)
_CLOSERS = r"""[ \t*_~`"'”’»」』】》〉>)\]}$]{0,12}"""
_NOUN = r"(?:(?:response|assistant|answer|model|output|option|candidate|reply|chatbot|回答|回复|回覆|助手|答案|选项)[ #:]{0,2})"
_TIE = r"(?:tied?|draw|equal(?:ly good)?|平局|平手|持平)"
_PRAISE = r"(?:better|best|superior|stronger|winner|preferred|preferable|right one|correct one)"
_HOW = (
    r"(?:(?:clearly|significantly|slightly|much|far|by|definitely|the|a|overall|marginally|somewhat|just|simply) ){0,4}"
)
_WINS = rf"(?:(?:is|was) {_HOW}{_PRAISE}|wins|prevails|performs better|does better|(?:明显)?更好|更优|更佳|胜出|获胜)"
_REASON = rf"(?:because|since|due to|as it|{_WINS})(?![a-z])"
_CHOICE = re.compile(
    rf"{_OPENERS}(?:(?:it'?s|it is|is|that is|for|an?|the|是|为) ?){{0,2}}{_OPENERS}{_NOUN}?{_OPENERS}"
    rf"(?:(?P<letter>[a-z])|(?P<tie>{_TIE})|(?P<number>\d{{1,3}}(?:\.\d+)?(?: ?/ ?\d{{1,3}})?)|(?P<none>neither|none|both))"
    rf"(?!\w|['’]\w|\+)(?P<closers>{_CLOSERS})"
    rf"(?P<after>$|\n|</|[.!](?!\w)|[。！，；：,;:|(]|[-–—]{{1,2}}(?=\s)|\\[)\]]|{_REASON}|(?<=[一-鿿])between)"
)
_SECOND_CHOICE = re.compile(
    rf"[\s,/|&(]{{0,4}}(?:(?:or|and|vs\.?|versus|或者?|和) ?|(?<=[/|,&]) ?){_OPENERS}{_NOUN}?{_OPENERS}(?:[abc]|{_TIE})(?![a-z'’])"
    rf"(?:{_CLOSERS}(?:$|[\n,./|)]|or\b))"
)
_CONDITION = re.compile(r"[\s,*_\])}]{0,6}(?:if|unless|when|where|provided|assuming|如果|除非|当)(?![a-z])")
_COMPARED = re.compile(
    r"[\s*_]{0,4}(?:response |assistant )?a ?[<>=≻≥≤~]{1,3} ?(?:response |assistant )?b\b|[\s*_]{0,4}b ?[<>=≻≥≤~]{1,3} ?a\b"
)

# Marks ---------------------------------------------------------------------------------------------------------------

_MARK = re.compile(r"\[ ?\\?\[([^\[\]\n]{1,32})\] ?\\?\]")
_INSIDE = re.compile(rf"[\s*_`\"'$:]{{0,4}}{_NOUN}?(?:(?P<a>a)|(?P<b>b)|(?P<tie>c|{_TIE}))[\s*_`\"'$.\\]{{0,4}}")
_INVALID_INSIDE = re.compile(r"\s{0,4}(?:[\w+.-]{1,8}|[ab] ?[<>=≻~]{1,3} ?[ab]|neither|\d{1,3} ?/ ?\d{1,3})[\s\\]{0,4}")
_PLACEHOLDER = re.compile(r"\s*(?:verdict|choice|answer|letter|winner|your.*|x|\.+)\s*")
_OFFERED_NEXT = re.compile(
    r"""[\s*_`"'”’.,;)]{0,6}(?:(?:(?:or|and|vs\.?|versus|否则)(?![a-z])|/|\||,|，|、|或者?|和|以及)[\s*_`"'“‘(]{0,6}){1,2}"""
    r"(?:(?:the )?(?:final|overall) \w{1,10}\W{1,6}|(?:verdict|output|write|winner)\W{1,6})?"
)
_ENDS_SENTENCE = re.compile(r"""(?:</[a-z_]{1,20}>|[\s*_~)}\]>$|]|\\[)\]])*(?:[.!。！]+(?:[\s*_)"”'’<]|$)|$)""")
_EMPTY = re.compile(r"[^\w?？:：;,\"“”'‘’`]*")
_SENTENCE_BREAK = re.compile(r"[.!?](?=[\s*_])|[。！？]|\n")

_CLAUSE_BREAK = re.compile(r"[,;，；]|\b(?:so|therefore|thus|hence|but|because)\b|因此|所以")
_NEGATION = re.compile(
    r"(?:\b(?:not|never|nor|neither|cannot|without|rather than|instead of|over|against)\b|n['’]t\b)"
    r"(?: (?!i\b|we\b|my\b|that\b|which\b|it\b)[a-z]{1,12}){0,3}[^a-z]*$|(?:不是|并非|而不是|不选|不)[^，。]{0,4}$"
)
_IMAGINED = re.compile(
    r"\b(?:if|unless|when|whenever|whether|either|suppose|assuming|had (?:i|it|response|assistant)|at first|initially|originally"
    r"|previously|first (?:thought|impression|instinct|glance)|at a glance|(?:would|could|might|should) have|tempt\w*"
    r"|lean(?:ed|ing|t)?|considered|inclined|could be|might be|may be|would be|must be|options?|choices? are|format"
    r"|between|output with|respond with|e\.g|for example|such as)\b|如果|假如|本来|起初|倾向于"
)
_ATTRIBUTED = re.compile(
    r"\b(?:says?|said|saying|writes?|wrote|writing|written|ends? with|ending|ended|claims?|claiming|states?|stating|contains?|containing"
    r"|includes?|including|asks?|asking|asked|tells?|telling|instruct\w*|insists?|demands?|declares?|declaring|prints?|printing"
    r"|quotes?|quoting|injects?|mentions?|mentioning|appends?|appended|inserts?|inserting|begs?|begging|orders?|ordering"
    r"|tries to|trying to|attempts? to|embed\w*|hidden|string|reads?|prompt|outputs|concludes with|closes with|signs off)\b|写道|写着|声称|要求|说"
)
_FIRST_PERSON = re.compile(r"\b(?:i|my|our|we|me)\b|我")
_REVISED = re.compile(
    r"\b(?:wait|actually|on second thought|correction|reconsider\w*|scratch that|my mistake|i made a mistake|let me revise)\b"
)


def _marks(page: Page) -> list[_Mark] | None:
    """Every bracketed mark that looks like an outcome; None when there are too many to be a judgement."""
    if "[" not in page.folded:
        return []
    found = [(match, outcome) for match in _MARK.finditer(page.folded) if (outcome := _inside(match[1]))]
    offered = {k + i for k in range(len(found) - 1) if _are_offered(page, found[k][0], found[k + 1][0]) for i in (0, 1)}
    marks: list[_Mark] = []
    standing: set[tuple[str, str]] = set()
    weighed = 0
    for k, (match, outcome) in enumerate(found):
        start, end = match.span()
        surroundings = (page.folded[max(0, start - 60) : start], page.folded[start : end + 60])
        if k in offered:
            marks.append(_Mark(outcome, start, end, offered=True, denied=False, quoted=False, closes=False))
        elif surroundings in standing:
            marks.append(_Mark(outcome, start, end, offered=False, denied=False, quoted=False, closes=True))
        else:
            weighed += 1
            marks.append(mark := _weigh(page, start, end, outcome))
            if mark.stands and mark.closes:
                standing.add(surroundings)
        if weighed > MOST_WEIGHED:
            return None
    return marks


@lru_cache(maxsize=512)
def _inside(content: str) -> Outcome | None:
    if match := _INSIDE.fullmatch(content):
        return "A" if match["a"] else "B" if match["b"] else "tie"
    if _PLACEHOLDER.fullmatch(content) or not _INVALID_INSIDE.fullmatch(content):
        return None
    return "invalid"


def _are_offered(page: Page, first: re.Match[str], second: re.Match[str]) -> bool:
    between = second.start() - first.end()
    return 0 < between <= 60 and _OFFERED_NEXT.fullmatch(page.folded, first.end(), second.start()) is not None


def _weigh(page: Page, start: int, end: int, outcome: Outcome) -> _Mark:
    before, after = _around(page, start, end)
    alone = _EMPTY.fullmatch(before) is not None and _EMPTY.fullmatch(after) is not None
    return _Mark(
        outcome,
        start,
        end,
        offered=False,
        denied=_is_taken_back(before) or _CONDITION.match(after) is not None,
        quoted=is_quoted(page, start, end),
        closes=alone or _ENDS_SENTENCE.match(after) is not None,
    )


def _around(page: Page, start: int, end: int) -> tuple[str, str]:
    """The sentence before `start` and the line after `end`, both of bounded length."""
    before = page.folded[max(page.folded.rfind("\n", max(0, start - 400), start) + 1, start - 400) : start]
    after = page.folded[end : end + 200].partition("\n")[0]
    breaks = [found.end() for found in _SENTENCE_BREAK.finditer(before)]
    return before[breaks[-1] :] if breaks else before, after


def _is_taken_back(before: str) -> bool:
    """Whether the sentence that leads up to a verdict denies it, imagines it, or puts it into somebody's mouth."""
    clause = _CLAUSE_BREAK.split(before)[-1]
    spoken = _ATTRIBUTED.search(clause) and not _FIRST_PERSON.search(clause)
    return bool(_NEGATION.search(before) or _IMAGINED.search(before) or spoken)


# Quotation -----------------------------------------------------------------------------------------------------------

_PAIRS = (("“", "”"), ("「", "」"), ("『", "』"), ("«", "»"), ("‘", "’"), ("<quote", "</quote"))
_SINGLE_QUOTED = re.compile(r"(?:^|[\s(\[])'(?=\S)(?:(?!\s'|'[\s.,;)])[^\n]){0,400}$")
_ESCAPED_LINE = re.compile(r"\s*\\+[A-Z]")
REACH = 600
"""Quotation marks further away than this many characters belong to something else."""


def is_quoted(page: Page, start: int, end: int) -> bool:
    """Whether a place stands in quotation marks, code, a longer block quote, or is escaped."""
    text = page.text
    if page.fences and bisect(page.fences, start) % 2:
        return True
    line_start = text.rfind("\n", max(0, start - REACH), start) + 1 or max(0, start - REACH)
    line_end = text.find("\n", end, end + REACH)
    before, after = text[line_start:start], text[end : line_end if line_end >= 0 else end + REACH]
    if before.count("`") % 2 and "`" in after or "'" in after and _SINGLE_QUOTED.search(before):
        return True
    if _ESCAPED_LINE.match(before):
        return True
    if before.lstrip(" \t-*").startswith(">") and _is_longer_block_quote(
        page, line_start, line_end if line_end >= 0 else len(text)
    ):
        return True
    return _in_quotation_marks(text, start, end) or _is_introduced_as_quotation(page, line_start, before)


def _in_quotation_marks(text: str, start: int, end: int) -> bool:
    if '"' in text and text.count('"', 0, start) % 2 and text.count('"', end) % 2:
        return True
    before, after = text[max(0, start - REACH) : start], text[end : end + REACH]
    if after.isascii() and "<" not in after:
        return False
    return any(before.rfind(left) > before.rfind(right) and right in after for left, right in _PAIRS)


def _is_longer_block_quote(page: Page, line_start: int, line_end: int) -> bool:
    """Whether this block quote holds, or is followed by, anything else."""
    above = page.text[max(0, line_start - 200) : max(0, line_start - 1)].rpartition("\n")[2]
    return (
        bool(above.lstrip().startswith(">") and above.strip("> \t")) or not page.text[line_end:].strip("> \n\t") == ""
    )


def _is_introduced_as_quotation(page: Page, line_start: int, before: str) -> bool:
    """Whether the line above says that somebody else is speaking: `Response B ends with:`."""
    above = page.folded[max(0, line_start - 300) : max(0, line_start - 1)].rstrip().rpartition("\n")[2]
    if not above.rstrip("*_ ").endswith(":") or not _EMPTY.fullmatch(before) and ":" not in before:
        return False
    return bool(_ATTRIBUTED.search(above)) and not _FIRST_PERSON.search(above)


# Announcements -------------------------------------------------------------------------------------------------------

_SPEAKS_OF_PART = re.compile(r"[\s*_]{0,4}(?:for|on|under|regarding|in terms of|by|of) ")
_LINK = re.compile(
    r"[\s*_~`\"')\]]{0,6}(?:\([^()\n]{0,40}\))?[\s*_]{0,4}(?:(?:is|goes to|是|为)(?![a-z])[\s*_]{0,3}:?|[:=|>]|->|=>|→|[-–—]{1,2}(?= ))"
)
_NO_LINK = re.compile(r"[\s*_]{0,4}\[ ?\[|[ \t*_#]*\n")
_BLANK = re.compile(r"[\s*_\"'`:>~$#-]*")
_SPACE = re.compile(r"\s*")
_ALL = re.compile(r"[ \t*_~`\"'”’」)\]}$.!。]*(?:</[a-z_]{1,20}>)?[ \t*_]*(?:\n|$)")
_SENTENCE_STARTS = (
    "final ",
    "overall ",
    "my verdict",
    "my decision",
    "my choice",
    "my judgment",
    "my judgement",
    "最终",
    "最終",
)
_SENTENCE_START = re.compile(
    r"(?:final (?:verdict|judge?ment|decision|answer|choice|conclusion|winner|ruling)|my verdict"
    r"|最[终終](?:裁决|裁決|判断|结论|答案|评判|决定|判决|选择))(?![a-z])"
)
_TAGS = ("verdict", "answer", "final_verdict", "final_answer", "winner", "decision", "choice", "judgment")


@dataclass(frozen=True, slots=True)
class _Announcement:
    """Words that announce a final verdict, and the place right after their link (`:`, `is`)."""

    start: int
    place: int
    of_answer: bool
    """Whether they speak of an answer, which may be the judge's own to the task."""


def _announcements(page: Page, owned: Sequence[tuple[int, int]]) -> Iterator[_Announcement]:
    for label in page.labels:
        if label.kind in ("final", "verdict") and not _is_owned(label.start + 1, owned):
            place = _after_link(page, label.end)
            if place is not None:
                words = page.folded[label.words : label.end]
                yield _Announcement(label.words, place, words.endswith(("answer", "答案")))
    for words in _SENTENCE_STARTS:
        for at in islice(_places(page.folded, words), 4 * MOST_ANNOUNCED):
            match = _SENTENCE_START.match(page.folded, at)
            link = match and _LINK.match(page.folded, match.end())
            if match and link and not _is_owned(at, owned):
                yield _Announcement(at, link.end(), match[0].endswith(("answer", "答案")))
    for tag in _TAGS if "<" in page.folded else ():
        if f"</{tag}>" in page.folded:
            for at in islice(_places(page.folded, f"<{tag}>"), MOST_ANNOUNCED):
                yield _Announcement(at, at + len(tag) + 2, tag.endswith("answer"))


def _after_link(page: Page, end: int) -> int | None:
    """The place after the link that follows an announcement; a mark or the end of the line needs no link."""
    if _SPEAKS_OF_PART.match(page.folded, end):
        return None
    if link := _LINK.match(page.folded, end):
        return link.end()
    return end if _NO_LINK.match(page.folded, end) else None


def _places(text: str, words: str) -> Iterator[int]:
    at = text.find(words)
    while at >= 0:
        yield at
        at = text.find(words, at + 1)


def _is_owned(place: int, owned: Sequence[tuple[int, int]]) -> bool:
    k = bisect(owned, place, key=lambda span: span[0])
    return k > 0 and place < owned[k - 1][1]


def _announced(page: Page, words: _Announcement, marks: list[_Mark], finished: bool) -> list[Found]:
    """What is announced: the marks on that line, else the bare choice that stands there."""
    start, place = words.start, words.place
    before, _ = _around(page, start, place)
    if _is_announcement_taken_back(before) or (is_quoted(page, start, place) and not _is_key(page, start, place)):
        return []
    end = page.line_end(place)
    alone = end < len(page.folded) and _BLANK.fullmatch(page.folded, place, end) is not None
    if alone:
        place = _SPACE.match(page.folded, end).end()  # type: ignore[union-attr]
        end = page.line_end(place)
    there = [mark for mark in marks if place <= mark.start < end]
    if there and words.of_answer:
        return []
    if alone and there:
        there = (
            there[:1]
            if _BLANK.fullmatch(page.folded, place, there[0].start) and _ALL.match(page.folded, there[0].end)
            else []
        )
        return [Found(mark.outcome, start) for mark in there if not mark.offered and not mark.denied]
    if there:
        return [Found(mark.outcome, start) for mark in there if mark.stands or _is_direct(page, place, mark)]
    if _MARK.search(page.folded, place, min(end, place + 400)):
        return []
    rest = page.folded[place : min(end, place + 400)]
    return [Found(outcome, start) for outcome in _bare(rest, finished or end < len(page.folded), alone)]


def _is_direct(page: Page, place: int, mark: _Mark) -> bool:
    """Whether only the announcement's own quotation marks stand around a mark."""
    if mark.offered or mark.denied:
        return False
    between = page.folded[place : mark.start]
    opening = between.strip(" *_:")[:1]
    return _BLANK.fullmatch(between) is not None or (opening in ('"', "“", "「") and between.count(opening) == 1)


def _is_announcement_taken_back(before: str) -> bool:
    return bool(re.search(r"\bnot\b|n['’]t\b|\bif\b|\bwould\b", before)) or _is_taken_back(before)


def _is_key(page: Page, start: int, place: int) -> bool:
    """Whether the announcement is a JSON key."""
    return page.folded[start - 1] == '"' and '"' in page.folded[start:place]


def _bare(rest: str, complete: bool, alone: bool = False) -> list[Outcome]:
    """The outcome that a line states without double brackets, if it states one.

    `complete` is False when the text was cut off at the end of `rest`: `A` may then be the start of a word. With `alone`
    the line must hold nothing else.
    """
    if _COMPARED.match(rest):
        return ["invalid"]
    match = _CHOICE.match(rest)
    if match is None or _is_left_open(match):
        return []
    after = match.end("closers")
    if _SECOND_CHOICE.match(rest, after) or _CONDITION.match(rest, after):
        return []
    if (not complete and not rest[after:].strip()) or (alone and not _ALL.match(rest, after)):
        return []
    return _named(match, rest[after:])


def _is_left_open(match: re.Match[str]) -> bool:
    """Whether a bracket or quotation mark before the choice is not closed after it: `[[A` is a text cut off."""
    before, after = match[0][: match.start("closers") - match.start()], match["closers"]
    return "[[" in before or any(
        left in before and right not in after for left, right in ("[]", "()", "{}", "“”", "「」", "【】")
    )


def _named(match: re.Match[str], after: str) -> list[Outcome]:
    if match["tie"]:
        return ["tie"]
    letter = match["letter"]
    if letter in ("a", "b"):
        named: Outcome = "A" if letter == "a" else "B"
        rival: Outcome = "B" if letter == "a" else "A"
        return [named, rival] if re.search(rf"\b{rival.lower()}\b[\s*_]{{1,4}}{_WINS}", after) else [named]
    if letter == "c" and re.search(r"[\[({【「『《<]", match[0][: match.start("letter") - match.start()]):
        return ["tie"]
    return ["invalid"]


# JSON ----------------------------------------------------------------------------------------------------------------

_KEYS = {
    "verdict",
    "final_verdict",
    "winner",
    "answer",
    "final_answer",
    "choice",
    "decision",
    "final_decision",
    "better_response",
    "preferred_response",
    "judgment",
    "final_judgment",
}


def _from_json(text: str) -> list[Found] | None:
    """The verdicts of a reply that is one JSON object; None when it is not."""
    if not text.startswith("{"):
        return None
    try:
        value: Any = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    found = []
    for key, said in value:
        if re.sub(r"[ -]", "_", key.strip().lower()) in _KEYS and said is not None:
            folded = str(said).lower().strip()
            inside = _MARK.fullmatch(folded)
            outcome = _inside(inside[1] if inside else folded)
            found.append(Found(outcome or "invalid", 0))
    return found


# All together --------------------------------------------------------------------------------------------------------


def final_verdicts(page: Page, owned: Sequence[tuple[int, int]], finished: bool) -> list[Found]:
    """The verdicts of the strongest kind in the text. `owned` are the spans (start, end) that belong to units, in order."""
    if (from_json := _from_json(page.text.strip())) is not None:
        return from_json
    marks = _marks(page)
    if marks is None:
        return []
    announced: list[Found] = []
    answered: list[Found] = []
    seen: dict[tuple[str, str], list[Found]] = {}
    for n, words in enumerate(_announcements(page, owned)):
        surroundings = (page.folded[max(0, words.start - 60) : words.start], page.folded[words.start : words.place + 60])
        if n > MOST_ANNOUNCED or len(seen) > MOST_WEIGHED:
            return []
        if surroundings in seen:
            here = [Found(found.outcome, words.start) for found in seen[surroundings]]
        else:
            here = seen[surroundings] = _announced(page, words, marks, finished)
        (answered if words.of_answer else announced).extend(here)
    free = [mark for mark in marks if mark.stands and not _is_owned(mark.start, owned)]
    if announced:
        end = page.line_end(max(found.start for found in announced))
        announced += [
            Found(mark.outcome, mark.start) for mark in free if mark.start > end and mark.outcome != "invalid"
        ]
        return announced + _revised(page, announced)
    closing = [
        Found(mark.outcome, mark.start) for mark in free if mark.closes and (finished or not _may_go_on(page, mark))
    ]
    strongest = closing or answered
    return strongest + _revised(page, strongest)


def _may_go_on(page: Page, mark: _Mark) -> bool:
    """Whether the text was cut off right after a mark in mid-sentence."""
    before, _ = _around(page, mark.start, mark.end)
    return not page.folded[mark.end :].strip() and not _EMPTY.fullmatch(before)


def _revised(page: Page, found: list[Found]) -> list[Found]:
    """The other choice, when the text goes on to take the verdict back without giving a mark."""
    if not found or found[-1].outcome not in ("A", "B"):
        return []
    other: Outcome = "B" if found[-1].outcome == "A" else "A"
    tail = page.folded[page.line_end(max(each.start for each in found)) :][:4000]
    revision = _REVISED.search(tail)
    if revision and re.search(rf"\b{other.lower()}\b", tail[revision.end() : revision.end() + 200]):
        return [Found(other, found[-1].start)]
    return []


_MIXED = re.compile(r"[\W_]{0,8}(?:mixed|both|neither|even|balanced|混合|均衡|两者)")


def sub_verdict(text: str) -> Literal["A", "B", "MIXED"] | None:
    """What a unit's verdict field says; None where that cannot be told."""
    line = visible(fold(text.strip())).partition("\n")[0]
    said = {outcome for match in _MARK.finditer(line) if (outcome := _inside(match[1]))} or set(_bare(line, True))
    if said == {"A"}:
        return "A"
    if said == {"B"}:
        return "B"
    return "MIXED" if said == {"tie"} or _MIXED.match(line) else None
