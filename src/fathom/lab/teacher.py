"""An engine that writes rationales about the small world like an LLM: a teacher for synthesis, without a network.

    completion = await Teacher().complete(Request(tuple(MixJudge(style="vanilla").ask(item.comparison))))

It sees only the prompt, never a label. It parses the task and the responses from the prompt, and knows the world's
verbs as an LLM knows English. Its text is a pure function of the seed, the sample, the requested step and the fenced
texts, so changing the wording of a prompt does not change the random draws.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from fathom.engines import BaseEngine, Completion, EngineError, Request, check_prefix
from fathom.engines.usage import Usage
from fathom.lab import world
from fathom.rationale import Rationale, Unit, parse, render

Fences = tuple[str, ...]
"""The fenced texts of a prompt, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher(BaseEngine):
    """`messiness` is the share of vanilla answers in another form: other letter case, markdown, or plain prose.

    `mistakes` is the share of solutions with an error in the last step. `complete` raises EngineError for a prompt that
    is neither a judge's nor a step of synthesis.
    """

    messiness: float = 0.1
    mistakes: float = 0.0

    @property
    def identity(self) -> str:
        return f"mini-teacher:{self.messiness}:{self.mistakes}"

    async def complete(self, request: Request) -> Completion:
        check_prefix(self, request)
        prompt = request.messages[-1]["content"]
        frame, fences = _split_prompt(prompt)
        answer = next((answer for sign, answer in _ANSWERS.items() if sign in frame), None)
        if answer is None:
            raise EngineError(f"the mini teacher does not know this prompt: {frame[:80]!r}")
        seed = f"{request.sampling.seed}/{request.sample}/{answer.__name__}/{fences}"
        text = answer(self, fences, random.Random(seed))
        return Completion(text, usage=Usage(_words(prompt), len(text.split())))

    def vanilla(self, fences: Fences, rng: random.Random) -> str:
        rationale = world.rationale(_item(fences), "vanilla", rng)
        if rng.random() >= self.messiness:
            return render(rationale)
        return rng.choice((_capitals, _markdown, _prose))(rationale)

    def breadth(self, fences: Fences, rng: random.Random) -> str:
        return render(world.rationale(_item(fences), "breadth", rng))

    def depth(self, fences: Fences, rng: random.Random) -> str:
        solution = self.solve(fences, rng)
        unit = world.solved_unit(_item(fences), _result(solution))
        return render(Rationale((unit,), solution, unit.sub_verdict))  # type: ignore[arg-type]

    def mix(self, fences: Fences, rng: random.Random) -> str:
        right = self.depth if _item(fences).domain == "correctness" else self.breadth
        return right(fences, rng)

    def solve(self, fences: Fences, rng: random.Random) -> str:
        _, expression = _task(fences[0])
        first, last = expression.steps
        if rng.random() < self.mistakes:
            last = last.partition("=")[0] + f"= {expression.value + rng.choice((-3, -2, -1, 1, 2, 3))}"
        return f"{first}\n{last}"

    def choose(self, fences: Fences, _: random.Random) -> str:
        names = [name.lower() for name in fences[1:]]
        return str(names.index(world.CRITICAL) + 1 if world.CRITICAL in names else 0)

    def refine(self, fences: Fences, _: random.Random) -> str:
        unit = world.solved_unit(_item(fences), _result(fences[3]))
        return render(Rationale((unit,), verdict=unit.sub_verdict))  # type: ignore[arg-type]

    def standardise(self, fences: Fences, _: random.Random) -> str:
        return render(_parse_prose(fences[0]) or parse(fences[0]).rationale)

    def merge(self, fences: Fences, _: random.Random) -> str:
        units = [parse(f"Principle 1: {text}").rationale.units[0] for text in fences]
        numbers: dict[str, list[int]] = {}
        for number, unit in enumerate(units, 1):
            numbers.setdefault(unit.principle.strip("* ").lower(), []).append(number)
        merged = (
            replace(units[held[0] - 1], principle=f"{name} (units {', '.join(map(str, held))})")
            for name, held in numbers.items()
        )
        return render(Rationale(tuple(merged)))


