"""The small world: comparisons whose labels follow from what stands on the page, if one looks at the right part of it.

Every item has one surface form. The prompt is a verb and an expression; each of the two responses shows seven graded
attributes and an answer:

    compute 7 * 8 - 9
    clarity 3 brevity 1 warmth 2 accuracy 4 originality 2 courtesy 1 detail 5 answer 47

The verb decides the domain. In a *preference* item the better response is the one that leads in most of the seven
attributes. In a *correctness* item it is the one whose answer is right. Attributes and answers stand in both, so each
way of judging has its own shortcut, and neither is always right. The grade of accuracy is how accurate a response
looks: in correctness items the right response looks the more accurate one with probability `TELL`, as fluent answers
do, and that is all a reader learns who does not solve the task.

What a style of rationale can know at best is computed in `ceiling`, from this definition and nothing measured.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import comb
from typing import Literal

from fathom.data.records import Comparison, Domain, Label
from fathom.rationale import Choice, Rationale, Unit

PRINCIPLES = ("clarity", "brevity", "warmth", "accuracy", "originality", "courtesy", "detail")
CRITICAL = "accuracy"
GRADES = range(1, 6)
TELL = Fraction(3, 4)
VANILLA_PRINCIPLES = 3

VERBS: dict[Domain, tuple[str, ...]] = {
    "correctness": ("compute", "evaluate", "calculate", "solve", "determine", "derive", "tally", "reckon"),
    "preference": ("draft", "compose", "write", "sketch", "describe", "narrate", "phrase", "pitch"),
}
SEEN_VERBS = frozenset(verb for verbs in VERBS.values() for verb in verbs[:2])
"""The verbs of fine-tuning, with the style that fits."""
UNSEEN_VERBS = frozenset(verb for verbs in VERBS.values() for verb in verbs[2:4])
"""Verbs of RLVR but not of fine-tuning: no example shows which style fits. Other verbs occur in pre-training only."""

Operator = Literal["+", "-", "*"]
Style = Literal["vanilla", "breadth", "depth"]


@dataclass(frozen=True, slots=True)
class Expression:
    """`first op1 second op2 third`, worked from left to right."""

    first: int
    op1: Operator
    second: int
    op2: Operator
    third: int

    def __str__(self) -> str:
        return f"{self.first} {self.op1} {self.second} {self.op2} {self.third}"

    @property
    def steps(self) -> tuple[str, str]:
        """The solution, one step per line."""
        middle = apply(self.op1, self.first, self.second)
        return (
            f"{self.first} {self.op1} {self.second} = {middle}",
            f"{middle} {self.op2} {self.third} = {self.value}",
        )

    @property
    def value(self) -> int:
        return apply(self.op2, apply(self.op1, self.first, self.second), self.third)


EXPRESSIONS = tuple(
    Expression(a, op1, b, op2, c)  # type: ignore[arg-type]
    for a, op1, b, op2, c in product(range(1, 10), "+-*", range(1, 10), "+-", range(1, 10))
)


def apply(operator: Operator, left: int, right: int) -> int:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right


@dataclass(frozen=True, slots=True)
class Item:
    """One comparison with its ground truth. `grades[i]` are those of response i, in the order of `PRINCIPLES`."""

    id: str
    verb: str
    expression: Expression
    grades: tuple[tuple[int, ...], tuple[int, ...]]
    answers: tuple[int, int]

    @property
    def domain(self) -> Domain:
        return "correctness" if self.verb in VERBS["correctness"] else "preference"

    @property
    def winner(self) -> int:
        if self.domain == "correctness":
            return self.answers.index(self.expression.value)
        return 0 if sum(a > b for a, b in zip(*self.grades, strict=True)) * 2 > len(PRINCIPLES) else 1

    @property
    def comparison(self) -> Comparison:
        return Comparison(
            id=self.id,
            prompt=f"{self.verb} {self.expression}",
            responses=(self._response(0), self._response(1)),
            label=Label(best=self.winner),
            domain=self.domain,
            metadata={"verb": self.verb, "seen": self.verb in SEEN_VERBS},
        )

    def _response(self, i: int) -> str:
        grades = " ".join(f"{name} {grade}" for name, grade in zip(PRINCIPLES, self.grades[i], strict=True))
        return f"{grades} answer {self.answers[i]}"


def items(n: int, *, seed: int, verbs: frozenset[str] | None = None, prefix: str = "item") -> list[Item]:
    """n items, alternating between domains. `verbs` restricts the verbs; `prefix` is the prefix of the ids."""
    rng = random.Random(f"{prefix}/{seed}")
    domains: tuple[Domain, Domain] = ("preference", "correctness")
    allowed = {domain: [v for v in VERBS[domain] if verbs is None or v in verbs] for domain in domains}
    return [_item(rng, f"{prefix}-{seed}-{k}", rng.choice(allowed[domains[k % 2]])) for k in range(n)]


def _item(rng: random.Random, id: str, verb: str) -> Item:
    expression = rng.choice(EXPRESSIONS)
    answers = [expression.value, _wrong_answer(rng, expression.value)]
    pairs = [tuple(rng.sample(GRADES, 2)) for _ in PRINCIPLES]
    right = rng.randrange(2)
    if verb in VERBS["correctness"]:
        looks_right = right if rng.random() < TELL else 1 - right
        low, high = sorted(pairs[PRINCIPLES.index(CRITICAL)])
        pairs[PRINCIPLES.index(CRITICAL)] = (high, low) if looks_right == 0 else (low, high)
    return Item(
        id,
        verb,
        expression,
        grades=(tuple(a for a, _ in pairs), tuple(b for _, b in pairs)),
        answers=(answers[right], answers[1 - right]),
    )


def _wrong_answer(rng: random.Random, right: int) -> int:
    return right + rng.choice((-10, -3, -2, -1, 1, 2, 3, 10))


# What can be written about an item ------------------------------------------------------------------------------------


def rationale(item: Item, style: Style, rng: random.Random) -> Rationale:
    """A faithful rationale: its verdict follows from its own text, right or wrong."""
    match style:
        case "depth":
            unit = solved_unit(item)
            return Rationale((unit,), "\n".join(item.expression.steps), unit.sub_verdict)  # type: ignore[arg-type]
        case "breadth":
            return at_sight(item, PRINCIPLES)
        case "vanilla":
            return at_sight(item, noticed(item.domain, rng))


def noticed(domain: Domain | None, rng: random.Random) -> list[str]:
    """The principles an unguided reader thinks of; accuracy is one of them where the reader knows there is an answer.

    A `domain` of None is a reader who does not know what the verbs mean.
    """
    if domain != "correctness":
        return rng.sample(PRINCIPLES, VANILLA_PRINCIPLES)
    others = [name for name in PRINCIPLES if name != CRITICAL]
    return [CRITICAL, *rng.sample(others, VANILLA_PRINCIPLES - 1)]


def at_sight(item: Item, principles: Iterable[str]) -> Rationale:
    """The units of some principles, in the order of the prompt, and the verdict of their majority."""
    units = tuple(unit_at_sight(item, name) for name in sorted(principles, key=PRINCIPLES.index))
    return Rationale(units, verdict=majority(units))


def unit_at_sight(item: Item, principle: str) -> Unit:
    """The unit of a principle: the grades in the prompt."""
    a, b = (grades[PRINCIPLES.index(principle)] for grades in item.grades)
    return Unit(principle, judgment=f"A {a} B {b}", sub_verdict="A" if a > b else "B")


def solved_unit(item: Item, value: int | None = None) -> Unit:
    """The unit of accuracy, judged against the solution, or against `value` if a solver arrived at it."""
    value = item.expression.value if value is None else value
    agrees = [answer == value for answer in item.answers]
    checks = [
        f"{name} {answer} solution {value} {'right' if right else 'wrong'}"
        for name, answer, right in zip("AB", item.answers, agrees, strict=True)
    ]
    sub_verdict: Choice | None = "AB"[agrees.index(True)] if any(agrees) else None  # type: ignore[assignment]
    return Unit(CRITICAL, judgment=" ".join(checks), sub_verdict=sub_verdict)  # type: ignore[arg-type]


def majority(units: tuple[Unit, ...]) -> Choice:
    """The majority of the sub-verdicts."""
    a, b = (sum(unit.sub_verdict == side for unit in units) for side in "AB")
    return "tie" if a == b else "A" if a > b else "B"


# What can be known ----------------------------------------------------------------------------------------------------


def ceiling(style: Style, domain: Domain) -> Fraction:
    """The maximum accuracy of any reader who knows only what a rationale of this style shows.

    Exact: the sum over all outcomes of what is shown, each decided for the likelier winner. `vanilla` shows
    `VANILLA_PRINCIPLES` principles; which ones does not matter in preference items, by symmetry, and includes
    accuracy in correctness items.
    """
    if style == "depth":
        return Fraction(1) if domain == "correctness" else Fraction(1, 2)
    shown = len(PRINCIPLES) if style == "breadth" else VANILLA_PRINCIPLES
    return TELL if domain == "correctness" else _majority_ceiling(shown)


def _majority_ceiling(shown: int) -> Fraction:
    """Probability of naming the majority of all principles from `shown` of them, whose leaders are fair coins."""
    hidden = len(PRINCIPLES) - shown
    total = Fraction(0)
    for leads in range(shown + 1):
        a_wins = sum(comb(hidden, more) for more in range(hidden + 1) if 2 * (leads + more) > len(PRINCIPLES))
        total += Fraction(comb(shown, leads) * max(a_wins, 2**hidden - a_wins), 2 ** len(PRINCIPLES))
    return total
