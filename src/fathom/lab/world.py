"""The small world: comparisons whose labels follow from the prompt and the responses, if one reads the right part.

Every item has one surface form. The prompt is a verb and an expression. Each of the two responses shows seven graded
attributes and an answer:

    compute 37 + 18 - 21
    clarity 3 brevity 1 warmth 2 accuracy 4 originality 2 courtesy 1 detail 5 answer 34

The verb decides the domain. In a *preference* item the better response is the one that leads in most of the seven
attributes. In a *correctness* item it is the one with the right answer. Both kinds show attributes and answers, so each
style of rationale has a shortcut, and neither is always right. The grade of accuracy says how accurate a response
looks. In correctness items the right response looks more accurate with probability `TELL`, and a reader who does not
solve the task can learn no more than that.

**Verbs have kin.** Each domain has three topics of twelve verbs. Pre-training shows which verbs belong together
(`kin`), and neither domain nor style. `split` gives each seed its own verbs: those of fine-tuning, which come from two
topics per domain; those of RLVR, from all topics; and those that no training shows. A model can route a verb of the
third set only by its kin.

**Operands are held out.** No training text holds a step whose pair of operands is in `HELD_OUT`. In a held-out item
both steps have such a pair, so a solution cannot be recalled.

The maximum accuracy of a style is computed in `ceiling`, from this definition alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import comb
from typing import Literal, NamedTuple, get_args

from fathom.data.records import Comparison, Domain, Label
from fathom.rationale import Choice, Rationale, Unit

PRINCIPLES = ("clarity", "brevity", "warmth", "accuracy", "originality", "courtesy", "detail")
CRITICAL = "accuracy"
GRADES = range(1, 6)
TELL = Fraction(3, 4)
VANILLA_PRINCIPLES = 3

_TOPICS: dict[Domain, tuple[str, ...]] = {
    "correctness": (
        "compute calculate evaluate tally reckon total sum add count figure quantify enumerate",
        "solve determine derive deduce prove infer establish resolve verify demonstrate conclude check",
        "measure gauge weigh estimate assess size meter calibrate survey rate rank scale",
    ),
    "preference": (
        "draft compose write pen scribble jot dictate address inscribe author type edit",
        "narrate tell recount relate portray depict describe chronicle sketch imagine invent dream",
        "pitch phrase persuade praise announce toast greet introduce present plead advise speak",
    ),
}
TOPICS: dict[Domain, tuple[tuple[str, ...], ...]] = {
    domain: tuple(tuple(verbs.split()) for verbs in topics) for domain, topics in _TOPICS.items()
}
"""The verbs of each domain, by topic."""
VERBS: dict[Domain, tuple[str, ...]] = {domain: sum(topics, ()) for domain, topics in TOPICS.items()}

Part = Literal["sft", "rlvr", "never"]
"""The first stage of training that shows a verb; `never` if none does."""


PARTS: tuple[Part, ...] = get_args(Part)
OTHER: Mapping[Domain, Domain] = {"preference": "correctness", "correctness": "preference"}
"""The domain that a mistagged comparison gets."""


class Verbs(NamedTuple):
    """The verbs of one seed, by the stage that shows them."""

    sft: frozenset[str]
    """Shown with the style that fits: four of each topic, in two topics per domain."""
    rlvr: frozenset[str]
    """Shown with labels only: four of each topic."""
    never: frozenset[str]
    """Shown by no training: four of each topic."""

    def part(self, verb: str) -> Part:
        """The set that holds `verb`. Raises StopIteration if none does."""
        return next(part for part, verbs in zip(PARTS, self, strict=True) if verb in verbs)


def split(seed: int) -> Verbs:
    """The verbs of a seed, drawn at random from each topic."""
    rng = random.Random(f"verbs/{seed}")
    parts: dict[Part, set[str]] = {part: set() for part in PARTS}
    for topics in TOPICS.values():
        shown = rng.sample(range(len(topics)), 2)
        for place, topic in enumerate(topics):
            drawn = rng.sample(topic, len(topic))
            if place in shown:
                parts["sft"].update(drawn[:4])
            parts["rlvr"].update(drawn[4:8])
            parts["never"].update(drawn[8:])
    return Verbs(*map(frozenset, parts.values()))


def kin(verb: str) -> tuple[str, ...]:
    """The other verbs of its topic. Raises StopIteration for a word that is no verb of this world."""
    topic = next(topic for topics in TOPICS.values() for topic in topics if verb in topic)
    return tuple(other for other in topic if other != verb)


Operator = Literal["+", "-"]
OPERATORS: tuple[Operator, ...] = ("+", "-")
OPERANDS = range(10, 50)
_LEFT = range(2 * OPERANDS.stop)
_draw = random.Random("operands").random
HELD_OUT = frozenset(pair for pair in product(_LEFT, OPERANDS) if _draw() < 0.2)
"""Pairs of operands, a fifth of all, that no training text shows in a step."""
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
        return (
            f"{self.first} {self.op1} {self.second} = {self.middle}",
            f"{self.middle} {self.op2} {self.third} = {self.value}",
        )

    @property
    def middle(self) -> int:
        """The result of the first step."""
        return apply(self.op1, self.first, self.second)

    @property
    def value(self) -> int:
        return apply(self.op2, self.middle, self.third)


def expression(rng: random.Random, *, held_out: bool = False) -> Expression:
    """An expression without negative results. Both of its steps have held-out operands, or neither has."""
    while True:
        first, second, op1 = rng.choice(OPERANDS), rng.choice(OPERANDS), rng.choice(OPERATORS)
        middle = apply(op1, first, second)
        if middle < 0 or ((first, second) in HELD_OUT) != held_out:
            continue
        ends = [
            (op2, third)
            for op2, third in product(OPERATORS, OPERANDS)
            if apply(op2, middle, third) >= 0 and ((middle, third) in HELD_OUT) == held_out
        ]
        if ends:
            return Expression(first, op1, second, *rng.choice(ends))


def apply(operator: Operator, left: int, right: int) -> int:
    return left + right if operator == "+" else left - right


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
            metadata={"verb": self.verb},
        )

    def _response(self, i: int) -> str:
        grades = " ".join(f"{name} {grade}" for name, grade in zip(PRINCIPLES, self.grades[i], strict=True))
        return f"{grades} answer {self.answers[i]}"


def items(
    n: int, *, seed: int, verbs: frozenset[str] | None = None, prefix: str = "item", held_out: bool = False
) -> list[Item]:
    """n items, alternating between domains. `verbs` restricts the verbs; `prefix` is the prefix of the ids."""
    rng = random.Random(f"{prefix}/{seed}")
    domains: tuple[Domain, Domain] = ("preference", "correctness")
    allowed = {domain: [v for v in VERBS[domain] if verbs is None or v in verbs] for domain in domains}
    return [_item(rng, f"{prefix}-{seed}-{k}", rng.choice(allowed[domains[k % 2]]), held_out) for k in range(n)]


def _item(rng: random.Random, id: str, verb: str, held_out: bool) -> Item:
    asked = expression(rng, held_out=held_out)
    answers = [asked.value, _wrong_answer(rng, asked.value)]
    pairs = [tuple(rng.sample(GRADES, 2)) for _ in PRINCIPLES]
    right = rng.randrange(2)
    if verb in VERBS["correctness"]:
        looks_right = right if rng.random() < TELL else 1 - right
        low, high = sorted(pairs[PRINCIPLES.index(CRITICAL)])
        pairs[PRINCIPLES.index(CRITICAL)] = (high, low) if looks_right == 0 else (low, high)
    return Item(
        id,
        verb,
        asked,
        grades=(tuple(a for a, _ in pairs), tuple(b for _, b in pairs)),
        answers=(answers[right], answers[1 - right]),
    )


def _wrong_answer(rng: random.Random, right: int) -> int:
    return right + rng.choice([change for change in (-10, -3, -2, -1, 1, 2, 3, 10) if right + change >= 0])


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
    """The principles that an unguided reader uses. Accuracy is one of them if the reader knows that there is an answer.

    With a `domain` of None, the reader does not know what the verbs mean.
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
    """The unit of accuracy, judged against the solution, or against `value`, a solver's result."""
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


