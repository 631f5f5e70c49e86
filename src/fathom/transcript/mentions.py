"""Whether a verdict at some place is given, or only mentioned: quoted, denied, imagined, put into somebody's mouth."""

from __future__ import annotations

import re
from bisect import bisect

from fathom.transcript.page import Page

REACH = 600
"""Quotation marks further away than this many characters belong to something else."""

_SENTENCE_BREAK = re.compile(r"[.!?](?=[\s*_])|[。！？]|\n")
_CLAUSE_BREAK = re.compile(r"[,;，；]|\b(?:so|therefore|thus|hence|but|because)\b|因此|所以")
_DENIED = re.compile(
    r"(?:\b(?:not|never|nor|neither|cannot|without|rather than|instead of|over|against)\b|n['’]t\b)"
    r"(?: (?!i\b|we\b|my\b|that\b|which\b|it\b)[a-z]{1,12}){0,3}[^a-z]*$"
    r"|(?:不是|并非|而不是|不选|不)[^，。]{0,4}$|~~\W*$"
)
_IMAGINED = re.compile(
    r"\b(?:if|unless|when|whenever|whether|either|suppose|assuming|had (?:i|it|response|assistant)"
    r"|at first|initially|originally|previously|first (?:thought|impression|instinct|glance)|at a glance"
    r"|(?:would|could|might|should) have|tempt\w*|lean(?:ed|ing|t)?|considered|inclined"
    r"|(?:could|might|may|would|must) be|options?|choices? are|format|between|please"
    r"|(?:output|respond|answer|reply) with|e\.g|for example|such as)\b|如果|假如|本来|起初|倾向于"
)
_SPOKEN = re.compile(
    r"\b(?:says?|said|saying|writes?|wrote|writing|written|end(?:s|ed|ing)|claim(?:s|ed|ing)?|stat(?:es|ed|ing)"
    r"|contain(?:s|ed|ing)?|includ(?:es|ed|ing)|ask(?:s|ed|ing)?|tells?|told|telling|instruct\w*|insists?|demands?"
    r"|declar(?:es|ed|ing)|print(?:s|ed|ing)?|quot(?:es|ed|ing)|injects?|mention(?:s|ed|ing)?|append(?:s|ed)?"
    r"|insert(?:s|ed)?|beg(?:s|ging)|order(?:s|ed|ing)|(?:tries|trying|attempts?) to|embed\w*|hidden|string|reads?"
    r"|prompt|outputs|(?:concludes|closes) with|signs off)\b|写道|写着|声称|要求|说"
)
_SPEAKER = re.compile(r"\W*(?:response|assistant|model|answer|output|candidate) [ab]\W{0,6}:\W*$")
_FIRST_PERSON = re.compile(r"\b(?:i|my|our|we|me)\b|我")
REVISION = re.compile(
    r"\b(?:wait|actually|on second thought|correction|reconsider\w*|scratch that|no,|my mistake|i made a mistake"
    r"|let me revise)(?!\w)"
)
"""Words by which a text takes back what it said, in folded text."""

_ESCAPED_LINE = re.compile(r"\s*\\+[A-Z]")
_PAIRS = (("“", "”"), ("「", "」"), ("『", "』"), ("«", "»"), ("‘", "’"), ("<quote", "</quote"))
_SINGLE_QUOTED = re.compile(r"(?:^|[\s(\[])'(?=\S)(?:(?!\s'|'[\s.,;)])[^\n]){0,400}$")
_NO_WORDS = re.compile(r"[\W_]*")


def around(page: Page, start: int, end: int) -> tuple[str, str]:
    """The sentence before `start` and the line after `end`, folded, each of bounded length."""
    before = page.folded[max(page.folded.rfind("\n", max(0, start - 300), start) + 1, start - 300, 0) : start]
    after = page.folded[end : end + 200].partition("\n")[0]
    breaks = [found.end() for found in _SENTENCE_BREAK.finditer(before)]
    return before[breaks[-1] :] if breaks else before, after


def is_denied(before: str) -> bool:
    """Whether the sentence that leads up to a verdict negates it."""
    return bool(before) and _DENIED.search(before) is not None


def is_imagined(before: str) -> bool:
    """Whether the sentence that leads up to a verdict only considers it, or has somebody else say it."""
    return bool(before) and (_IMAGINED.search(before) is not None or is_spoken(before))


def is_spoken(before: str) -> bool:
    """Whether the sentence that leads up to a verdict has somebody else say it."""
    clause = _CLAUSE_BREAK.split(before)[-1]
    spoken = _SPOKEN.search(clause) and not _FIRST_PERSON.search(clause)
    return bool(spoken or _SPEAKER.match(before))


def is_quoted(page: Page, start: int, end: int) -> bool:
    """Whether a place stands in quotation marks, in code, in a longer block quote, or is escaped."""
    text = page.text
    if page.fences and bisect(page.fences, start) % 2:
        return True
    line_start = text.rfind("\n", max(0, start - REACH), start) + 1 or max(0, start - REACH)
    line_end = text.find("\n", end, end + REACH)
    if line_end < 0:
        line_end = min(len(text), end + REACH)
    before, after = text[line_start:start], text[end:line_end]
    if "`" in after and before.count("`") % 2:
        return True
    if "'" in after and _SINGLE_QUOTED.search(before):
        return True
    return (
        _ESCAPED_LINE.match(before) is not None
        or (before.lstrip(" \t-*").startswith(">") and _is_longer_block_quote(text, line_start, line_end))
        or _is_in_quotation_marks(text, start, end)
        or _is_introduced_as_quotation(page, line_start, before)
    )


def _is_in_quotation_marks(text: str, start: int, end: int) -> bool:
    if '"' in text and text.count('"', 0, start) % 2 and text.count('"', end) % 2:
        return True
    before, after = text[max(0, start - REACH) : start], text[end : end + REACH]
    if after.isascii() and "<" not in after:
        return False
    return any(before.rfind(left) > before.rfind(right) and right in after for left, right in _PAIRS)


def _is_longer_block_quote(text: str, line_start: int, line_end: int) -> bool:
    """Whether a block quote holds, or is followed by, anything else."""
    above = text[max(0, line_start - 200) : max(0, line_start - 1)].rpartition("\n")[2].lstrip()
    return bool(above.startswith(">") and above.strip("> \t")) or bool(text[line_end:].strip("> \n\t"))


def _is_introduced_as_quotation(page: Page, line_start: int, before: str) -> bool:
    """Whether the line above says that somebody else is speaking: `Response B ends with:`."""
    above = page.folded[max(0, line_start - 300) : max(0, line_start - 1)].rstrip().rpartition("\n")[2]
    if not above.rstrip("*_ ").endswith(":") or not (_NO_WORDS.fullmatch(before) or ":" in before):
        return False
    return bool(_SPOKEN.search(above)) and not _FIRST_PERSON.search(above)
