"""A small world of sums, for verifiers: does a solution arrive at the reference answer?

    >>> comparisons(1, seed=0)[0].responses  # doctest: +SKIP
    ("Let's add 27, 12 and 15 step by step. Start from 27. The sum is 54.", "Here, we count on. ... The sum is 51.")

Every question has a right solution and a wrong one, which is wrong in the answer alone. What a response is worth stands
in it, so the best verifier is always right: 1.0 is the ceiling of every accuracy, 0.0 the floor of every error.

**Questions are held out.** There are 59,640, sums of three numbers. A fifth of all triples (`is_held_out`) is in no
training text, neither of the base model nor of a verifier.

**Forms are held out.** Verifiers are trained on `solution` and `short`, and tested also on `long` and `unseen_short`,
whose sentences none of their training responses has. The sentences are in sums.yaml.

The base model learns from `reading` what a model knows that has read: each word and sign of each master key, in
sentences. It says nothing of verdicts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any
from zlib import crc32

import yaml

from fathom.data.records import Comparison, Label
from fathom.judges.verifier import VerifierJudge
from fathom.lab import base
from fathom.probes.keys import keys

LEAST, MOST = 10, 99
"""Of operands and of their sums: every number has two digits."""
WORD = r" ?[A-Za-zÀ-ÖØ-öø-ÿ']+|\d+|[\s\S]"
"""A number, a sign and a letter of Chinese or Japanese is a token of its own, wherever it stands."""

Question = tuple[int, int, int]
Response = Callable[[random.Random, Question, int], str]
"""Writes a response to a question that states an answer."""


@cache
def _forms() -> dict[str, Any]:
    forms = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    plans = product(forms["occasions"], forms["plans"], forms["manners"])
    forms["beginnings"].append([f"{occasion}, {plan}{manner}." for occasion, plan, manner in plans])
    return dict(forms)


# Questions ------------------------------------------------------------------------------------------------------------


def is_held_out(asked: Question) -> bool:
    """Whether no training text has the question, in any order of its numbers; so it is for a fifth of them."""
    return crc32(" + ".join(map(str, sorted(asked))).encode()) % 5 == 0


def question(rng: random.Random, *, held_out: bool) -> Question:
    """Three numbers of two digits whose sum has two digits."""
    while True:
        a, b, c = (rng.randint(LEAST, MOST - 2 * LEAST) for _ in range(3))
        if a + b + c <= MOST and is_held_out((a, b, c)) == held_out:
            return a, b, c


def text_of(asked: Question) -> str:
    return " + ".join(map(str, asked))


# Responses ------------------------------------------------------------------------------------------------------------


def solution(rng: random.Random, asked: Question, answer: int) -> str:
    """Three or four sentences."""
    return _filled([*_opened(rng), rng.choice(_forms()["ends"])], asked, answer)


def short(rng: random.Random, asked: Question, answer: int) -> str:
    """Little more than the answer."""
    return _filled([rng.choice(_forms()["short"])], asked, answer)


def mixed(share: float) -> Response:
    """Writes `short` for a share of all, and else a `solution`."""
    return lambda rng, asked, answer: (short if rng.random() < share else solution)(rng, asked, answer)


def unseen_short(rng: random.Random, asked: Question, answer: int) -> str:
    return _filled([rng.choice(_forms()["unseen_short"])], asked, answer)


def long(rng: random.Random, asked: Question, answer: int) -> str:
    """Longer than any solution, and ends in a sentence that none has."""
    return _filled([*_remarked(rng), rng.choice(_forms()["unseen_ends"])], asked, answer)


def unfinished(rng: random.Random, asked: Question, answer: int) -> str:
    """As long as a solution, but there is no answer."""
    return _filled(_remarked(rng), asked, answer)


def beginning(rng: random.Random, asked: Question, answer: int) -> str:
    """One sentence without the answer, as solutions begin."""
    return _filled([rng.choice(rng.choice(_forms()["beginnings"]))], asked, answer)


def _opened(rng: random.Random) -> list[str]:
    return [rng.choice(rng.choice(_forms()["beginnings"])), rng.choice(_forms()["middles"])]


def _remarked(rng: random.Random) -> list[str]:
    return [*_opened(rng), *rng.sample(_forms()["unseen_remarks"], 3)]


def _filled(said: list[str], asked: Question, answer: int, between: str = " ") -> str:
    a, b, c = asked
    return between.join(said).format(a=a, b=b, c=c, answer=answer)


# Comparisons ----------------------------------------------------------------------------------------------------------


def comparisons(
    count: int, *, seed: int, prefix: str = "sum", write: Response = solution, held_out: bool = False
) -> list[Comparison]:
    """Questions with a right and a wrong response, in that order; a pure function of the arguments."""
    rng = random.Random(f"{prefix}/{seed}")
    return [_comparison(rng, f"{prefix}-{seed}-{k}", write, held_out) for k in range(count)]


def _comparison(rng: random.Random, name: str, write: Response, held_out: bool) -> Comparison:
    asked = question(rng, held_out=held_out)
    right = sum(asked)
    return Comparison(
        id=name,
        prompt=text_of(asked),
        responses=tuple(write(rng, asked, answer) for answer in (right, _slip(rng, right))),
        reference=str(right),
        label=Label(scores=(1.0, 0.0)),
        domain="correctness",
    )


def _slip(rng: random.Random, right: int) -> int:
    """A wrong answer of two digits, one or both of which are others."""
    digits = list(str(right))
    places = [rng.randrange(len(digits))] if rng.random() < 0.5 else range(len(digits))
    for place in places:
        others = [digit for digit in "0123456789" if digit != digits[place] and (place or digit != "0")]
        digits[place] = rng.choice(others)
    return int("".join(digits))


# What the base model reads --------------------------------------------------------------------------------------------


def reading(count: int, *, seed: int) -> Iterator[dict[str, Any]]:
    """Solved questions, each with a worked solution in one of four languages, as SFT rows."""
    rng = random.Random(f"reading/{seed}")
    for _ in range(count):
        asked = question(rng, held_out=False)
        text = (solution if rng.random() < 0.2 else _worked)(rng, asked, sum(asked))
        yield {
            "prompt": [{"role": "user", "content": f"{text_of(asked)} = {sum(asked)}"}],
            "completion": [{"role": "assistant", "content": text}],
        }


def _worked(rng: random.Random, asked: Question, answer: int) -> str:
    """Begins with an opener, as solutions do that people write; the rest follows, set in one of several ways."""
    language, forms = rng.choice(list(_forms()["languages"].items()))
    said = [*rng.sample(forms["bodies"], rng.choice((1, 2))), rng.choice(forms["ends"])]
    said = [rng.choice(keys()[f"{language} openers"]), *said]
    between = forms["space"] if rng.random() < 0.6 else rng.choice(_forms()["breaks"])
    return str(rng.choice(_forms()["marks"])) + _filled(said, asked, answer, between)


# The model ------------------------------------------------------------------------------------------------------------


def tokenizer() -> Any:
    """Knows every word and sign of what is read, asked, answered and tried. The verifier's prompt is a few tokens."""
    judge = VerifierJudge(trained=True)
    slots = Comparison(id="", prompt="<prompt>", responses=("<response>",), reference="<reference>")
    asked = judge.ask(slots)[0]["content"]
    pieces = [asked]
    for slot in ("<prompt>", "<reference>", "<response>"):
        pieces = [part for piece in pieces for part in piece.split(slot)]
    return base.word_level([*sorted(pieces, key=len, reverse=True), "YES", "NO"], _every_word(asked), WORD)


def _every_word(asked: str) -> Iterator[str]:
    yield from (asked, "YES", "NO", " + =", *map(str, range(MOST + 1)), *_forms()["marks"], *_forms()["breaks"])
    sentences = [text for texts in keys().values() for text in texts]
    sentences += [text for texts in _forms()["beginnings"] for text in texts]
    sentences += [text for forms in _forms()["languages"].values() for text in (*forms["bodies"], *forms["ends"])]
    for name in ("middles", "ends", "short", "unseen_short", "unseen_remarks", "unseen_ends"):
        sentences += _forms()[name]
    for text in sentences:  # wherever they stand: a word includes the space before it, and so does a number's place
        yield from (text, f" {text}", re.sub(r"\{\w+\}", "0", text))


def untrained(seed: int, hidden: int = 48, layers: int = 2, heads: int = 4) -> Any:
    """A `LlamaForCausalLM` for the tokenizer above, with independent random weights.

    Their standard deviation is one over the square root of the width (LeCun et al. 1998). The 0.02 that is usual in
    models a hundred times as wide would make the layers of this one all but zero.
    """
    return base.llama(tokenizer(), seed, hidden, layers, heads, spread=hidden**-0.5)
