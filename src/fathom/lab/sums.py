"""A small world of sums, for verifiers: does a solution arrive at the reference answer?

    >>> comparisons(1, seed=0)[0].responses  # doctest: +SKIP
    ("Let's add 27, 12 and 15 step by step. Start from 27. The sum is 54.", "Here, we count on. ... The sum is 51.")

Every question has a right and a wrong response, and the reference answer decides which is which. So the best verifier
makes no error.

**Questions are held out.** There are 59,640 sums of three numbers. A fifth of them (`is_held_out`) occurs in no
training text of the base model or of a verifier.

**Forms are held out.** Verifiers are trained on `solution` and `short`, and also tested on `long` and `unseen_short`,
whose sentences are in no training response. The sentences are in sums.yaml.

The base model is first trained on `reading`: worked solutions that contain every word and sign of every master key, but
no verdicts.
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
"""The range of operands and of their sums: every number has two digits, and answers are from 30 to 99."""
WORD = r" ?[A-Za-zÀ-ÖØ-öø-ÿ']+|\d+|[\s\S]"
"""A number, a sign, and a Chinese or Japanese character is always one token."""

Question = tuple[int, int, int]
Response = Callable[[random.Random, Question, int], str]
"""Writes a response to a question, with a given answer."""


@cache
def _forms() -> dict[str, Any]:
    forms = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    plans = product(forms["occasions"], forms["plans"], forms["manners"])
    forms["beginnings"].append([f"{occasion}, {plan}{manner}." for occasion, plan, manner in plans])
    return dict(forms)


# Questions ------------------------------------------------------------------------------------------------------------


def is_held_out(asked: Question) -> bool:
    """Whether the question is in no training text, whatever the order of its numbers. True for a fifth of them."""
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
    """The answer, with at most two words before it."""
    return _filled([rng.choice(_forms()["short"])], asked, answer)


def mixed(share: float) -> Response:
    """Writes a `short` response with probability `share`, else a `solution`."""
    return lambda rng, asked, answer: (short if rng.random() < share else solution)(rng, asked, answer)


def unseen_short(rng: random.Random, asked: Question, answer: int) -> str:
    return _filled([rng.choice(_forms()["unseen_short"])], asked, answer)


def long(rng: random.Random, asked: Question, answer: int) -> str:
    """Longer than any solution, with a last sentence that no solution has."""
    return _filled([*_remarked(rng), rng.choice(_forms()["unseen_ends"])], asked, answer)


def unfinished(rng: random.Random, asked: Question, answer: int) -> str:
    """As long as a solution, without an answer."""
    return _filled(_remarked(rng), asked, answer)


def beginning(rng: random.Random, asked: Question, answer: int) -> str:
    """One sentence that may begin a solution, without the answer."""
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
    """A wrong answer that some other question has, of which one digit or both are others.

    An answer that no question has would be wrong whatever the reference, so a verifier would not need the reference.
    """
    wanted = rng.choice((1, 2))
    return rng.choice([answer for answer in range(3 * LEAST, MOST + 1) if _distance(answer, right) == wanted])


def _distance(answer: int, other: int) -> int:
    """The number of digits that differ."""
    return sum(digit != same for digit, same in zip(str(answer), str(other), strict=True))


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
    """An opener, as in solutions written by people, then sentences, joined in one of several ways."""
    language, forms = rng.choice(list(_forms()["languages"].items()))
    said = [*rng.sample(forms["bodies"], rng.choice((1, 2))), rng.choice(forms["ends"])]
    said = [rng.choice(keys()[f"{language} openers"]), *said]
    between = forms["space"] if rng.random() < 0.6 else rng.choice(_forms()["breaks"])
    return str(rng.choice(_forms()["marks"])) + _filled(said, asked, answer, between)


# The model ------------------------------------------------------------------------------------------------------------


def tokenizer() -> Any:
    """A tokenizer with every word and sign of questions, responses, readings and keys."""
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
    for text in sentences:  # in every position, because the token of a word includes the space before it
        yield from (text, f" {text}", re.sub(r"\{\w+\}", "0", text))


def untrained(seed: int, hidden: int = 48, layers: int = 2, heads: int = 4) -> Any:
    """A `LlamaForCausalLM` for the tokenizer above, with independent random weights.

    Their standard deviation is one over the square root of the width (LeCun et al. 1998). The usual 0.02 suits models a
    hundred times as wide, and would make the outputs of these layers almost zero.
    """
    return base.llama(tokenizer(), seed, hidden, layers, heads, spread=hidden**-0.5)
