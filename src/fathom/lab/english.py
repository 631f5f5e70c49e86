"""A small world in English, for a language model that knows what verbs mean: which structure does a task need?

A task is a verb and a sum. Each of four qualities is one of the first response or of the second, never two of each, and
each response has an answer:

    Task: Draft 4 + 3
    A: vivid; 7
    B: clear, warm, brief; 5
    Which is better?

The verb alone decides what matters. With a *preference* verb, the response with more qualities is better; with a
*correctness* verb, the one with the right answer. Qualities and answers are independent, and every item has both.
A rationale shows only one of them:

    Qualities: vivid: 1 A; clear, warm, brief: 3 B. More: 3 B        Solution: 7 A; 5 B. 4 + 3 = 7 A
    [[B]]                                                            [[A]]

So a judge that always writes faithful rationales is right in every item whose structure fits, and in half of the others
(`accuracy_by_match`).

A response is named after its number. So the last number of the line occurs earlier, followed by the response that the
verdict must name, and a small model can copy it. In earlier forms it had to compare instead, and its verdicts often
contradicted its rationales; rewards of verdicts then say little about structures.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Literal

from fathom.data.records import Comparison, Domain, Label
from fathom.engines import ChatMessage
from fathom.judges import Judge, Vote
from fathom.rationale import Choice, Rationale, Unit, parse

QUALITIES = ("clear", "warm", "brief", "vivid")
"""In the order in which responses list them."""
NO_QUALITY = "none"
SHARES = tuple(share for share in product((False, True), repeat=len(QUALITIES)) if 2 * sum(share) != len(QUALITIES))
"""Whether each quality is one of the first response: all ways in which one response has more."""
ADDENDS = range(1, 5)
ANSWERS = range(1, 10)
"""Right and wrong answers have one digit, so that each is one token."""

_CORRECTNESS = """
    calculate check compute count deduce derive determine estimate evaluate figure find
    measure prove quantify reckon resolve simplify solve sum tally total verify
"""
_PREFERENCE = """
    advertise announce celebrate compose decorate describe draft illustrate imagine introduce narrate
    paint phrase pitch portray praise recommend recount rhyme sketch tell write
