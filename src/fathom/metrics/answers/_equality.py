r"""Whether two answers are equal: as texts, as choices, as quantities with units, and else as mathematics.

Everything that needs SymPy runs here, in the process that may be killed. `check` never answers "equal" for a reason
that a closer look refutes: math-verify rounds to six decimals and drops numbers below 1e-15, units and whatever it
cannot read; each of these is guarded against below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil
from typing import Any

from fathom.metrics.answers import _final

Said = tuple[bool | None, str]
"""Whether they are equal, None where there is no telling; and the reason."""

_MARKED = re.compile(r"(?<!\\)\$|\\boxed|\\\(|\\\[")
"""LaTeX that says where it is. An escaped dollar is money."""
_DELIMITERS = re.compile(r"(?<!\\)\$+|\\[()\[\]]|\\(?:left|right|displaystyle|bigl?|bigr)(?![a-zA-Z])")
_GAPS = re.compile(r"(?<!\d)\s+|\s+(?!\d)")
"""White space that may go: "1 1/2" is not "11/2"."""
_LITERAL = re.compile(
    r"\d{1,2}:[0-5]\d(?::[0-5]\d)?(?:\s*[ap]\.?m\.?)?|\d{1,4}-\d{1,2}-\d{1,4}|\d+(?:\.\d+){2,}|\d+/\d+/\d+",
    re.IGNORECASE,
)
"""Times, dates and versions, which math-verify would read as a quotient, a sum or one of their numbers."""
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([-+]?\d+)(?!\w)")
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*(-?\w+|\([^()]*\))")
"""An exponent without braces, of which LaTeX takes the first character alone."""
_PYTHON = re.compile(r"[\d\s.+*/()-]*\*\*[\d\s.+*/()-]*")
"""Powers of numbers as programs write them; they nest to the right, which LaTeX cannot say without braces."""
_REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\{(\d+)\}")
_BASE = re.compile(r"([0-9A-Z]+)_\{?\(?(\d{1,2})\)?\}?")
_EXPLAINS = re.compile(r"(?:because|since|as|for|which|that|is|it|the)\b", re.IGNORECASE)
MAX_WORDS = 4
"""A longer text after a letter explains the choice."""
MAX_DIGITS = 20_000
"""Decimals that a comparison of small numbers may take. Smaller numbers are not told apart."""


def check(parse: Any, verify: Any, answer: str, reference: str) -> Said:
    """Whether the final answer of a text equals a reference. `parse` and `verify` are math-verify's."""
    wanted, final = _reference(reference), _final.final_answer(answer)
    if not wanted:
        return None, "no reference"
    if not final.text.strip():
        return None, "no answer"
    if same_text(final.text, wanted):
        return True, "read"
    label, value = _final.labelled(wanted)
    letter = label or _final.referred_choice(wanted)
    if letter is not None and (chosen := _final.choice(answer)):
        return chosen == {letter} and not (label and _names_another(final.text, value)), "read"
    if _final.referred_choice(wanted) is not None:
        return None, "no answer"
    return _by_value(parse, verify, final, value or wanted)


def _names_another(answer: str, value: str) -> bool:
    """Whether an answer with the right letter goes on with another value than the reference: "(B) 43" for "(B) 42"."""
    label, said = _final.labelled(answer)
    if label is None or not said or not value or _EXPLAINS.match(said):
        return False
    comparable = _final.is_mathematics(said) or (_final.is_worded(said) and len(said.split()) <= MAX_WORDS)
    return comparable and not same_text(said, value)


def _reference(text: str) -> str:
    """The reference as it is, or what its box holds: some files keep whole solutions."""
    return _final.last_boxes(text) or text.strip()


def same_text(one: str, other: str) -> bool:
    """Whether two answers are spelt alike but for white space, delimiters, fonts and the size of brackets."""
    left, right = _spelt(one), _spelt(other)
    if _final.is_worded(left) and (len(left) > 2 or left.casefold() == "no"):  # AB and ab are products
        return left.casefold() == right.casefold()
    return bool(left) and left == right


