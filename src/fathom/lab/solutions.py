"""Solutions of the small world's tasks, one in each row, for judges that see a single solution.

    >>> drawn(1, seed=0)[0].row  # doctest: +SKIP
    {'id': 'solution-0-0', 'prompt': 'compute 37 + 18 - 21', 'response': '37 + 18 = 55\\n55 - 21 = 35', 'label': False}

Tasks have the operands of pretraining, or larger ones (`LARGER`) that pretraining never shows. Larger tasks that are
held out (`is_held_out`) are in no training text of an experiment.

Half of the solutions are right. Each of the others has one slip: a wrong result in the first or in the second step.
Steps after a slip continue from it without another, so every wrong solution ends with a wrong answer.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from fathom.data.records import Comparison
from fathom.judges import Judge
from fathom.judges.mix import MixJudge
from fathom.lab import base, world
from fathom.lab.world import Expression, apply

LARGER = range(50, 70)
"""Operands that pretraining does not show."""
SLIPS = (-10, -3, -2, -1, 1, 2, 3, 10)
"""What a slip adds to the result of its step."""


@dataclass(frozen=True, slots=True)
class Solution:
    id: str
    verb: str
    expression: Expression
    results: tuple[int, int]
    """The results of both steps, as written."""

    @property
    def prompt(self) -> str:
        return f"{self.verb} {self.expression}"

    @property
    def text(self) -> str:
        asked, (middle, value) = self.expression, self.results
        first = f"{asked.first} {asked.op1} {asked.second} = {middle}"
        return f"{first}\n{middle} {asked.op2} {asked.third} = {value}"

    @property
    def slip(self) -> int | None:
        """The step with the slip, 0 or 1; None in a right solution."""
        if self.results[0] != self.expression.middle:
            return 0
        return None if self.results[1] == self.expression.value else 1

    @property
    def right(self) -> str:
        """The text of the right solution of this task."""
        return "\n".join(self.expression.steps)

    @property
    def is_larger(self) -> bool:
        return self.expression.first in LARGER

    @property
    def beside_the_right(self) -> str:
        """The answer beside that of the right solution, in the words of the base model's rationales."""
        says = "right" if self.slip is None else "wrong"
        return f"A {self.results[1]} solution {self.expression.value} {says}"

    @property
    def row(self) -> dict[str, Any]:
        """One row of a source. `fathom.data.reading` reads it as a pointwise comparison with a label."""
        row = {"id": self.id, "prompt": self.prompt, "response": self.text, "label": self.slip is None}
        return {**row, "domain": "correctness"}


def is_held_out(asked: Expression) -> bool:
    """Whether a larger task is kept from all training texts. True for a fifth of them."""
    return crc32(str(asked).encode()) % 5 == 0


def drawn(
    count: int, *, seed: int, prefix: str = "solution", held_out: bool = False, larger: float = 0.0
) -> list[Solution]:
    """Solutions of `count` tasks, every other one right; a pure function of the arguments.

    A share `larger` of the tasks has larger operands. With `held_out`, both steps of every other task have operands
    that no training text shows.
    """
    rng = random.Random(f"{prefix}/{seed}")
    return [_drawn(rng, f"{prefix}-{seed}-{k}", k % 2 == 0, held_out, larger) for k in range(count)]


def _drawn(rng: random.Random, id: str, right: bool, held_out: bool, larger: float) -> Solution:
    verb, is_larger = rng.choice(world.VERBS["correctness"]), larger > 0 and rng.random() < larger
    asked = _larger(rng, held_out) if is_larger else world.expression(rng, held_out=held_out)
    while True:
        results = (asked.middle, asked.value) if right else _slipped(rng, asked)
        if min(results) >= 0:
            return Solution(id, verb, asked, results)


def _larger(rng: random.Random, held_out: bool) -> Expression:
    """A task with larger operands and without negative results."""
    while True:
        first, second, third = (rng.choice(LARGER) for _ in range(3))
        asked = Expression(first, rng.choice(world.OPERATORS), second, rng.choice(world.OPERATORS), third)
        if min(asked.middle, asked.value) >= 0 and is_held_out(asked) == held_out:
            return asked


def _slipped(rng: random.Random, asked: Expression) -> tuple[int, int]:
    by = rng.choice(SLIPS)
    if rng.random() < 0.5:
        return asked.middle, asked.value + by
    return asked.middle + by, apply(asked.op2, asked.middle + by, asked.third)


# The model ------------------------------------------------------------------------------------------------------------


def extended_base(judge: Judge, answers: Mapping[str, str], seed: int, out: Path) -> Path:
    """The shipped base model with tokens for the judge's prompt, and for `answers` like the known words they map to."""
    return base.extended({**phrases(judge), **answers}, seed, out)


def phrases(judge: Judge) -> dict[str, str]:
    """The constant parts of a prompt with one response, each with the token that a known prompt has in its place."""
    before, between, _, after = base.frame(MixJudge(trained=True))
    asked = judge.prompt(Comparison(id="", prompt="<prompt>", responses=("<response>",)))[0]["content"]
    start, rest = asked.split("<prompt>")
    middle, end = rest.split("<response>")
    return {start: before, middle: between, end: after}
