"""Parse a score on the scale that the prompt asked for.

    >>> on_scale("4/5", 0, 1, 5), on_scale("4/10", 0, 1, 5)
    (ScoreMatch(score=4.0, end=3), None)

A score on another scale is rejected and never converted: `4/10`, `80%`, `2 (on a scale of 1 to 10)`, and also a range
or a fraction of a point. Naming the expected scale is fine: `4/5`, `4 out of 5`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER_WORDS = {"three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10, "hundred": 100}
_SCORE = re.compile(
    r"[\s*_`:=]{0,6}[(\[{]?\s{0,3}(?P<score>0|[1-9]\d{0,2})(?P<zeros>\.0{1,2})?(?![\d.]*\d|[a-z])\s{0,2}[)\]}*_`]{0,3}"
    r"(?P<rest>[^\n]{0,60})"
)
_OF = re.compile(
    r"\s{0,2}\(?\s?(?:[/\\:]|out of|of|from|von|sur|de|su)\s{0,2}\(?(?P<most>\d{1,4}|[a-z]{3,7})\b(?P<more>\.\d)?"
)
_SCALE = re.compile(
    r"[\s(,;–-]{0,4}(?:on|from|using|in|with|of)?\s?(?:an?|the|my)?\s?(?:(?:scale|range)\s?(?:of|from|is"
    r"|:)?\s?)?(?P<least>\d{1,2})\s?(?:to|-|–|—|through|\.\.)\s?(?P<most>\d{1,4})\b"
    r"|[\s(,;–-]{0,4}(?:on|using|with|of)?\s?(?:an?|the)?\s?(?P<points>\d{1,4})[- ]?point"
)
_ANOTHER = re.compile(r"\s{0,2}(?:%|percent|per cent|‰|[-–—~]\s{0,2}\d|to \d|or \d|and a half|½|¼|¾|\+|(?:,|\.)\d)")


_STATED = re.compile(
    r"\b(?:scale|range) (?:of |from )?\d{1,2}\s?(?:to|-|–|—)\s?(?P<most>\d{1,4})\b|\bout of (?P<of>\d{1,4}"
    r"|[a-z]{3,7})\b"
    r"|\b(?P<points>\d{1,4})[- ]point\b"
)


class ScoreMatch(NamedTuple):
    """A score and its end in the folded text, including any mention of the scale after it."""

    score: float
    end: int


def on_scale(folded: str, start: int, least: int, most: int) -> ScoreMatch | None:
    """The integer at `start` of a folded text if it is on the scale from `least` to `most`, else None."""
    match = _SCORE.match(folded, start)
    if match is None or not least <= int(match["score"]) <= most or _ANOTHER.match(match["rest"]):
        return None
    end = match.start("rest")
    if of := _OF.match(match["rest"]):
        if of["more"] or _NUMBER_WORDS.get(of["most"], of["most"]) not in (most, str(most)):
            return None
        end += of.end()
    if scale := _SCALE.match(folded, end):
        if str(most) != (scale["most"] or scale["points"]):
            return None
        end = scale.end()
    return ScoreMatch(float(match["score"]), end)


def is_of_another_scale(before: str, most: int) -> bool:
    """Whether the folded text before a score mentions a scale whose maximum is not `most`."""
    tops = (match["most"] or match["of"] or match["points"] for match in _STATED.finditer(before))
    return any(str(_NUMBER_WORDS.get(top, top)) != str(most) for top in tops if top.isdigit() or top in _NUMBER_WORDS)
