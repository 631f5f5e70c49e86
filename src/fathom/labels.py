"""How sources spell which of two responses is better: letters, signs, names, numbers.

    >>> code = spelled(["A>B", "tie"], marks=("a", "b"))
    >>> outcome("B >> A", code), outcome("tie", code)
    (1, None)

A number alone says nothing: 1 is the first response where labels are 1 and 2, and the second where they are 0 and 1. So
numbers are read by the names of the responses and by all values of the column together; what these leave open is an
error, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

Code = Mapping[str, int | None]
"""A spelling (as `key` writes it) to the index of the better response; `None` is a tie."""

LETTERS: Code = {
    **dict.fromkeys(("a", "a>b", "a>>b", "b<a", "b<<a", "first"), 0),
    **dict.fromkeys(("b", "b>a", "b>>a", "a<b", "a<<b", "second"), 1),
    **dict.fromkeys(("tie", "a=b", "b=a", "equal", "draw", "tie(bothbad)"), None),
}
FROM_ZERO: Code = {"0": 0, "1": 1}
FROM_ONE: Code = {"1": 0, "2": 1}
FROM_ZERO_2_IS_TIE: Code = {"0": 0, "1": 1, "2": None}
FROM_ONE_0_IS_TIE: Code = {"1": 0, "2": 1, "0": None}

_NOUN = re.compile(r"(?:model|response|assistant|answer|output|completion|conversation)[ _-]?(?=[a-z0-9]$)")


def key(value: Any) -> str:
    """`value` without what does not matter: case, spaces, brackets, a noun before the letter, the .0 of a float."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    bare = str(value).strip().strip("[]").strip().casefold()
    return _NOUN.sub("", bare).replace(" ", "")


def outcome(value: Any, code: Code) -> int | None:
    """The index of the better response, `None` for a tie. Raises ValueError that lists what is allowed."""
    if key(value) not in code:
        raise ValueError(f"got {value!r}, allowed are {', '.join(code)}")
    return code[key(value)]


def spelled(values: Iterable[Any], marks: tuple[str, str]) -> Code:
    """The code of a column with these values, whose responses are told apart by `marks`: ("a", "b"), ("1", "2"), ...

    Raises ValueError where the numbers among the values can mean more than one thing.
    """
    numbers = {key(value) for value in values if value is not None} & {"0", "1", "2", "true", "false"}
    if not numbers:
        return LETTERS
    by_name = dict(zip(marks, (0, 1), strict=True))
    if marks != ("a", "b") and numbers <= set(marks):
        return {**by_name, **LETTERS}
    for code in (FROM_ZERO, FROM_ONE):
        if marks == ("a", "b") and numbers == set(code):
            return {**code, **LETTERS}
    raise ValueError(f"numbers {', '.join(sorted(numbers))} could mean either response or a tie")
