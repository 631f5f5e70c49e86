"""A small world for judges that write their own principles: the prompt determines which criterion counts.

    >>> items(1, seed=0, clear=0.55)[0].comparison.prompt  # doctest: +SKIP
    'sourced clear sourced'

The prompt has three cues. One criterion is the wanted one; each cue names it with probability `clear`, and otherwise
one of the other three. A response is a list of grades, and the better one has the higher grade under the wanted
criterion. A judgment is a text of SPCT: the principle that the judge applies, and the grades under it as scores. Polish
is never the wanted criterion, and is independent of the others. A *lazy* judgment applies polish regardless of the
cues: a systematic flaw that is visible in the text.

The accuracy of a judge that reads all grades without error is computed from this definition in `ideal`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.data.records import Comparison, Label
from fathom.judges.spct import SPCTJudge
from fathom.lab import base
from fathom.synth.rejection import hinted

PRINCIPLES = ("Clarity", "Depth", "Evidence", "Structure")
CUES = ("clear", "deep", "sourced", "ordered")
POLISH = "Polish"
ATTRIBUTES = (*CUES, "polished")
"""The attributes of a response: those of the principles in order, then that of polish."""
GRADES = range(1, 10)
CUED = 3

Grades = tuple[int, int]
"""The grades of the first and the second response under one principle."""


@dataclass(frozen=True, slots=True)
class Item:
    id: str
    cues: tuple[int, ...]
    wanted: int
    table: tuple[Grades, ...]
    """The grades of both responses, by attribute. Under the wanted criterion they differ."""

    @property
    def comparison(self) -> Comparison:
        prompt = " ".join(CUES[cue] for cue in self.cues)
        responses = (self._response(0), self._response(1))
        return Comparison(id=self.id, prompt=prompt, responses=responses, label=Label(best=self.winner))

    def _response(self, place: int) -> str:
        return " ".join(f"{name} {grades[place]}" for name, grades in zip(ATTRIBUTES, self.table, strict=True))

    @property
    def winner(self) -> int:
        first, second = self.table[self.wanted]
        return int(second > first)


def items(count: int, *, seed: int, clear: float, prefix: str = "item") -> list[Item]:
    """Items with a winner. A pure function of the arguments."""
    rng = random.Random(f"{prefix}/{seed}/{clear}")
    found: list[Item] = []
    while len(found) < count:
        item = _item(f"{prefix}-{seed}-{len(found)}", clear, rng)
        if not tied(item.table[item.wanted]):
            found.append(item)
    return found


def _item(name: str, clear: float, rng: random.Random) -> Item:
    wanted = rng.randrange(len(PRINCIPLES))
    others = [principle for principle in range(len(PRINCIPLES)) if principle != wanted]
    cues = tuple(wanted if rng.random() < clear else rng.choice(others) for _ in range(CUED))
    table = tuple((rng.choice(GRADES), rng.choice(GRADES)) for _ in ATTRIBUTES)
    return Item(name, cues, wanted, table)


def tied(grades: Grades) -> bool:
    return grades[0] == grades[1]


def judgment(item: Item, principle: int, *, stated: bool = True) -> str:
    """The text of a judge that applies `principle`. Without `stated`, it has the scores only."""
    name = (*PRINCIPLES, POLISH)[principle]
    first, second = item.table[principle]
    scores = f"Scores: \\boxed{{{first}, {second}}}"
    return f"Principle 1: {name} (100 %)\n\n{scores}" if stated else scores


# Accuracy ceilings ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ideal:
    """The accuracy on one item of a judge that reads grades without error; a tie counts as half."""

    one: float
    """One judgment: a criterion drawn from its posterior given the cues, or polish at the rate of lazy judgments."""
    greedy: float
    """The most probable judgment."""
    sum: float
    """The sum of scores, in the limit of many judgments."""
    majority: float
    """The majority, in the limit of many judgments."""
    best: float
    """The most probable winner given the cues: an upper bound for any judge."""


def ideal(item: Item, *, clear: float, lazy: float = 0.0) -> Ideal:
    chances = posterior(item, clear)
    leads = [first - second for first, second in item.table]
    wins = [sum(p for principle, p in chances.items() if leads[principle] * side > 0) for side in (1, -1)]
    written = {principle: (1 - lazy) * p for principle, p in chances.items()} | {len(PRINCIPLES): lazy}

    def right(lead: float) -> float:
        return 0.5 if abs(lead) < 1e-12 else wins[int(lead < 0)]

    return Ideal(
        one=sum(p * right(leads[principle]) for principle, p in written.items()),
        greedy=right(leads[max(written, key=lambda principle: written[principle])]),
        sum=right(sum(p * leads[principle] for principle, p in written.items())),
        majority=right(_majority(written, leads)),
        best=max(wins),
    )


def posterior(item: Item, clear: float) -> dict[int, float]:
    """The posterior probability of each criterion, given cues and responses. A criterion with tied grades has 0."""
    other = (1 - clear) / (len(PRINCIPLES) - 1)
    weights = {
        principle: clear ** item.cues.count(principle) * other ** (CUED - item.cues.count(principle))
        for principle in range(len(PRINCIPLES))
        if not tied(item.table[principle])
    }
    return {principle: weight / sum(weights.values()) for principle, weight in weights.items()}


def _majority(written: Mapping[int, float], leads: Sequence[int]) -> float:
    """The margin of the first response over the second; 0 if a tie is most probable."""
    first = sum(p for principle, p in written.items() if leads[principle] > 0)
    second = sum(p for principle, p in written.items() if leads[principle] < 0)
    return first - second if max(first, second) > 1 - first - second else 0.0


# The model ------------------------------------------------------------------------------------------------------------


def tokenizer() -> Any:
    """A tokenizer with every word of this world, and of the SPCT judge's prompts with and without a hint."""
    judge = SPCTJudge(trained=True)
    hints = [hinted(judge.ask(_slots(best)), _slots(best))[0]["content"] for best in range(2)]
    sentences = [hint.removeprefix(judge.ask(_slots(0))[0]["content"]) for hint in hints]
    written = [" (100 %)\n\nScores: \\boxed{", "Scores: \\boxed{"]
    boilerplate = [*base.constant(lambda comparison: [judge.ask(comparison)]), *sentences, *written]
    return base.word_level(boilerplate, [*hints, *_every_word()])


def _slots(best: int) -> Comparison:
    return Comparison(id="", prompt="clear", responses=("deep", "deep"), label=Label(best=best))


def _every_word() -> Sequence[str]:
    words = " ".join([*ATTRIBUTES, *ATTRIBUTES])
    grades = [f"{grade} {grade}{{{grade}" for grade in GRADES]
    written = [f"Principle 1: {name} (100 %)\n\nScores: \\boxed{{1, 1}}" for name in (*PRINCIPLES, POLISH)]
    return [words, *ATTRIBUTES, *grades, *written, "Scores: \\boxed{1, 1}"]


def untrained(seed: int, hidden: int = 48, layers: int = 2, heads: int = 2) -> Any:
    """A `LlamaForCausalLM` of some 50,000 parameters with random weights, for the tokenizer above."""
    # At the usual 0.02, a model this narrow needs thousands of steps to learn to look up a grade.
    return base.llama(tokenizer(), seed, hidden, layers, heads, spread=0.12)