def _spelt(text: str) -> str:
    plain = _final.unwrapped(_DELIMITERS.sub("", text)).replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    return _GAPS.sub("", plain).rstrip(".")


def _by_value(parse: Any, verify: Any, final: _final.Final, wanted: str) -> Said:
    _, answer = _final.labelled(final.text) if final.where != "nowhere" else (None, final.text)
    if same_text(answer, wanted):
        return True, "read"
    if final.where != "nowhere" and _final.is_worded(_spelt(wanted)) and _final.is_worded(_spelt(answer)):
        return False, "read"
    if _LITERAL.fullmatch(_spelt(wanted)) and _LITERAL.fullmatch(_spelt(answer)):
        return False, "read"
    if (based := (_in_base(answer), _in_base(wanted))) and None not in based:
        return based[0] == based[1], "read"
    (answer, unit), (wanted, wanted_unit) = quantity(answer), quantity(wanted)
    if unit is not None and wanted_unit is not None and unit != wanted_unit:
        return None, "units"
    if _is_product_or_unit(answer, wanted):
        return None, "units"
    gold = _parsed(parse, wanted)
    if not gold:
        return None, "no reference"
    found = _found(parse, answer, final.where)
    return _equal(verify, gold, found) if found else (None, "no answer")


def _as_fraction(match: re.Match[str]) -> str:
    """0.1666..., written with a line above the 6, as (16 - 1)/90: digits less those that stand once, over 9s, 0s."""
    whole, once, repeated = match.groups()
    top = int(whole + once + repeated) - int(whole + once or "0")
    return rf"\frac{{{top}}}{{{'9' * len(repeated)}{'0' * len(once)}}}"


def _in_base(text: str) -> int | None:
    """The value of digits in a stated base, such as 204_5 or 1A_{16}."""
    match = _BASE.fullmatch(_spelt(text))
    try:
        return int(match[1], int(match[2])) if match else None
    except ValueError:
        return None


def _found(parse: Any, answer: str, where: _final.Where) -> Any:
    """An expression alone is read as LaTeX, whether or not it says so; words are searched for an expression."""
    if where in ("box", "whole") or _final.is_mathematics(answer):
        return _parsed(parse, answer)
    if where == "statement":
        answer = f"The answer is {answer}"
    return parse(answer, parsing_timeout=None)


def _parsed(parse: Any, text: str) -> Any:
    if _PYTHON.fullmatch(text):
        return parse(text, parsing_timeout=None)
    text = _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", _REPEATING.sub(_as_fraction, text))
    text = _EXPONENT.sub(r"^{\1}", text)
    if _final.is_mathematics(text):
        text = _final.separated(text)
    marked = text if _MARKED.search(text) else f"${text}$"
    return parse(marked, parsing_timeout=None) or parse(text, parsing_timeout=None)


# Small numbers --------------------------------------------------------------------------------------------------------


def _equal(verify: Any, gold: Any, found: Any) -> Said:
    """As math-verify says, with as many decimals as the smallest number in either answer needs.

    It rounds decimals to 6 digits after the point, and takes a difference below 1e-15 for none: fixed, not relative.
    So 1/2006! would equal 1/2004!, and 1.6e-19 would equal 9.1e-31.
    """
    more = max((digits(each) for each in (*gold, *found)), default=0)
    if more > MAX_DIGITS:
        return None, "precision"
    equal = verify(gold, found, float_rounding=6 + more, numeric_precision=15 + more, timeout_seconds=None)
    return bool(equal), "read"


def digits(expression: Any) -> int:
    """Zeros after the decimal point of the smallest number, 0 aside, that is a part of a parsed expression."""
    return max((_zeros(number) for number in _numbers(expression)), default=0)


def _numbers(expression: Any) -> Iterator[Any]:
    from sympy import MatrixBase, preorder_traversal

    for part in expression.flat() if isinstance(expression, MatrixBase) else [expression]:
        if not isinstance(part, str):
            yield from (each for each in preorder_traversal(part) if getattr(each, "is_number", False))


