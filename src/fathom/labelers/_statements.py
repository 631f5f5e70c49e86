r"""Statements of a step that a solver can check: equations in arithmetic and algebra, and propositional inferences.

    equations("Each costs $2, so 3 cups \\times \\$2 = \\$6.")           # [Equation("3*2", "6", decimals=0)]
    inferences("A; A -> B |- B")                                    # [Inference(("A", "A -> B"), "B")]

Only what is certain is translated; the rest of a step is ignored. Units and signs of money are dropped, single letters
are variables, and a percentage is a hundredth. A bare number before "=" is no calculation. Neither is a number after
words such as "half of", because they belong to the calculation. A percentage after "=" may or may not be meant as a
hundredth, so it is ignored. The rules were made on ProcessBench's subsets gsm8k and math.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple


class Equation(NamedTuple):
    """Two sides, as expressions of numbers, letters, parentheses and `+ - * / ^`."""

    left: str
    right: str
    decimals: int | None
    """The decimals of a side that is a bare number, to which the other one may be rounded; None without such a side."""


class Inference(NamedTuple):
    assumptions: tuple[str, ...]
    conclusion: str


_REPLACED = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\\(?:text|mathrm|textbf|mathbf|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"((\1)/(\2))"),
        (r"\\boxed\s*\{[^{}]*\}", " ; "),
        (r"\\(?:times|cdot|ast)\b|[×·∗]", "*"),
        (r"\\div\b|÷", "/"),
        (r"[−–]", "-"),
        (r"\\left|\\right|\\[,!; ]|[{}]", " "),
        (r"\\[\[\]()]", " ; "),
        (r"\\?[$€£]", ""),
        (r"\\%", "%"),
        (r"\*\*", " ; "),
        (r"^\s*(?:[-*•]|\d+[.)])\s", " ; "),
        (r"(?<=\d),(?=\d{3}(?!\d))", ""),
        (r"(?<=[\d)%])\s*[xX]\s*(?=[\d(])", "*"),
        (r"\([^()\d=]*[A-Za-z]{2,}[^()\d=]*\)", " "),
        (r"/\s*[A-Za-z]{2,}", " "),
    )
)
_TOKEN = re.compile(
    r"(?P<ordinal>\d+(?:st|nd|rd|th)\b)|(?P<number>\d+(?:\.\d+)?|\.\d+)(?P<percent>\s*%)?|(?P<word>[A-Za-z]{2,})|(?P<letter>[A-Za-z])"
    r"|(?P<command>\\[A-Za-z]+|(?:\.\.\.|\s*≈))|(?P<operator>[-+*/^=()])|(?P<space>\s+)|(?P<other>.)",
    re.DOTALL,
)
_OPERAND_WORDS = frozenset(
    {
        "of",
        "twice",
        "double",
        "triple",
        "half",
        "third",
        "quarter",
        "times",
        "plus",
        "minus",
        "and",
        "by",
        "from",
        "than",
        "to",
        "less",
        "more",
        "divided",
        "multiplied",
    }
)
"""Words after which a number is only a part of what is calculated."""
_REMAINDERS = frozenset({"remainder", "with", "mod"})
"""Words after which a number is a quotient, or only equal modulo another number."""
_PERCENTAGE = re.compile(r"\(\S+/100\)")
_BARE = re.compile(r"-?\(?(\d+(?:\.(\d+))?|\.(\d+))\)?")


class _Token(NamedTuple):
    kind: str
    text: str


def equations(text: str) -> list[Equation]:
    """The equations of a text, in order. "a = b = c" gives two."""
    found = []
    for run in _runs(_tokens(text)):
        sides = [_side(side) for side in _split(run.tokens)]
        if run.before in _OPERAND_WORDS or run.before.startswith("\\"):
            sides[0] = None
        if run.after.startswith(("\\", "...", "≈")) or run.after in _REMAINDERS:
            sides[-1] = None
        for left, right in pairwise(sides):
            if left and right and not (_BARE.fullmatch(left) or _PERCENTAGE.fullmatch(right) or left == right):
                found.append(Equation(left, right, _decimals(right)))
    return found


def inferences(text: str) -> list[Inference]:
    """The lines of the form "assumption; assumption |- conclusion", with "|-" or "⊢"."""
    found = []
    for line in text.splitlines():
        before, mark, after = line.replace("⊢", "|-").partition("|-")
        if mark and after.strip():
            assumptions = tuple(part.strip() for part in re.split("[;,]", before) if part.strip())
            found.append(Inference(assumptions, after.strip(" .")))
    return found


def _tokens(text: str) -> list[_Token]:
    for pattern, by in _REPLACED:
        before = None
        while before != text:  # nested fractions
            before, text = text, pattern.sub(by, text)
            if "frac" not in pattern.pattern:
                break
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if match["number"]:
            tokens.append(_Token("number", f"({match['number']}/100)" if match["percent"] else match["number"]))
        elif kind != "space":
            tokens.append(_Token(kind, match[0]))
    return tokens


class _Run(NamedTuple):
    """Tokens that may form equations, and the texts of the tokens around them."""

    tokens: Sequence[_Token]
    before: str
    after: str


def _runs(tokens: Sequence[_Token]) -> Iterator[_Run]:
    """Sequences of tokens that may form equations, without units."""
    run: list[_Token] = []
    before = ""
    for place, token in enumerate((*tokens, _Token("other", ""))):
        if token.kind in ("number", "letter", "operator"):
            run.append(token)
        elif not (token.kind == "word" and _is_unit(tokens, place)):
            if run:
                yield _Run(run, before, token.text.strip().lower())
            run, before = [], token.text.strip().lower()


def _is_unit(tokens: Sequence[_Token], place: int) -> bool:
    """Whether a word stands between a number or ")" and an operator, perhaps with other words."""
    first = place
    while first and tokens[first - 1].kind == "word":
        first -= 1
    after = next((token for token in tokens[place:] if token.kind != "word"), None)
    counted = first > 0 and (tokens[first - 1].kind == "number" or tokens[first - 1].text == ")")
    words = {token.text.lower() for token in tokens[first : place + 1]}
    return counted and after is not None and after.text in set("+-*/=)") and not words & _OPERAND_WORDS


def _split(run: Sequence[_Token]) -> list[list[_Token]]:
    sides: list[list[_Token]] = [[]]
    for token in run:
        if token.text == "=":
            sides.append([])
        else:
            sides[-1].append(token)
    return sides


def _side(tokens: Sequence[_Token]) -> str | None:
    """The expression of these tokens; None unless they are one."""
    text = ""
    for before, token in zip((_Token("operator", ""), *tokens), tokens, strict=False):
        ends = before.kind in ("number", "letter") or before.text == ")"
        begins = token.kind in ("number", "letter") or token.text == "("
        if ends and begins:
            if token.kind == "number" or (before.kind == "letter" and token.text == "("):
                return None  # "5 6" is no product, and f(x) is a function
            text += "*"
        text += token.text
    balanced = text.count("(") == text.count(")")
    return text if text and balanced and text[-1] not in "+-*/^" and text[0] not in "+*/^" else None


def _decimals(text: str) -> int | None:
    match = _BARE.fullmatch(text)
    return None if match is None else len(match[2] or match[3] or "")
