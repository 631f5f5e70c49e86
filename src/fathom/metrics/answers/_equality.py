r"""Compares two answers: as texts, as choices, as quantities with units, and otherwise as mathematics.

Everything that needs SymPy runs here, in the process that may be killed. math-verify alone would call some different
answers equal: it rounds to six decimals, and drops numbers below 1e-15, units, and text that it cannot parse. The code
below prevents each of these errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil
from typing import Any

from fathom.metrics.answers import _final

Comparison = tuple[bool | None, str]
"""Whether the answers are equal, None if undecided; and the reason."""

_MARKED = re.compile(r"(?<!\\)\$|\\boxed|\\\(|\\\[")
"""Delimiters of LaTeX. An escaped dollar is a currency sign."""
_DELIMITERS = re.compile(r"(?<!\\)\$+|\\[()\[\]]|\\(?:left|right|displaystyle|bigl?|bigr)(?![a-zA-Z])")
_GAPS = re.compile(r"(?<!\d)\s+|\s+(?!\d)")
"""White space that may be removed. Between digits it may not: "1 1/2" is not "11/2"."""
_LITERAL = re.compile(
    r"\d{1,2}:[0-5]\d(?::[0-5]\d)?(?:\s*[ap]\.?m\.?)?|\d{1,4}-\d{1,2}-\d{1,4}|\d+(?:\.\d+){2,}|\d+/\d+/\d+",
    re.IGNORECASE,
)
"""Times, dates and versions, which math-verify would parse as a quotient, a sum or one of their numbers."""
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([-+]?\d+)(?!\w)")
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*(-?\w+|\([^()]*\))")
"""An exponent without braces, of which LaTeX would use only the first character."""
_PYTHON = re.compile(r"[\d\s.+*/()-]*\*\*[\d\s.+*/()-]*")
"""Powers of numbers in the notation of programs, which nest to the right; in LaTeX that would need braces."""
_REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\{(\d+)\}")
_BASE = re.compile(r"([0-9A-Z]+)_\{?\(?(\d{1,2})\)?\}?")
_EXPLAINS = re.compile(r"(?:because|since|as|for|which|that|is|it|the)\b", re.IGNORECASE)
MAX_WORDS = 4
"""Maximum number of words of a value after a letter; a longer text explains the choice."""
MAX_DIGITS = 20_000
"""Maximum number of decimals for comparing small numbers. Comparisons that need more are undecided."""


def check(parse: Any, verify: Any, answer: str, reference: str) -> Comparison:
    """Whether the final answer of a text equals a reference. `parse` and `verify` are functions of math-verify."""
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
    """Whether an answer with the right letter has another value than the reference: "(B) 43" for "(B) 42"."""
    label, stated = _final.labelled(answer)
    if label is None or not stated or not value or _EXPLAINS.match(stated):
        return False
    comparable = _final.is_mathematics(stated) or (_final.is_worded(stated) and len(stated.split()) <= MAX_WORDS)
    return comparable and not same_text(stated, value)


def _reference(text: str) -> str:
    """The reference, or the content of its box: in some files, references are whole solutions."""
    return _final.last_boxes(text) or text.strip()


def same_text(one: str, other: str) -> bool:
    """Whether two answers are equal texts, up to white space, delimiters, fonts and the size of brackets."""
    left, right = _normalized(one), _normalized(other)
    if _final.is_worded(left) and (len(left) > 2 or left.casefold() == "no"):  # AB and ab are products
        return left.casefold() == right.casefold()
    return bool(left) and left == right


def _normalized(text: str) -> str:
    plain = _final.unwrapped(_DELIMITERS.sub("", text)).replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    return _GAPS.sub("", plain).rstrip(".")


def _by_value(parse: Any, verify: Any, final: _final.Final, wanted: str) -> Comparison:
    _, answer = _final.labelled(final.text) if final.where != "nowhere" else (None, final.text)
    if same_text(answer, wanted):
        return True, "read"
    if final.where != "nowhere" and _final.is_worded(_normalized(wanted)) and _final.is_worded(_normalized(answer)):
        return False, "read"
    if _LITERAL.fullmatch(_normalized(wanted)) and _LITERAL.fullmatch(_normalized(answer)):
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
    parsed = _parse_answer(parse, answer, final.where)
    return _equal(verify, gold, parsed) if parsed else (None, "no answer")


def _as_fraction(match: re.Match[str]) -> str:
    """A repeating decimal as a fraction.

    With the digits w.or(r), of which o occur once and the k digits r repeat, x = (wor - wo) / (10^k - 1) / 10^len(o):
    0.1(6) = (16 - 1) / 90.
    """
    whole, once, repeated = match.groups()
    top = int(whole + once + repeated) - int(whole + once or "0")
    return rf"\frac{{{top}}}{{{'9' * len(repeated)}{'0' * len(once)}}}"


def _in_base(text: str) -> int | None:
    """The value of digits in a stated base, such as 204_5 or 1A_{16}."""
    match = _BASE.fullmatch(_normalized(text))
    try:
        return int(match[1], int(match[2])) if match else None
    except ValueError:
        return None


def _parse_answer(parse: Any, answer: str, where: _final.Where) -> Any:
    """Parse an expression as LaTeX, with or without delimiters. math-verify searches other text for an expression."""
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


def _equal(verify: Any, gold: Any, answer: Any) -> Comparison:
    """math-verify's comparison, with as many decimals as the smallest number in either answer needs.

    By default it rounds to 6 decimals and treats an absolute difference below 1e-15 as 0. So 1/2006! would equal
    1/2004!, and 1.6e-19 would equal 9.1e-31. Adding the zeros after the point makes both limits relative.
    """
    more = max((digits(each) for each in (*gold, *answer)), default=0)
    if more > MAX_DIGITS:
        return None, "precision"
    equal = verify(gold, answer, float_rounding=6 + more, numeric_precision=15 + more, timeout_seconds=None)
    return bool(equal), "read"


def digits(expression: Any) -> int:
    """The number of zeros after the decimal point of the smallest non-zero number in a parsed expression."""
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
"""The spellings of each unit, by the name for comparisons. Units are not converted: 500 cm and 5 m are undecided."""
_DOLLAR = re.compile(r"\\\$|\$(?=\s*\d[\d.,]*\s*\.?$)")
"""A dollar as currency, which is replaced by ¤: escaped, or before a number without a second dollar after it."""
_PRODUCT = re.compile(r"[-+−]?\d+(?:\.\d+)?[a-zA-Z]")
"""5m is five metres or a product. If the other answer is a bare number, this is undecided."""
_PLAIN = re.compile(r"[-+−]?[\d.,]+")
_UNIT_OF = {spelling: name for name, spellings in _UNITS.items() for spelling in spellings.split()}
_NUMBER = r"(?P<number>[-+−]?\s*(?:[\d.,/]|(?<=\d)\s(?=\d))+(?:\s*(?:\\times|×)\s*10\^\{?-?\d+\}?|[eE][-+]?\d+)?)"
_BEFORE = re.compile(rf"(?P<unit>[¤€£])\s*{_NUMBER}\.?")
_AFTER = re.compile(
    rf"{_NUMBER}\s*(?P<unit>[^\W\d_]+|[¤€£°])(?P<power>\^\{{?\d\}}?|[²³])?(?:\s*(?:/|per)\s*(?P<per>[^\W\d_]+))?\.?"
)


def _is_product_or_unit(one: str, other: str) -> bool:
    """Whether one is a number followed by a letter, and the other a bare number."""
    first, second = one.strip(" $"), other.strip(" $")
    return any(_PRODUCT.fullmatch(a) and _PLAIN.fullmatch(b) for a, b in ((first, second), (second, first)))


def _is_variable(match: re.Match[str], plain: str) -> bool:
    """Whether the unit is a letter directly after a number, as in 5m, which may be five times m."""
    start, unit = match.start("unit"), match["unit"]
    return len(unit) == 1 and unit.isalpha() and start > 0 and not plain[start - 1].isspace()


def quantity(text: str) -> tuple[str, str | None]:
    """A number and its unit, by its name in `_UNITS`; for other answers, the answer and None."""
    plain = _final.unwrapped(_DOLLAR.sub("¤", text).replace(r"^\circ", "°").replace(r"^{\circ}", "°"))
    match = _BEFORE.fullmatch(plain) or _AFTER.fullmatch(plain)
    groups = match.groupdict() if match else {}
    unit, per = _UNIT_OF.get(groups.get("unit") or ""), _UNIT_OF.get(groups.get("per") or "")
    if match is None or unit is None or (groups.get("per") and per is None) or _is_variable(match, plain):
        return text, None
    power = "".join(re.findall(r"[2-9²³]", groups.get("power") or "")).translate(str.maketrans("²³", "23"))
    return match["number"], f"{unit}{power}" + (f"/{per}" if per else "")
