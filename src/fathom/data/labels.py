"""Label formats: how sources spell which of two responses is better, as letters, signs, names or numbers.

    >>> code = infer_code(["A>B", "tie"], marks=("a", "b"))
    >>> outcome("B >> A", code), outcome("tie", code)
    (1, None)

A number alone is ambiguous: 1 is the first response if labels are 1 and 2, and the second if they are 0 and 1. So
numbers are matched with the names of the response columns, or must be 1 and 2. Anything else is an error, not a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

Code = Mapping[str, int | None]
"""Maps a spelling (normalised by `normalise`) to the index of the better response; None is a tie."""

NOUNS = "response|output|answer|completion|solution|candidate|conversation|generation|summary|reply|human_ref"
"""Words for a response in column names and labels."""

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
"""Scores of a single response that are spelled as words."""

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?")
_NOUN = re.compile(rf"(?:model|assistant|{NOUNS})[ _-]?(?=[a-z0-9]$)")


def normalise(value: Any) -> str:
    """Strip case, spaces, brackets, a noun before the letter ("Response A") and the .0 of a float."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    bare = str(value).strip().strip("[]").strip().casefold()
    bare = bare.removesuffix(".0") if bare.removesuffix(".0").isdecimal() else bare
    return _NOUN.sub("", bare).replace(" ", "")


def outcome(value: Any, code: Code) -> int | None:
    """Index of the better response; None for a tie. Raises ValueError that lists the expected spellings."""
    if normalise(value) not in code:
        raise ValueError(f"got {value!r}, expected {_described(code)}")
    return code[normalise(value)]


def _described(code: Code) -> str:
    """The spellings of a code for an error message; A, B and tie stand for all spellings in `LETTERS`."""
    if not LETTERS.items() <= code.items():
        return f"one of {', '.join(code)}"
    others = [spelling for spelling in code if spelling not in LETTERS]
    usual = ", ".join([*others, "A", "B", "tie"])
    return f"one of {usual}, or a spelling declared with --map label.a=, label.b= or label.tie="


def infer_code(values: Iterable[Any], marks: tuple[str, str]) -> Code:
    """The code of a column with these values. `marks` name the two responses: ("a", "b"), ("1", "2"), ...

    Raises ValueError if numbers among the values are ambiguous. In a column that also has letters, numbers are not
    labels.
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
    """The code of spellings declared by the user: for the first response (0), the second (1) and a tie (None).

    Letters keep their usual meaning, unless a declared spelling redefines one.
    """
    given = {normalise(spelling): outcome for outcome, words in spellings.items() for spelling in words}
    usual = all(LETTERS.get(spelling, outcome) == outcome for spelling, outcome in given.items())
    return {**given, **LETTERS} if usual else given