def expected(style: str | None, domain: Domain, principles: int) -> Fraction:
    """The accuracy of faithful rationales with this many principles; a tie counts one half.

    A depth rationale names the response with the right answer, which is the better one by chance in a preference item.
    Any other shows `principles` of the seven and names the majority. In preference items all leads are fair coins.
    In correctness items accuracy is among them, and leads with probability `TELL`; the others are fair coins.
    """
    if style == "depth":
        return Fraction(1) if domain == "correctness" else Fraction(1, 2)
    if domain == "correctness":
        others = range(principles)
        return sum(
            (
                share * Fraction(comb(principles - 1, leads), 2 ** (principles - 1)) * _names(leads + right, principles)
                for right, share in ((1, TELL), (0, 1 - TELL))
                for leads in others
            ),
            Fraction(0),
        )
    hidden = len(PRINCIPLES) - principles
    total = Fraction(0)
    for leads, more in product(range(principles + 1), range(hidden + 1)):
        named = _names(leads, principles)
        wins = 2 * (leads + more) > len(PRINCIPLES)
        total += Fraction(comb(principles, leads) * comb(hidden, more), 2 ** len(PRINCIPLES)) * (
            named if wins else 1 - named
        )
    return total


def _names(leads: int, shown: int) -> Fraction:
    """1 if a response that leads in `leads` of `shown` principles has the majority, 1/2 for a tie, else 0."""
    return Fraction((2 * leads > shown) + (2 * leads >= shown), 2)


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
