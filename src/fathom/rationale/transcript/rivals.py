"""Claims of verdicts, and whether a sentence states a rival: another winner, the opposite word, another score.

>>> replaces("the second one deserves it", Claim("pair", "A")), replaces("a 3 would be fairer", Claim("score", 4.0))
(True, True)

Sentences are folded and without markup, as `sentences` returns them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from fathom.rationale.transcript.names import NOUN, OTHER, named
from fathom.rationale.transcript.winners import (
    amends,
    calls_equal,
    concludes,
    is_conditional,
    is_reported,
    names_loser,
    names_winner,
)


class Claim(NamedTuple):
    """The content of a verdict.

    `pair`: "A", "B" or "tie". `place`: the index of the best of several `responses`; None for a tie. `word`: 1.0 for
    yes or correct, 0.0 for the opposite. `score`: a number. `other`: a verdict whose opposite cannot be recognised.
    """

    kind: Literal["pair", "place", "word", "score", "other"]
    value: str | float | None = None
    responses: int = 2

    @property
    def names(self) -> bool:
        """Whether the verdict names a response."""
        return self.kind in ("pair", "place")


def replaces(sentence: str, claim: Claim) -> bool:
    """Whether a sentence names another outcome than the claim."""
    if claim.kind == "other" or is_conditional(sentence):
        return False
    if claim.names and concludes(sentence, _names(claim)[1]):
        return True
    if is_reported(sentence):
        return False
    if claim.kind == "word":
        return _finds_fault(sentence) if claim.value == 1.0 else _calls_right(sentence)
    if claim.kind == "score":
        return _gives_another_score(sentence, float(claim.value or 0))
    same, other = _names(claim)
    if names_winner(sentence, other, loosely=True) or amends(sentence, other):
        return True
    if same is None:
        return False
    return names_loser(sentence, same) or calls_equal(sentence) or _scores_higher(sentence, other, same)


def confirms(sentence: str, claim: Claim) -> bool:
    """Whether a sentence names the winner of the claim again."""
    same, _ = _names(claim)
    return same is not None and not is_conditional(sentence) and names_winner(sentence, same, loosely=True)


def equates(sentence: str, claim: Claim) -> bool:
    """Whether a sentence says that the winner's name means another response: `what i call a is b`."""
    same, other = _names(claim)
    if same is None:
        return False
    place = "second|last|below|on the right" if claim.value in ("A", 0) else "first|above|on the left"
    return (
        re.search(
            rf"(?<![a-z0-9'’]){same},? {_STANDS_FOR} (?:actually |really |in fact |for |to |the )*"
            rf"(?:{other}|{NOUN} (?:\w+ ){{1,3}}(?:{place}))"
            r"(?=$|[,;)]|,? and\b| here\b| in (?:the|my)\b)",
            sentence,
        )
        is not None
    )


def names_same(words: str, claim: Claim) -> bool:
    """Whether the first response that these words name is the winner. True if the claim names no response."""
    same, other = _names(claim)
    if not claim.names:
        return True
    ours, theirs = same and re.search(same, words), re.search(other, words)
    return bool(ours and (theirs is None or ours.start() < theirs.start()))


_STANDS_FOR = (
    r"(?:is|was|stands for|means?|holds for|is true for|goes for|refers to|denotes|meant|is meant as|=|as|is true of"
    r"|are true of|applies to|apply to)"
)


def _names(claim: Claim) -> tuple[str | None, str]:
    """The patterns for the winner's names and for all other names. A tie has no winner, so every name is another."""
    if not claim.names:
        return None, ""
    winner = {"A": 0, "B": 1, "tie": None}[claim.value] if isinstance(claim.value, str) else claim.value
    others = [named(place) for place in range(claim.responses) if place != winner]
    if winner is None:
        return None, rf"(?:{'|'.join(others)})"
    # `The other one` is unambiguous only between two responses.
    others += [OTHER] if claim.responses == 2 else []
    return named(int(winner)), rf"(?:{'|'.join(others)})"


# Pairs of scores -----------------------------------------------------------------------------------------------------

_NO_RATING = re.compile(  # the lower number may be the better one, or the letters may be options
    r"\b(?:options?|choices|alternatives|statements|[c-e] ?[=:]? ?\d|rank\w*|plac\w+|position|errors?|mistakes?"
    r"|bugs?|penalt\w+|deduct\w*|perplexity|loss)\b"
)


