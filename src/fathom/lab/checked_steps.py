"""Steps that multiply and add modulo 11, for judges that write before they judge.

    steps = solution(random.Random(0), 3, held_out=False)
    steps[0].text                       # "take 3 * 4 + 5 = 6"; right, because 3 * 4 = 1 and 1 + 5 = 6
    comparison("s", steps).label.steps  # ((1.0, ...),)

A step multiplies the value before it by a factor and adds a summand. Whether it is right takes two operations, each of
which is a small table; the combination of both is a large one, and a fifth of it (`is_held_out`) is in no training
text. The next step continues from the written value, right or wrong.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from fathom.data.records import Comparison, Label

MODULUS = 11
FACTORS = range(2, 6)
SUMMANDS = range(1, MODULUS)
WRONG = 0.3
"""The share of wrong steps."""
PROMPT = "Each step multiplies and adds modulo 11."
_STEP = re.compile(r"take (\d+) \* (\d+) \+ (\d+) = (\d+)")


class Step(NamedTuple):
    before: int
    factor: int
    summand: int
    value: int
    """The written value."""

    @property
    def product(self) -> int:
        return self.before * self.factor % MODULUS

    @property
    def result(self) -> int:
        """The right value."""
        return (self.product + self.summand) % MODULUS

    @property
    def is_right(self) -> bool:
        return self.value == self.result

    @property
    def text(self) -> str:
        return f"take {self.before} * {self.factor} + {self.summand} = {self.value}"


def is_held_out(before: int, factor: int, summand: int) -> bool:
    """Whether the operands are in no training text. True for a fifth of them."""
    return crc32(f"{before} * {factor} + {summand}".encode()) % 5 == 0


def solution(rng: random.Random, count: int, *, held_out: bool) -> tuple[Step, ...]:
    """Steps of which each is wrong with the probability `WRONG`, and begins with the value of the one before."""
    steps: list[Step] = []
    before = rng.randrange(MODULUS)
    while len(steps) < count:
        factor, summand = rng.choice(FACTORS), rng.choice(SUMMANDS)
        if is_held_out(before, factor, summand) == held_out:
            steps.append(_step(rng, before, factor, summand))
            before = steps[-1].value
    return tuple(steps)


def _step(rng: random.Random, before: int, factor: int, summand: int) -> Step:
    right = Step(before, factor, summand, (before * factor + summand) % MODULUS)
    if rng.random() >= WRONG:
        return right
    return right._replace(value=rng.choice([value for value in range(MODULUS) if value != right.value]))


def read(text: str) -> Step:
    """The last step in a text. Raises ValueError if there is none."""
    found = _STEP.findall(text)
    if not found:
        raise ValueError(f"no step in {text!r}")
    return Step(*map(int, found[-1]))


def first_error(steps: Sequence[Step]) -> int | None:
    return next((place for place, step in enumerate(steps) if not step.is_right), None)


def comparison(id: str, steps: Sequence[Step]) -> Comparison:
    """A solution with the label of each step. Steps after a wrong one are right if they follow from it."""
    texts = tuple(step.text for step in steps)
    return Comparison(
        id=id,
        prompt=PROMPT,
        responses=("\n\n".join(texts),),
        steps=(texts,),
        label=Label(steps=(tuple(float(step.is_right) for step in steps),)),
        domain="correctness",
    )


def solutions(count: int, steps: int, *, seed: int, name: str, held_out: bool) -> list[tuple[Step, ...]]:
    rng = random.Random(f"checked-steps/{name}/{seed}")
    return [solution(rng, steps, held_out=held_out) for _ in range(count)]