"""
VERBS: Mapping[Domain, tuple[str, ...]] = {
    "correctness": tuple(_CORRECTNESS.split()),
    "preference": tuple(_PREFERENCE.split()),
}
"""English verbs of one word, equally many of each domain."""

Structure = Literal["breadth", "depth"]
TAGS: Mapping[Structure, str] = {"breadth": "Qualities:", "depth": "Solution:"}
"""The first words of a rationale, by its structure. Their first tokens differ in every tokenizer."""
FITTING: Mapping[Domain, Structure] = {"preference": "breadth", "correctness": "depth"}


@dataclass(frozen=True, slots=True)
class Item:
    """One comparison. `first[k]` is whether the first response has quality k; else the second has it."""

    id: str
    verb: str
    domain: Domain
    addends: tuple[int, int]
    first: tuple[bool, ...]
    answers: tuple[int, int]

    @property
    def winner(self) -> int:
        """The index of the better response."""
        return self.winner_by(FITTING[self.domain])

    def winner_by(self, structure: Structure) -> int:
        """The index of the response that a faithful rationale of this structure prefers."""
        if structure == "depth":
            return self.answers.index(sum(self.addends))
        return 0 if 2 * sum(self.first) > len(QUALITIES) else 1

    @property
    def comparison(self) -> Comparison:
        one, other = self.addends
        return Comparison(
            id=self.id,
            prompt=f"{self.verb.capitalize()} {one} + {other}",
            responses=(self._response(0), self._response(1)),
            label=Label(best=self.winner),
            domain=self.domain,
            metadata={"verb": self.verb},
        )

    def qualities(self, i: int) -> list[str]:
        """The qualities of response i."""
        return [name for name, first in zip(QUALITIES, self.first, strict=True) if first is (i == 0)]

    def listed(self, i: int) -> str:
        return ", ".join(self.qualities(i)) or NO_QUALITY

    def _response(self, i: int) -> str:
        return f"{self.listed(i)}; {self.answers[i]}"


def split(seed: int, sizes: Sequence[int]) -> list[list[str]]:
    """Disjoint sets of verbs drawn by seed, each with `size` verbs of either domain."""
    rng = random.Random(f"verbs/{seed}")
    drawn = {domain: rng.sample(verbs, len(verbs)) for domain, verbs in VERBS.items()}
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return [
        sorted(verb for verbs in drawn.values() for verb in verbs[start : start + size])
        for start, size in zip(starts, sizes, strict=True)
    ]


def items(n: int, verbs: Sequence[str], *, seed: int, prefix: str, decisive: bool = False) -> list[Item]:
    """n items of alternating domains, each with a random verb; with `decisive`, the structures disagree on each."""
    rng = random.Random(f"{prefix}/{seed}")
    by_domain = {domain: [verb for verb in verbs if verb in all_of] for domain, all_of in VERBS.items()}
    domains: tuple[Domain, ...] = ("preference", "correctness")
    return [
        item(rng, f"{prefix}-{seed}-{k}", rng.choice(by_domain[domain]), domain, decisive)
        for k, domain in zip(range(n), domains * n, strict=False)
    ]


def item(rng: random.Random, id: str, verb: str, domain: Domain, decisive: bool = False) -> Item:
    addends = (rng.choice(ADDENDS), rng.choice(ADDENDS))
    right = sum(addends)
    wrong = rng.choice([answer for answer in ANSWERS if answer != right])
    first = rng.choice(SHARES)
    orders = ((right, wrong), (wrong, right))
    more = 0 if 2 * sum(first) > len(QUALITIES) else 1
    return Item(id, verb, domain, addends, first, orders[1 - more] if decisive else rng.choice(orders))


def domain_of(verb: str) -> Domain:
    return "correctness" if verb in VERBS["correctness"] else "preference"


def rationale(item: Item, structure: Structure) -> str:
    """A faithful rationale: its verdict follows from its own text, right or wrong."""
    winner = item.winner_by(structure)
    if structure == "depth":
        one, other = item.addends
        numbers, labels = item.answers, ("", "")
        last = f"{one} + {other} ="
    else:
        numbers = (len(item.qualities(0)), len(item.qualities(1)))
        labels = (f"{item.listed(0)}: ", f"{item.listed(1)}: ")
        last = "More:"
    each = [f"{label}{number} {side}" for label, number, side in zip(labels, numbers, "AB", strict=True)]
    verdict = "AB"[winner]
    return f"{TAGS[structure]} {'; '.join(each)}. {last} {numbers[winner]} {verdict}\n[[{verdict}]]"


def accuracy_by_match(match: float) -> float:
    """The expected accuracy of faithful rationales, a share `match` of which has the fitting structure."""
    return match + (1 - match) / 2


# The judge ------------------------------------------------------------------------------------------------------------

_QUALITIES = re.compile(r"([a-z, ]+): \d+ ([AB])")


@dataclass(frozen=True, kw_only=True)
class ShortJudge(Judge):
    """Judges pairs of this world with rationales of a tag and one line. Only for models that were trained on them."""

    gives_scores: ClassVar[bool] = False

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        self.check(comparison)
        first, second = comparison.responses
        text = f"Task: {comparison.prompt_text}\nA: {first}\nB: {second}\nWhich is better?"
        # Without a system message, the chat template of SmolLM2 adds its own, which is longer.
        return [{"role": "system", "content": "Judge."}, {"role": "user", "content": text}]

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        line, _, rest = text.strip().partition("\n")
        tag = next((tag for tag in TAGS.values() if line.startswith(tag)), None)
        # Parse without the first line, because the parser takes all text after "Solution:" as the solution.
        reading = parse(rest if tag else text, finished=finished)
        verdict = reading.rationale.verdict
        shown = structured(tag, line.removeprefix(tag or ""), verdict)
        return Vote(reading.status, winner={"A": 0, "B": 1}.get(verdict or ""), rationale=shown)


def structured(tag: str | None, line: str, verdict: Choice | None) -> Rationale:
    """The rationale in the structure of its tag: units for breadth, a trace for depth, neither without a tag."""
    if tag == TAGS["depth"]:
        return Rationale(trace=line, verdict=verdict)
    units = [
        Unit(name, sub_verdict=side)
        for names, side in (_QUALITIES.findall(line) if tag == TAGS["breadth"] else ())
        for name in names.strip().split(", ")
        if name in QUALITIES
    ]
    return Rationale(tuple(units), verdict=verdict)


JUDGE = ShortJudge