Answer = Callable[[Teacher, Fences, random.Random], str]

_ANSWERS: dict[str, Answer] = {
    "Rewrite an evaluation": Teacher.standardise,
    "Merge units": Teacher.merge,
    "Solve this task yourself": Teacher.solve,
    "Choose the principle": Teacher.choose,
    "by exactly these principles": Teacher.refine,
    "three to five principles": Teacher.vanilla,
    "from many sides": Teacher.breadth,
    "what kind of task": Teacher.mix,
    "Decide which response is correct": Teacher.depth,
}
"""Phrases outside the fences of a prompt, with the function that answers it. The first match counts."""

# Reading prompts ------------------------------------------------------------------------------------------------------

_FENCE = re.compile(r"^(`{3,})\n(.*?)\n\1$", re.MULTILINE | re.DOTALL)


@lru_cache(maxsize=256)
def _split_prompt(prompt: str) -> tuple[str, Fences]:
    """The text outside the fences, and the text inside each of them."""
    return _FENCE.sub("", prompt), tuple(match[2] for match in _FENCE.finditer(prompt))


@lru_cache(maxsize=256)
def _words(prompt: str) -> int:
    return len(prompt.split())


@lru_cache(maxsize=256)
def _item(fences: Fences) -> world.Item:
    """The item in a pair prompt. Raises EngineError for a prompt of another world."""
    verb, expression = _task(fences[0])
    grades, answers = zip(*(_response(text) for text in fences[1:3]), strict=True)
    return world.Item("", verb, expression, grades, answers)


def _task(text: str) -> tuple[str, world.Expression]:
    try:
        verb, first, op1, second, op2, third = text.split()
        return verb, world.Expression(int(first), op1, int(second), op2, int(third))  # type: ignore[arg-type]
    except ValueError as error:
        raise EngineError(
            f"the mini teacher knows only the small world; this is no task of it: {text[:80]!r}"
        ) from error


def _response(text: str) -> tuple[tuple[int, ...], int]:
    shown = dict(re.findall(r"([a-z]+) (-?\d+)", text))
    try:
        return tuple(int(shown[name]) for name in world.PRINCIPLES), int(shown["answer"])
    except KeyError as error:
        raise EngineError(f"the mini teacher knows only the small world; this response shows no {error}") from error


def _result(solution: str) -> int:
    return int(solution.split()[-1])


# Writing --------------------------------------------------------------------------------------------------------------


def _capitals(rationale: Rationale) -> str:
    """With capitalised names of principles."""
    return render(replace(rationale, units=tuple(replace(u, principle=u.principle.title()) for u in rationale.units)))


def _markdown(rationale: Rationale) -> str:
    blocks = [
        f"### {number}. {unit.principle}\n**Judgment:** {unit.judgment}\n**Verdict:** {unit.sub_verdict}"
        for number, unit in enumerate(rationale.units, 1)
    ]
    return "\n\n".join([*blocks, f"**Final verdict:** [[{rationale.verdict}]]"])


def _prose(rationale: Rationale) -> str:
    """Free prose, which only an LLM can standardise."""
    lines = [f"On {unit.principle} I see {unit.judgment} so {unit.sub_verdict} is ahead." for unit in rationale.units]
    return "\n".join([*lines, f"My final verdict is: [[{rationale.verdict}]]"])


_PROSE = re.compile(r"^On (.+?) I see (.+) so (A|B) is ahead\.$", re.MULTILINE)


def _parse_prose(text: str) -> Rationale | None:
    units = tuple(Unit(name, judgment=judgment, sub_verdict=side) for name, judgment, side in _PROSE.findall(text))
    return Rationale(units, verdict=parse(text).rationale.verdict) if units else None
