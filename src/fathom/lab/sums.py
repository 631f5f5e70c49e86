"""A small world of sums, for verifiers: does a solution arrive at the reference answer?

    >>> comparisons(1, seed=0)[0].responses  # doctest: +SKIP
    ("Let's add 7 and 5 step by step. Count 5 more. The sum is 12.", "Solution: we add 7 and 5. ... The answer is 13.")

Every question has a right solution and a wrong one, which is wrong in the answer alone. What a response is worth stands
in it, so the best verifier is always right: 1.0 is the ceiling of every accuracy, 0.0 the floor of every error.

Solutions begin in hundreds of ways, most of which name no number, as they do where people or models write them. Two
other ways of writing there are: `fluent` solutions are longer than any other, `bare` ones next to nothing but the
answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from fathom.data.records import Comparison, Label
from fathom.judges.verifier import VerifierJudge
from fathom.lab import base
from fathom.probes.keys import keys

NUMBERS = range(4, 13)
SLIPS = (-3, -2, -1, 1, 2, 3)
WORD = r" ?[A-Za-z']+|\d+|[\s\S]"
"""A number is the same token wherever it stands."""
SPREAD = 0.12
"""The standard deviation of random weights."""
APART = 0.15
"""How far words begin apart, as a share of how far numbers do."""

_WITH_NUMBERS = (
    "Solution: we add {a} and {b}.",
    "Let's add {a} and {b} step by step.",
    "First, take {a}. Then add {b}.",
)
_REMARKS = (
    "A sum.",
    "Adding.",
    "Well.",
    "Two numbers.",
    "Counting on.",
    "Easy.",
    "Sure.",
    "The total.",
    "Count.",
    "One more.",
    "Both.",
    "Up.",
)
_PLANS = tuple(
    f"{occasion}, {plan}{manner}."
    for occasion in (
        "To answer this",
        "For this question",
        "Here",
        "To begin",
        "In this task",
        "As asked",
        "To be sure",
    )
    for plan in (
        "we count on",
        "we take the first number",
        "we look at both numbers",
        "two numbers are put together",
        "the total is wanted",
        "we go up from one of them",
        "we find what they make",
        "one number is added to the other",
    )
    for manner in ("", " with care", " one by one", " as usual", " in our head", " without haste")
)
_BEGINNINGS = (_WITH_NUMBERS, _REMARKS, _PLANS)
_MIDDLES = ("Start from {a}.", "Count {b} more.")
_ENDS = ("The sum is {answer}.", "The answer is {answer}.")
_FLUENT = (
    "This is checked with care.",
    "Both numbers are read again.",
    "The order does not matter.",
    "Nothing is left out.",
)

Response = Callable[[random.Random, int, int, int], str]
"""Writes a solution of a + b that arrives at an answer."""


def solution(rng: random.Random, a: int, b: int, answer: int) -> str:
    said = [_beginning(rng), rng.choice(_MIDDLES), rng.choice(_ENDS)]
    return _filled(said, a, b, answer)


def fluent(rng: random.Random, a: int, b: int, answer: int) -> str:
    said = [_beginning(rng), *rng.sample(_FLUENT, 2), *_MIDDLES, rng.choice(_FLUENT), rng.choice(_ENDS)]
    return _filled(said, a, b, answer)


def bare(rng: random.Random, a: int, b: int, answer: int) -> str:
    return rng.choice((f"{answer}", f"{answer}.", f"It is {answer}."))


def mixed(brief: float) -> Response:
    """Writes `bare` for the share `brief` of all, and else a `solution`."""
    return lambda rng, a, b, answer: (bare if rng.random() < brief else solution)(rng, a, b, answer)


def _beginning(rng: random.Random) -> str:
    return rng.choice(rng.choice(_BEGINNINGS))


def _filled(said: list[str], a: int, b: int, answer: int) -> str:
    return " ".join(said).format(a=a, b=b, answer=answer)


def comparisons(count: int, *, seed: int, prefix: str = "sum", write: Response = solution) -> list[Comparison]:
    """Questions with a right and a wrong response, in that order; a pure function of the arguments."""
    rng = random.Random(f"{prefix}/{seed}")
    return [_comparison(rng, f"{prefix}-{seed}-{k}", write) for k in range(count)]


def _comparison(rng: random.Random, name: str, write: Response) -> Comparison:
    a, b = rng.choice(NUMBERS), rng.choice(NUMBERS)
    responses = tuple(write(rng, a, b, answer) for answer in (a + b, a + b + rng.choice(SLIPS)))
    return Comparison(
        id=name,
        prompt=f"{a} + {b}",
        responses=responses,
        reference=str(a + b),
        label=Label(scores=(1.0, 0.0)),
        domain="correctness",
    )


def tokenizer() -> Any:
    """The verifier's own words are a few tokens. Of master keys it knows the words of English, others are unknown."""
    judge = VerifierJudge(trained=True)
    slots = Comparison(id="", prompt="<prompt>", responses=("<response>",), reference="<reference>")
    asked = judge.ask(slots)[0]["content"]
    pieces = [asked]
    for slot in ("<prompt>", "<reference>", "<response>"):
        pieces = [part for piece in pieces for part in piece.split(slot)]
    return base.word_level([*sorted(pieces, key=len, reverse=True), "YES", "NO"], _every_word(asked), WORD)


def _every_word(asked: str) -> Iterator[str]:
    yield from (asked, "YES", "NO", " ".join(map(str, range(2 * max(NUMBERS) + 11))))
    yield from (text for texts in keys().values() for text in texts if text.isascii())
    yield from (text for texts in _BEGINNINGS for text in texts)
    for write in (solution, fluent, bare):
        yield from (
            text for item in comparisons(200, seed=0, write=write) for text in (item.prompt_text, *item.responses)
        )


def untrained(seed: int, hidden: int = 64, layers: int = 2, heads: int = 4) -> Any:
    """A `LlamaForCausalLM` of some 90,000 parameters for the tokenizer above.

    Its weights are random, but all words other than numbers begin nearly alike. In a model that has read a great deal,
    words that stand in the same places are alike, and what it learns of some holds for others; were they random, it
    could learn nothing of a word that it has not met.
    """
    import torch

    words = tokenizer()
    # With weights as small as usual it would not find out within minutes that two numbers are to be compared.
    model = base.llama(words, seed, hidden, layers, heads, spread=SPREAD)
    rows = model.get_input_embeddings().weight
    others = [place for text, place in words.get_vocab().items() if not text.strip().isdigit()]
    common = SPREAD * torch.randn(hidden, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        rows[others] = common + APART * rows[others]
    return model