@lru_cache(maxsize=64)
def _scored(names: str) -> re.Pattern[str]:
    """A name with a score: `b scores 9/10`, `response a: 6`."""
    return re.compile(
        rf"(?<![a-z0-9'’]){names}(?:['’]s)?(?: (?:gets?|got|scores?|scored|has|with|at|score|rating|total)){{0,2}}"
        r"(?: (?:of|is|a))?[ :=(-]{1,3}(\d{1,3}(?:\.\d+)?)(?: ?/ ?\d+| ?points?| out of \d+| ?%)?"
        r"(?=$|[,;:)]| (?:and|vs\.?|versus|while|but|to)\b)"
    )


def _scores_higher(sentence: str, other: str, same: str) -> bool:
    """Whether a sentence scores both responses, and the other one higher: `a 6, b 9`."""
    theirs = _scored(other).search(sentence)
    ours = _scored(same).search(sentence) if theirs else None
    if not (theirs and ours) or _NO_RATING.search(sentence):
        return False
    return float(theirs[theirs.lastindex or 1]) > float(ours[ours.lastindex or 1])


# Words ---------------------------------------------------------------------------------------------------------------

# For verdicts in words (correct, incorrect): a fault, a mild fault that does not count, and a statement that all is
# right. A fault after a negation (`no errors`) does not count either.
_FAULT = re.compile(
    r"\b(?:wrong|incorrect|false|fails?|failed|invalid|fatal|errors?|mistakes?|mistaken|flaw(?:ed)?|mismatch\w*"
    r"|differs? from|(?:values|numbers|results|answers|they) differ|different (?:value|answer|number|result|sum)"
    r"|contradicts?|gaps?|hole|unjustified|unproven|off by|forgets?|forgot|omits|omitted|overlooks|neglects"
    r"|miss(?:es|ed)|miscalculates?|miscounts?|divides by zero|drops|dropped"
    r"|should (?:have been|be)(?! (?:noted|mentioned|clear|clearer|shorter|fine|said|added|enough|easy|possible|more))"
    r"|does(?: not|n['’]t) (?:match|equal|follow|hold|agree|arrive|work|answer|give|reach|satisfy)"
    r"|do(?: not|n['’]t) (?:match|agree|hold)|(?:is|are)(?: not|n['’]t) (?:\w+ )?(?:correct|right|valid|true|equal"
    r"|the same|equivalent|what|so|the case))\b|(?:is|was|be|answer|verdict)(?: then)?:? (?:no|incorrect|wrong"
    r"|false)$|falsch|faux|incorrect[ao]|sbagliat|错误|不正确|不对|неверн"
)
_MILD = re.compile(
    r"\b(?:minor|small|slight|tiny|typo\w*|cosmetic|wording|notation|style|stylistic|format\w*|spelling|grammar"
    r"|grammatical|would|could have|typographical|punctuation|presentation)\b"
)
_JUDGED = (
    r"(?:it|this|that|they|both(?: \w+)?|these|the two(?: \w+)?|the (?:\w+ )?(?:response|answer|solution|result|value"
    r"|number|conclusion|claim|proof|derivation|statement|final \w+|step|student)s?|(?:step|line|equation"
    r"|paragraph) \w+)"
)
_SOUND = re.compile(
    rf"\b{_JUDGED} (?:\w+ ){{0,4}}?(?:(?:is|are|was|were|comes? out|turns? out|be)(?: \w+){{0,2}}?"
    r" (?:correct|right|valid|true|fine|the same|equal|equivalent|identical)|match(?:es)?|agrees?"
    r"|(?:do|does) (?:\w+ )?(?:match|agree|equal|coincide|hold)|holds|comes out|works out|coincides?)\b"
    r"|\bthe same (?:\w+ )?(?:number|value|answer|result|thing|as)\b"
    r"|(?:is|was|be|verdict)(?: then)?:? (?:yes|correct|right)$|richtig|stimmt|juste|correct[ao]|corretto|正确|верн"
)
_DENIED = re.compile(
    r"\b(?:not|no|never|nor|neither|without|free of|cannot|hardly|nothing|any|none|nobody|lack\w*|kein\w*|nicht|pas"
    r"|sin|sem|senza|не)\b|n['’]t\b|不|没"
)
_ATTRIBUTIVE = re.compile(  # speaks of the right answer, not of the judged one
    r"\b(?:correct|right) (?:answer|value|result|solution|number|sum|one|way|approach|formula|method|step|reading)\b"
)
_IN_PART = re.compile(
    r"\b(?:but|although|though|however|while|except|only|up to|part(?:ly|ial\w*)?|approach|method|idea|setup|beginning"
    r"|first|format|tone|style)\b"
)