def _zeros(number: Any) -> int:
    from sympy import log

    size = abs(number.evalf(3))
    if not size.is_finite or not 0 < size < 1:
        return 0
    zeros: int = ceil(-log(size, 10).evalf(5)) - 1
    return max(0, zeros)


# Units ----------------------------------------------------------------------------------------------------------------

_UNITS = {
    "m": "m metre metres meter meters",
    "cm": "cm centimetre centimetres centimeter centimeters",
    "mm": "mm millimetre millimetres millimeter millimeters",
    "km": "km kilometre kilometres kilometer kilometers",
    "in": "inch inches",
    "ft": "ft foot feet",
    "yd": "yard yards",
    "mi": "mile miles",
    "g": "g gram grams",
    "kg": "kg kilogram kilograms",
    "mg": "mg milligram milligrams",
    "lb": "lb lbs pound pounds",
    "s": "s sec second seconds",
    "min": "min minute minutes",
    "h": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "year years",
    "l": "l L litre litres liter liters",
    "ml": "ml mL millilitre millilitres milliliter milliliters",
    "$": "¤ dollar dollars USD",
    "cent": "cent cents",
    "€": "€ euro euros EUR",
    "£": "£ GBP",
    "degree": "° degree degrees",
    "radian": "radian radians rad",
}
"""By the name under which they are compared, the spellings of units. Not converted: 500 cm and 5 m are left untold."""
_DOLLAR = re.compile(r"\\\$|\$(?=\s*\d[\d.,]*\s*\.?$)")
"""As a sign of money, which is written ¤ here: escaped, or before a number that no second sign follows."""
_PRODUCT = re.compile(r"[-+−]?\d+(?:\.\d+)?[a-zA-Z]")
"""5m is five metres or a product: against a number alone that cannot be told."""
_PLAIN = re.compile(r"[-+−]?[\d.,]+")
_UNIT_OF = {spelling: name for name, spellings in _UNITS.items() for spelling in spellings.split()}
_NUMBER = r"(?P<number>[-+−]?\s*(?:[\d.,/]|(?<=\d)\s(?=\d))+(?:\s*(?:\\times|×)\s*10\^\{?-?\d+\}?|[eE][-+]?\d+)?)"
_BEFORE = re.compile(rf"(?P<unit>[¤€£])\s*{_NUMBER}\.?")
_AFTER = re.compile(
    rf"{_NUMBER}\s*(?P<unit>[^\W\d_]+|[¤€£°])(?P<power>\^\{{?\d\}}?|[²³])?(?:\s*(?:/|per)\s*(?P<per>[^\W\d_]+))?\.?"
)


def _is_product_or_unit(one: str, other: str) -> bool:
    """Whether one of two is a number with a letter at it, and the other a number alone."""
    first, second = one.strip(" $"), other.strip(" $")
    return any(_PRODUCT.fullmatch(a) and _PLAIN.fullmatch(b) for a, b in ((first, second), (second, first)))


def _is_variable(match: re.Match[str], plain: str) -> bool:
    """Whether a letter stands at a number without a space, as in 5m, which may be five times m."""
    start, unit = match.start("unit"), match["unit"]
    return len(unit) == 1 and unit.isalpha() and start > 0 and not plain[start - 1].isspace()


def quantity(text: str) -> tuple[str, str | None]:
    """A number and its unit, by the name in `_UNITS`; any other answer as it is, and None."""
    plain = _final.unwrapped(_DOLLAR.sub("¤", text).replace(r"^\circ", "°").replace(r"^{\circ}", "°"))
    match = _BEFORE.fullmatch(plain) or _AFTER.fullmatch(plain)
    named = match.groupdict() if match else {}
    unit, per = _UNIT_OF.get(named.get("unit") or ""), _UNIT_OF.get(named.get("per") or "")
    if match is None or unit is None or (named.get("per") and per is None) or _is_variable(match, plain):
        return text, None
    power = "".join(re.findall(r"[2-9²³]", named.get("power") or "")).translate(str.maketrans("²³", "23"))
    return match["number"], f"{unit}{power}" + (f"/{per}" if per else "")
