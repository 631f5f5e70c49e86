"""Chains of arithmetic modulo 7 on two registers: solutions whose steps and chances of success are known exactly.

    problem = problems(1, seed=0, steps=8)[0]
    values = problem.sampled(random.Random(0))          # what the policy writes, one value per step
    problem.first_error(values), problem.success(values[:3])

Each step applies an operation to one of two registers, and the answer is the value of both at the end: 49 answers, so
that few wrong solutions end right. The policy writes a wrong value with a probability that differs between problems,
and has a misconception: it often adds 3 where it should multiply by 3. It then continues from what is written.
The chance of success after any prefix follows by dynamic programming, and `KnownRollouts` draws rollouts from it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fathom.data.records import Comparison, Label
from fathom.engines import Sampling
from fathom.engines.scripted import no_calls
from fathom.engines.usage import Usage
from fathom.labelers import Cost, Estimate, Rollout, Rollouts, RolloutStatus, Solution

MODULUS = 7
REGISTERS = "AB"
SIGNS = "+*"
CONSTANTS = (2, 3, 4)
ERRORS = (0.01, 0.05, 0.15, 0.3)
"""The error rates of the policy, one per problem."""
MISCONCEIVED = 3
"""The factor that the policy adds instead, with the probability `MISCONCEPTION`."""
MISCONCEPTION = 0.25
_STEP = re.compile(r"([AB]) [+*] \d = (\d)")

Array = npt.NDArray[np.float64]


class Operation(NamedTuple):
    register: str
    sign: str
    constant: int

    def __call__(self, value: int) -> int:
        return {"+": value + self.constant, "-": value - self.constant, "*": value * self.constant}[self.sign] % MODULUS

    @property
    def is_misconceived(self) -> bool:
        return self.sign == "*" and self.constant == MISCONCEIVED

    def written(self, error: float, misconception: float = MISCONCEPTION) -> Array:
        """The probability of each written value (column), given the register's value (row). Shape (7, 7)."""
        chances = np.full((MODULUS, MODULUS), error / (MODULUS - 1))
        for value in range(MODULUS):
            chances[value, self(value)] = 1 - error
        if self.is_misconceived:
            chances *= 1 - misconception
            for value in range(MODULUS):
                chances[value, (value + self.constant) % MODULUS] += misconception
        return chances


class Problem:
    """Operations on two registers that begin at 1. Solutions are sequences of written values, one per step."""

    def __init__(
        self, id: str, operations: Sequence[Operation], error: float, misconception: float = MISCONCEPTION
    ) -> None:
        self.id = id
        self.operations = tuple(operations)
        self.error = error
        self.misconception = misconception

    @property
    def prompt(self) -> str:
        listed = ", ".join(f"{each.register} {each.sign} {each.constant}" for each in self.operations)
        return f"{self.id}: begin with A = B = 1, and compute modulo 7: {listed}"

    @cached_property
    def answer(self) -> tuple[int, ...]:
        values: list[int] = []
        for step in range(len(self.operations)):
            values.append(self.operations[step](self.before(values, step)))
        return self.final(values)

    def before(self, values: Sequence[int], step: int) -> int:
        """The value of the register of a step before that step, as written."""
        register = self.operations[step].register
        return next((values[k] for k in range(step - 1, -1, -1) if self.operations[k].register == register), 1)

    def final(self, values: Sequence[int]) -> tuple[int, ...]:
        """The value of each register after these steps."""
        state = dict.fromkeys(REGISTERS, 1)
        state.update({self.operations[step].register: value for step, value in enumerate(values)})
        return tuple(state.values())

    def first_error(self, values: Sequence[int]) -> int | None:
        """The first step whose value does not follow from the one before."""
        steps = range(len(values))
        return next((k for k in steps if values[k] != self.operations[k](self.before(values, k))), None)

    def sampled(self, rng: random.Random, prefix: Sequence[int] = ()) -> tuple[int, ...]:
        """A solution that the policy writes, after a prefix."""
        values = list(prefix)
        for step in range(len(prefix), len(self.operations)):
            chances = self._written[step][self.before(values, step)]
            values += rng.choices(range(MODULUS), chances)
        return tuple(values)

    def success(self, values: Sequence[int]) -> float:
        """The probability that the policy ends right after these steps."""
        state = self.final(values)
        chances = self._success[len(values)]
        return float(np.prod([chances[place, value] for place, value in enumerate(state)]))

    @cached_property
    def _written(self) -> list[list[list[float]]]:
        return [each.written(self.error, self.misconception).tolist() for each in self.operations]

    @cached_property
    def _success(self) -> Array:
        """The probability that a register ends right, by steps done, register and value. Shape (steps + 1, 2, 7)."""
        chances = np.zeros((len(self.operations) + 1, len(REGISTERS), MODULUS))
        for place, value in enumerate(self.answer):
            chances[-1, place, value] = 1.0
        for step in range(len(self.operations) - 1, -1, -1):
            chances[step] = chances[step + 1]
            place = REGISTERS.index(self.operations[step].register)
            chances[step, place] = (
                self.operations[step].written(self.error, self.misconception) @ chances[step + 1, place]
            )
        return chances

    def texts(self, values: Sequence[int], begin: int = 0) -> list[str]:
        """The steps as texts, from a step on. Each ends with a blank line, so that they concatenate."""
        done = zip(self.operations[begin:], values[begin:], strict=False)
        return [f"{each.register} {each.sign} {each.constant} = {value}\n\n" for each, value in done]

    def comparison(self, values: Sequence[int], id: str, labels: Sequence[float | None] | None = None) -> Comparison:
        """A solution as a comparison, with labels of its steps if they are given."""
        steps = tuple(self.texts(values))
        return Comparison(
            id=id,
            prompt=self.prompt,
            responses=("".join(steps),),
            steps=(steps,),
            reference=" ".join(map(str, self.answer)),
            label=None if labels is None else Label(steps=(tuple(labels),)),
        )


