"""An exact calculator for expressions that a model wrote. It evaluates arithmetic, and runs no code.

    >>> calculate("13 * 15"), calculate("1 / 3 + 1 / 6"), calculate("2 ^ 10 = 1000")
    ('195', '1/2 = 0.5', 'false')

Numbers are exact: 0.1 is a tenth. Only `sqrt` of a number that is no square and powers with exponents that are no
integers give approximations. A single `=` compares. Expressions, exponents and results are bounded, so that none takes
long.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import gcd, inf, isclose, isfinite, isqrt, lcm, sqrt

Number = Fraction | float
"""Exact, or an approximation."""

MAX_LENGTH = 500
"""Characters of an expression."""
MAX_BITS = 10_000
"""Bits of the numerator or denominator of a power, and of a result."""
SPELLINGS = {"×": "*", "·": "*", "÷": "/", "^": "**", "\N{MINUS SIGN}": "-", "≤": "<=", "≥": ">=", "≠": "!="}


class CalculationError(ValueError):
    """An expression without a value."""


def calculate(expression: str) -> str:
    """The value of an expression, or `true` or `false` for a comparison. Raises CalculationError."""
    try:
        value = _value(_parsed(expression).body)
        return str(value).lower() if isinstance(value, bool) else written(value)
    except RecursionError:
        raise CalculationError("the expression is nested too deeply") from None
    except ZeroDivisionError:
        raise CalculationError("it divides by zero") from None
    except OverflowError:
        raise CalculationError("a number is too large") from None


def written(value: Number) -> str:
    """A number in digits. An approximation begins with `about`, and a fraction is followed by its decimals.

    Raises OverflowError for infinity, for more than `MAX_BITS`, and for a fraction beyond the range of floats.
    """
    if isinstance(value, float):
        return f"about {_finite(value):.10g}"
    if _bits(value) > MAX_BITS:
        raise OverflowError
    if value.denominator == 1:
        return str(value.numerator)
    decimals = f"{float(value):.10g}"
    return f"{value} = {decimals}" if Fraction(decimals) == value else f"{value}, about {decimals}"


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _parsed(expression: str) -> ast.Expression:
    if len(expression) > MAX_LENGTH:
        raise CalculationError(f"the expression has {len(expression)} characters; expected at most {MAX_LENGTH}")
    text = expression.strip()
    for spelling, plain in SPELLINGS.items():
        text = text.replace(spelling, plain)
    if text.count("=") == 1 and not any(sign in text for sign in ("==", "<=", ">=", "!=")):
        text = text.replace("=", "==")
    try:
        return ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError):
        raise CalculationError("it is no arithmetic expression, such as (2 + 3) * 4 / 5") from None


def _value(node: ast.AST) -> Number | bool:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value if value == inf else Fraction(repr(value))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            return -_number(operand) if isinstance(sign, ast.USub) else _number(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_number(left), _number(right))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATIONS:
            return _OPERATIONS[type(sign)](_number(left), _number(right))
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARISONS:
            return _compared(_number(left), sign, _number(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS and arguments:
            return _called(name, [_number(each) for each in arguments])
    raise CalculationError(
        f"it has {ast.unparse(node)}; expected numbers, + - * / // % ^, one comparison, and {', '.join(_FUNCTIONS)}"
    )


def _number(node: ast.AST) -> Number:
    value = _value(node)
    if isinstance(value, bool):
        raise CalculationError("it computes with a comparison; expected one comparison at most")
    return _finite(value)


def _finite(value: Number) -> Number:
    if isinstance(value, float) and not isfinite(value):
        raise OverflowError
    return value


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        if _bits(base) * abs(exponent) > MAX_BITS:
            raise OverflowError
        return Fraction(base ** int(exponent))
    value: float | complex = float(base) ** float(exponent)
    if isinstance(value, complex):
        raise CalculationError("a negative number has no such power")
    return value


def _compared(left: Number, sign: ast.cmpop, right: Number) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        equal = isclose(left, right, rel_tol=1e-9)
        if isinstance(sign, ast.Eq | ast.NotEq):
            return equal is isinstance(sign, ast.Eq)
        if equal:
            return isinstance(sign, ast.LtE | ast.GtE)
    return bool(_COMPARISONS[type(sign)](left, right))


def _called(name: str, values: list[Number]) -> Number:
    try:
        return _FUNCTIONS[name](*values)
    except (TypeError, ValueError):
        listed = ", ".join(map(written, values))
        raise CalculationError(f"{name}({listed}) has no value") from None


def _root(value: Number) -> Number:
    if isinstance(value, Fraction) and value >= 0:
        top, bottom = isqrt(value.numerator), isqrt(value.denominator)
        if top**2 == value.numerator and bottom**2 == value.denominator:
            return Fraction(top, bottom)
    return sqrt(value)


def _of_integers(function: Callable[..., int]) -> Callable[..., Number]:
    def exact(*values: Number) -> Number:
        if not all(isinstance(value, Fraction) and value.denominator == 1 for value in values):
            raise ValueError("expected integers")
        return Fraction(function(*(int(value) for value in values)))

    return exact


_OPERATIONS: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda left, right: Fraction(left // right),
    ast.Mod: operator.mod,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Number, Number], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "sqrt": _root,
    "abs": abs,
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
    "gcd": _of_integers(gcd),
    "lcm": _of_integers(lcm),
}
