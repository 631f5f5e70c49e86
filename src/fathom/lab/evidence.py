"""Solutions whose steps are checked by earlier or by later steps: reports of counts.

    solutions(100, Sizes(names=3, wrong=0.25), seed=0)      # comparisons with a label for every step

    measured a = 3      right if it is the true count, which only a later step shows
    used a = 3          right if it is what was measured, which an earlier step shows
    counted a = 4       always right: it shows the true count

Each name has one step of each kind. All of one kind stand together, those of the last two kinds in random order.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.data.records import Comparison, Label
from fathom.lab import base

PROMPT = "Report the counts."
NAMES = "abcd"
VALUES = 7
KINDS: Mapping[str, str] = {"measured": "later", "used": "earlier", "counted": "none needed"}
"""The first word of a step, and where its evidence is."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    names: int
    wrong: float
    """The chance that a measurement is wrong, and that a use is."""


def solutions(count: int, sizes: Sizes, seed: int | str) -> list[Comparison]:
    rng = random.Random(f"evidence/{seed}")
    return [_solution(rng, sizes, str(number)) for number in range(count)]


def _solution(rng: random.Random, sizes: Sizes, id: str) -> Comparison:
    names = NAMES[: sizes.names]
    true = {name: rng.randrange(VALUES) for name in names}
    measured = {name: _reported(true[name], rng, sizes.wrong) for name in names}
    used = {name: _reported(measured[name], rng, sizes.wrong) for name in names}
    steps = [("measured", name, measured[name], measured[name] == true[name]) for name in names]
    steps += [("used", name, used[name], used[name] == measured[name]) for name in rng.sample(names, len(names))]
    steps += [("counted", name, true[name], True) for name in rng.sample(names, len(names))]
    texts = tuple(f"{kind} {name} = {value}" for kind, name, value, _ in steps)
    label = Label(steps=(tuple(float(right) for *_, right in steps),))
    return Comparison(id=id, prompt=PROMPT, responses=("\n\n".join(texts),), steps=(texts,), label=label)


def _reported(value: int, rng: random.Random, wrong: float) -> int:
    return (value + rng.randrange(1, VALUES)) % VALUES if rng.random() < wrong else value


def kind(step: str) -> str:
    return step.split()[0]


def reverse(solution: Comparison) -> Comparison:
    """The solution with its steps, and their labels, in reverse."""
    assert solution.steps is not None
    assert solution.label is not None
    assert solution.label.steps is not None
    steps, labels = solution.steps[0][::-1], solution.label.steps[0][::-1]
    update: dict[str, Any] = {"responses": ("\n\n".join(steps),), "steps": (steps,), "label": Label(steps=(labels,))}
    return solution.model_copy(update=update)


def rows(given: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Rows in TRL's layout of stepwise supervision."""
    found = []
    for each in given:
        assert each.steps is not None
        assert each.label is not None
        assert each.label.steps is not None
        found.append({"prompt": PROMPT, "completions": list(each.steps[0]), "labels": list(each.label.steps[0])})
    return found


def untrained(seed: int, hidden: int, layers: int, folder: Path) -> Path:
    """A checkpoint with random weights, and a tokenizer with a token for every word."""
    digits = " ".join(map(str, range(VALUES)))
    texts = [PROMPT, f" {digits}", *KINDS, *(f" {kind}" for kind in KINDS), " " + " ".join(NAMES), " =\n\n"]
    words = base.word_level([PROMPT], texts, r"\n| ?[^\s]+")
    words.save_pretrained(folder)
    base.llama(words, seed, hidden, layers, 4, spread=hidden**-0.5).save_pretrained(folder)
    return folder
