"""How sources spell which of two responses is better: letters, signs, names, numbers.

    >>> code = infer_code(["A>B", "tie"], marks=("a", "b"))
    >>> outcome("B >> A", code), outcome("tie", code)
    (1, None)

A number alone says nothing: 1 is the first response where labels are 1 and 2, and the second where they are 0 and 1. So
numbers are read by the names of the responses, or as 1 and 2; what these leave open is an error, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

Code = Mapping[str, int | None]
"""A spelling (as `normalise` writes it) to the index of the better response; `None` is a tie."""

NOUNS = "response|output|answer|completion|solution|candidate|conversation|generation|summary|reply|human_ref"
"""What sources call a response, in the names of columns and in labels."""

LETTERS: Code = {
    **dict.fromkeys(("a", "a>b", "a>>b", "b<a", "b<<a", "1>2", "first"), 0),
    **dict.fromkeys(("b", "b>a", "b>>a", "a<b", "a<<b", "2>1", "second"), 1),
    **dict.fromkeys(("tie", "a=b", "b=a", "1=2", "equal", "draw", "both", "neither", "both_good", "both_bad"), None),
    **dict.fromkeys(("bothgood", "bothbad", "tie(bothbad)", "tie_bothbad"), None),
}
FROM_ZERO: Code = {"0": 0, "1": 1}
FROM_ONE: Code = {"1": 0, "2": 1}
FROM_ZERO_2_IS_TIE: Code = {"0": 0, "1": 1, "2": None}
FROM_ONE_0_IS_TIE: Code = {"1": 0, "2": 1, "0": None}

WORTH: Mapping[str, float] = {
    **dict.fromkeys(("true", "correct", "right", "good", "desirable", "passed"), 1.0),
    **dict.fromkeys(("false", "incorrect", "wrong", "bad", "undesirable", "failed"), 0.0),
}
"""What a single response is worth, in words."""

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?")
_NOUN = re.compile(rf"(?:model|assistant|{NOUNS})[ _-]?(?=[a-z0-9]$)")


def normalise(value: Any) -> str:
    """`value` without what does not matter: case, spaces, brackets, a noun before the letter, the .0 of a float."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    bare = str(value).strip().strip("[]").strip().casefold()
    bare = bare.removesuffix(".0") if bare.removesuffix(".0").isdecimal() else bare
    return _NOUN.sub("", bare).replace(" ", "")


def outcome(value: Any, code: Code) -> int | None:
    """The index of the better response, `None` for a tie. Raises ValueError that lists what was expected."""
    if normalise(value) not in code:
        raise ValueError(f"got {value!r}, expected {_described(code)}")
    return code[normalise(value)]


def _described(code: Code) -> str:
    """What a code takes; the many spellings of letters and ties are shown by one of each."""
    if not LETTERS.items() <= code.items():
        return f"one of {', '.join(code)}"
    others = [spelling for spelling in code if spelling not in LETTERS]
    usual = ", ".join([*others, "A", "B", "tie"])
    return f"one of {usual}, or a spelling that --map label.a=, label.b= or label.tie= gives"


def infer_code(values: Iterable[Any], marks: tuple[str, str]) -> Code:
    """The code of a column with these values, whose responses are told apart by `marks`: ("a", "b"), ("1", "2"), ...

    Raises ValueError where the numbers among the values can mean more than one thing. Where letters tell the responses
    apart, numbers among them are no labels.
    """
    spelled = {normalise(value) for value in values if value is not None}
    numbers = {spelling for spelling in spelled if _NUMBER.fullmatch(spelling)} or spelled & {"true", "false"}
    if not numbers or any(LETTERS.get(spelling) is not None for spelling in spelled):
        return LETTERS
    if marks != ("a", "b") and numbers <= set(marks):
        return {**dict(zip(marks, (0, 1), strict=True)), **LETTERS}
    if marks == ("a", "b") and numbers == set(FROM_ONE):
        return {**FROM_ONE, **LETTERS}
    shown = sorted(numbers, key=lambda number: (float(number) if _NUMBER.fullmatch(number) else 0, number))[:8]
    raise ValueError(f"numbers {', '.join(shown)} could mean either response or a tie")


def explicit_code(spellings: Mapping[int | None, Iterable[str]]) -> Code:
    """The code of spellings that somebody gave: of the first response (0), the second (1) and a tie (None).

    Letters keep their usual meaning beside them, unless a given spelling takes a letter for something else.
    """
    given = {normalise(spelling): outcome for outcome, words in spellings.items() for spelling in words}
    usual = all(LETTERS.get(spelling, outcome) == outcome for spelling, outcome in given.items())
    return {**given, **LETTERS} if usual else given