def problems(
    count: int, *, seed: int, steps: int, name: str = "chain", solved: tuple[float, float] = (0.0, 1.0)
) -> list[Problem]:
    """Problems with error rates from `ERRORS`. `solved`: the range of the policy's chance to solve one."""
    rng = random.Random(f"chains/{name}/{steps}/{seed}")
    drawn = (_problem(rng, steps, f"{name}-{number}") for number in range(10_000 * count))
    return list(islice((each for each in drawn if solved[0] <= each.success(()) <= solved[1]), count))


def _problem(rng: random.Random, steps: int, id: str) -> Problem:
    return Problem(id, operations(steps, rng), rng.choice(ERRORS))


def operations(steps: int, rng: random.Random) -> list[Operation]:
    """Operations drawn at random, one per step."""
    return [Operation(rng.choice(REGISTERS), rng.choice(SIGNS), rng.choice(CONSTANTS)) for _ in range(steps)]


def written(text: str) -> tuple[int, ...]:
    """The values that a text writes, one per step."""
    return tuple(int(match[2]) for match in _STEP.finditer(text))


def ends_right(text: str, reference: str) -> bool:
    """The checker of answers: the last value of each register."""
    state = dict.fromkeys(REGISTERS, "1")
    state.update({match[1]: match[2] for match in _STEP.finditer(text)})
    return " ".join(state.values()) == reference


RIGHT, WRONG = Rollout("", RolloutStatus.RIGHT), Rollout("", RolloutStatus.WRONG)
"""Rollouts without texts."""


class KnownRollouts(Rollouts):
    """Rollouts of the policy of these problems, drawn without a model.

    With `texts`, each rollout is a sampled text. Otherwise it is only right or wrong, with the exact probability. The
    rollouts of a prefix are drawn and counted once, as with a journal.
    """

    def __init__(self, of: Sequence[Problem], *, seed: int, cost: Cost | None = None, texts: bool = False) -> None:
        super().__init__(no_calls(), Sampling(temperature=1.0), ends_right, instruction="", cost=cost)
        self.problems = {each.prompt: each for each in of}
        self.seed = seed
        self.texts = texts
        self._drawn: dict[tuple[str, str, int], Estimate] = {}

    async def after(self, problem: Comparison, prefix: str, count: int) -> Estimate:
        """As `Rollouts.after`."""
        key = (problem.prompt_text, prefix, count)
        if key not in self._drawn:
            chain = self.problems[problem.prompt_text]
            rng = random.Random(f"{self.seed}/{chain.id}/{prefix}")
            done = written(prefix)
            drawn = (self._text if self.texts else self._outcome)(chain, done, rng, count)
            self._drawn[key] = Estimate(tuple(drawn))
            usage = Usage(0, len(chain.operations) - len(done))
            for rollout in drawn:
                self.cost.add(usage, rollout.status)
        return self._drawn[key]

    async def outcome(self, solution: Solution) -> bool | None:
        """As `Rollouts.outcome`, in this thread."""
        return ends_right(solution.text, solution.reference)

    def _outcome(self, chain: Problem, done: Sequence[int], rng: random.Random, count: int) -> list[Rollout]:
        chance = chain.success(done)
        return [RIGHT if rng.random() < chance else WRONG for _ in range(count)]

    def _text(self, chain: Problem, done: Sequence[int], rng: random.Random, count: int) -> list[Rollout]:
        def one(values: Sequence[int]) -> Rollout:
            status = RolloutStatus.RIGHT if chain.final(values) == chain.answer else RolloutStatus.WRONG
            return Rollout("".join(chain.texts(values, len(done))), status)

        return [one(chain.sampled(rng, done)) for _ in range(count)]