def _finds_fault(sentence: str) -> bool:
    """Whether a sentence finds more than a mild fault in a response that was called right."""
    faults = _FAULT.finditer(sentence)
    found = any(not _DENIED.search(sentence, max(0, fault.start() - 40), fault.start()) for fault in faults)
    return found and not _MILD.search(sentence)


def _calls_right(sentence: str) -> bool:
    """Whether a sentence calls a response right as a whole that was called wrong."""
    plain = _ATTRIBUTIVE.sub(" ", sentence)
    limits = (_DENIED, _IN_PART, _FAULT)
    return _SOUND.search(plain) is not None and not any(limit.search(plain) for limit in limits)


# Scores --------------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(?<![\w.,/-])(\d{1,3}(?:\.\d+)?)(?![\w]|[.,]\d)")
_DENOMINATOR = re.compile(r"(?:/|out of) ?\d+\b")
_NUMBERED = re.compile(  # numbers of steps, lines and the like are not scores: `step 4`
    r"\b(?:steps?|lines?|parts?|paragraphs?|equations?|items?|points?|cases?|problems?|sections?|sentences?|examples?"
    r"|pages?|questions?|lemmas?|theorems?|chapters?|figures?|tables?|rows?|tests?|bullets?|no\.?|response|answer"
    r"|criteri\w+|principles?|requirements?|constraints?)(?: #| )\d+(?:(?:,| and|,? or| to|[-–])? ?\d+)*\b"
)
_SCORING = re.compile(
    r"\b(?:scores?|scored|scoring|rating|rated?|deserv\w+|worth|should|fair(?:er|est)?|rather|instead|make|give|given"
    r"|closer to|more like|merits?|earns?|lower(?:ed)?|rais(?:e|ed)|higher|drop|chang\w+|revis\w+|correct\w*"
    r"|downgrad\w+|upgrad\w+|settle|meant?|would be (?:\w+ ){0,2}(?:better|right|fairer|appropriate|apt|more)|say"
    r"|appropriate|points?|down to|up to|actually|grade|mark)\b|应该|改为|分"
)
_TOO = r"(?:too|overly|unduly|rather|a (?:bit|little|tad|touch)|somewhat|far too|much too)"
_MEASURES = (
    r"(?:generous|harsh|kind|severe|strict|lenient|high|low|soft|hard|tough|charitable|forgiving|optimistic"
    r"|pessimistic)"
)
_OFF = re.compile(
    rf"\b{_TOO} {_MEASURES}\b|\b(?:is|was|seems|looks|feels) (?:\w+ )?(?:generous|harsh|severe|strict|lenient)\b"
    r"|\b(?:inflated|overrated|underrated|overscored|underscored)\b"
    r"|\b(?:lower|higher) (?:score|rating|mark|grade|number|one) (?:\w+ )?(?:is|would|seems|fits|was)\b"
    r"|\bdeserves? (?:less|more|better|worse|a (?:lower|higher|better|worse))\b"
)
_UNREAL = re.compile(
    r"\b(?:would have|could have|might have|would(?:n['’]t| not)? (?:\w+ )?(?:make|made|earn|get|reach|raise|bring"
    r"|lift)|if|had|with(?:out)? (?:a|an|more|better|its|the|some)|to (?:get|reach|earn) (?:a|an|the)|for a (?:\d|full"
    r"|perfect)|why not|not a|no \d|short of|away from)\b"
)


def _gives_another_score(sentence: str, score: float) -> bool:
    """Whether a sentence gives a score that is not this one, or calls this one too high or too low."""
    if _OFF.search(sentence):
        return True
    if not _SCORING.search(sentence) or _UNREAL.search(sentence):
        return False
    numbers = [float(number) for number in _NUMBER.findall(_DENOMINATOR.sub("", _NUMBERED.sub("", sentence)))]
    return bool(numbers) and score not in numbers
