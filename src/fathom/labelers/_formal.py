"""Checks the statements of a solution's steps with the solver Z3.

    verdicts(["3 * 2 = 6", "Let x + 2 = 6.", "So x = 4.", "4 + 1 = 6"])     # ("right", "undecided", "right", "wrong")

An equation of numbers is right or wrong by itself. One with variables is right if it follows from earlier ones.
Otherwise it is undecided, because it states something new, and later ones may use it. If it contradicts earlier ones, a
letter usually has a new meaning, as in "case 2: x = 3", so the earlier ones are forgotten. With `variables`, it is
wrong: for texts in which a letter has one meaning. An inference is right if its conclusion follows from its
assumptions, and otherwise wrong.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from fractions import Fraction
from typing import Any

from fathom.errors import require
from fathom.labelers._statements import Equation, Inference, equations, inferences

SECONDS = 1.0
"""Time for one question to the solver; without an answer, a statement is undecided."""
MAX_CHARACTERS = 300
MAX_EXPONENT = 10


class Verdict(StrEnum):
    """What a solver says about a step."""

    RIGHT = "right"
    """All its statements follow."""
    WRONG = "wrong"
    """Some statement contradicts earlier ones, or does not follow from its assumptions."""
    UNDECIDED = "undecided"
    """It states something new, or the solver has no answer in time."""
    UNTRANSLATED = "untranslated"
    """It has no statement that can be translated."""


class UntranslatableError(Exception):
    """A text that is no formula."""


def verdicts(steps: Iterable[str], *, variables: bool = False) -> tuple[Verdict, ...]:
    """The verdict on each step. `variables`: whether a contradiction between equations with variables is an error.

    Raises FathomError if z3-solver is not installed.
    """
    solver = _Solver(variables=variables)
    return tuple(_verdict(list(solver.outcomes(step))) for step in steps)


def _verdict(outcomes: Sequence[Verdict]) -> Verdict:
    if Verdict.WRONG in outcomes:
        return Verdict.WRONG
    if not outcomes:
        return Verdict.UNTRANSLATED
    return Verdict.RIGHT if set(outcomes) == {Verdict.RIGHT} else Verdict.UNDECIDED


class _Solver:
    """Z3 with the equations of the steps so far."""

    def __init__(self, *, variables: bool) -> None:
        self._variables = variables
        self._z3 = require("z3", "formal")
        self._known: list[Any] = []

    def outcomes(self, step: str) -> Iterable[Verdict]:
        """The verdict on each statement of a step that can be translated."""
        statements: list[Equation | Inference] = [*equations(step), *inferences(step)]
        for statement in statements:
            with suppress(UntranslatableError):
                yield self._equation(statement) if isinstance(statement, Equation) else self._inference(statement)

    def _equation(self, equation: Equation) -> Verdict:
        claim, letters = self._claim(equation)
        if self._follows(self._known, claim):
            return Verdict.RIGHT
        if self._follows(self._known, self._z3.Not(claim)):
            if self._variables or not letters:
                return Verdict.WRONG
            self._known.clear()
        if letters:
            self._known.append(claim)
        return Verdict.UNDECIDED

    def _claim(self, equation: Equation) -> tuple[Any, bool]:
        """The equation as a formula, and whether it has variables. A decimal may be rounded."""
        sides = [_formula(text.replace("^", "**"), self._number, self._z3.Real) for text in equation[:2]]
        has_letters = any(character.isalpha() for text in equation[:2] for character in text)
        if not equation.decimals or has_letters:
            return sides[0] == sides[1], has_letters
        margin = self._z3.Q(1, 2 * 10**equation.decimals)
        return self._z3.And(sides[0] - sides[1] <= margin, sides[1] - sides[0] <= margin), False

    def _inference(self, inference: Inference) -> Verdict:
        parts = [_proposition(text, self._z3) for text in (*inference.assumptions, inference.conclusion)]
        return Verdict.RIGHT if self._follows(parts[:-1], parts[-1]) else Verdict.WRONG

    def _follows(self, assumptions: Sequence[Any], claim: Any) -> bool:
        solver = self._z3.Solver()
        solver.set("timeout", int(1000 * SECONDS))
        solver.add(*assumptions, self._z3.Not(claim))
        return bool(solver.check() == self._z3.unsat)

    def _number(self, text: str) -> Any:
        value = Fraction(text)
        return self._z3.Q(value.numerator, value.denominator)


# Formulas -------------------------------------------------------------------------------------------------------------
# Python's parser reads both languages, because their operators have the same precedence as Python's. Nothing is run.

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def _formula(text: str, number: Callable[[str], Any], name: Callable[[str], Any]) -> Any:
    """An arithmetic expression. Raises UntranslatableError for anything else, and for a division by zero."""

    def of(node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return number(ast.get_source_segment(text, node) or "")
            case ast.Name():
                return name(node.id)
            case ast.UnaryOp(op=ast.USub()):
                return -of(node.operand)
            case ast.BinOp(op=ast.Div()):
                return of(node.left) / _divisor(of(node.right))
            case ast.BinOp(op=ast.Pow(), right=ast.Constant(value=int(exponent))) if 0 <= exponent <= MAX_EXPONENT:
                return _power(of(node.left), exponent, number("1"))
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                return _ARITHMETIC[type(node.op)](of(node.left), of(node.right))
        raise UntranslatableError(text)

    return of(_parsed(text))


def _power(base: Any, exponent: int, one: Any) -> Any:
    result = one
    for _ in range(exponent):
        result = result * base
    return result


def _divisor(value: Any) -> Any:
    import z3

    if z3.is_rational_value(simple := z3.simplify(value)) and simple.as_fraction() == 0:
        raise UntranslatableError("a division by zero")
    return value


_LOGICAL = (("<->", "=="), ("↔", "=="), ("->", "<="), ("→", "<="), ("¬", "~"), ("∧", "&"), ("∨", "|"))


def _proposition(text: str, z3: Any) -> Any:
    """A propositional formula. Implications associate to the right. Raises UntranslatableError for anything else."""
    for sign, pythons in _LOGICAL:
        text = text.replace(sign, pythons)

    def of(node: ast.expr) -> Any:
        match node:
            case ast.Name():
                return z3.Bool(node.id)
            case ast.UnaryOp(op=ast.Invert() | ast.Not()):
                return z3.Not(of(node.operand))
            case ast.BinOp(op=ast.BitAnd()):
                return z3.And(of(node.left), of(node.right))
            case ast.BinOp(op=ast.BitOr()):
                return z3.Or(of(node.left), of(node.right))
            case ast.Compare():
                return joined([of(each) for each in (node.left, *node.comparators)], node.ops)
        raise UntranslatableError(text)

    def joined(parts: Sequence[Any], signs: Sequence[ast.cmpop]) -> Any:
        if not signs:
            return parts[0]
        rest = joined(parts[1:], signs[1:])
        if isinstance(signs[0], ast.LtE):
            return z3.Implies(parts[0], rest)
        if isinstance(signs[0], ast.Eq):
            return parts[0] == rest
        raise UntranslatableError(text)

    return of(_parsed(text))


def _parsed(text: str) -> ast.expr:
    if len(text) > MAX_CHARACTERS:
        raise UntranslatableError(text)
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UntranslatableError(text) from None
