"""Merging of several rationales on one comparison into one breadth rationale, without model calls.

    >>> first = Rationale((Unit("Clarity", judgment="A is plain.", sub_verdict="A"),), verdict="A")
    >>> second = Rationale((Unit("**clarity**", judgment="B rambles.", sub_verdict="A"),), verdict="A")
    >>> merge([first, second], keep=10).units[0].judgment
    'A is plain. B rambles.'

Method: arXiv 2603.01571, section on B-CoT. Every sentence of the result occurs in one of the sources.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import sqrt
from statistics import fmean
from typing import Literal

from fathom.rationale import Rationale, SubVerdict, Unit

SIMILAR = 0.4
"""Similarity from which two principles count as the same. Chosen by measurement: see docs/synthesis.md."""

COMMON_WORDS = {
    "a", "an", "and", "answer", "are", "as", "at", "be", "by", "for", "from", "good", "in", "is", "it", "its",
    "must", "needs", "not", "of", "on", "or", "response", "responses", "should", "that", "the", "this", "to", "with",
}  # fmt: skip
"""Words that are common in definitions and say nothing about similarity."""


@dataclass(frozen=True, slots=True)
class Source:
    """A unit, the index of its rationale, and its relative position there, from 0 (top) to 1."""

    unit: Unit
    rationale: int
    place: float


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged unit: `count` rationales contained it, at the mean relative position `place`."""

    unit: Unit
    count: int
    place: float


def merge(rationales: Sequence[Rationale], *, keep: int) -> Rationale:
    """Merge rationales into one with at most `keep` units. The verdict is None if `decide` returns None."""
    groups = grouped(sources(rationales))
    return breadth([merged(group) for group in groups], rationales, keep=keep)


def sources(rationales: Sequence[Rationale]) -> list[Source]:
    return [
        Source(unit, index, (k + 0.5) / len(rationale.units))
        for index, rationale in enumerate(rationales)
        for k, unit in enumerate(rationale.units)
    ]


def grouped(sources: Sequence[Source], similar: float = SIMILAR) -> list[list[Source]]:
    """Group the sources by principle, in order of first appearance.

    Equal names are the same principle. Similar ones are too (a `similarity` of at least `similar` to a member of the
    group), unless one rationale contains both, since it then means two different principles.
    """
    by_name: dict[str, list[Source]] = {}
    for source in sources:
        by_name.setdefault(normalise(source.unit.principle), []).append(source)
    groups: list[list[Source]] = []
    for same_name in by_name.values():
        nearest = max(groups, key=lambda group: _likeness(group, same_name), default=None)
        if nearest is not None and _likeness(nearest, same_name) >= similar:
            nearest.extend(same_name)
        else:
            groups.append(same_name)
    return groups


def _likeness(one: Sequence[Source], other: Sequence[Source]) -> float:
    """The similarity of the two closest members; 0 if one rationale contains both principles."""
    if {source.rationale for source in one} & {source.rationale for source in other}:
        return 0.0
    return max(similarity(a, b) for a in _principles(one) for b in _principles(other))


def _principles(group: Sequence[Source]) -> set[tuple[str, str]]:
    return {(source.unit.principle, source.unit.definition) for source in group}


def similarity(one: tuple[str, str], other: tuple[str, str]) -> float:
    """Similarity of two principles (name, definition), from 0 to 1: the cosine of their character trigram counts.

    It is the maximum of two values: of the names, and of names with definitions. `COMMON_WORDS` are ignored.
    """
    names = _cosine(_trigrams(one[0]), _trigrams(other[0]))
    if not (one[1] and other[1]):
        return names
    return max(names, _cosine(_trigrams(" ".join(one)), _trigrams(" ".join(other))))


@lru_cache(maxsize=4096)
def _trigrams(text: str) -> Counter[str]:
    padded = f" {' '.join(word for word in normalise(text).split() if word not in COMMON_WORDS)} "
    return Counter(padded[i : i + 3] for i in range(len(padded) - 2))


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    if len(one) > len(other):
        one, other = other, one
    product = sum(count * other[gram] for gram, count in one.items())
    return product / sqrt(sum(n * n for n in one.values()) * sum(n * n for n in other.values())) if product else 0.0


@lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    """A principle's name in lower case, without markdown, punctuation and extra space."""
    return " ".join(re.sub(r"[\W_]+", " ", name).casefold().split())


# One unit of a group --------------------------------------------------------------------------------------------------


def merged(group: Sequence[Source]) -> Merged:
    """Merge a group into one unit: the most common spelling, the majority's sub-verdict, and the judgments for it.

    Sources with the opposite sub-verdict are counted but not quoted, because a judgment that argues against its own
    sub-verdict would teach contradiction. If the sides are balanced, the sub-verdict is MIXED and all are quoted.
    """
    units = [source.unit for source in group]
    name = _commonest(unit.principle for unit in units)
    definitions = [unit.definition for unit in units if unit.definition]
    verdict = _sub_verdict(units)
    opposite = {"A": "B", "B": "A"}.get(verdict or "", "")
    judgment = join_judgments([unit.judgment for unit in units if unit.sub_verdict != opposite])
    unit = Unit(name, _commonest(definitions) if definitions else "", judgment, verdict)
    return Merged(unit, len({source.rationale for source in group}), fmean(source.place for source in group))


def _sub_verdict(units: Sequence[Unit]) -> SubVerdict | None:
    if all(unit.sub_verdict is None for unit in units):
        return None
    return leading(unit.sub_verdict for unit in units) or "MIXED"


def leading(sides: Iterable[str | None]) -> Literal["A", "B"] | None:
    """The side that is named more often; None if they are balanced. Other values than A and B are ignored."""
    counts = Counter(sides)
    if counts["A"] == counts["B"]:
        return None
    return "A" if counts["A"] > counts["B"] else "B"


def _commonest(texts: Iterable[str] | Counter[str]) -> str:
    """The most common text; among equally common ones, the first."""
    return Counter(texts).most_common(1)[0][0]


def join_judgments(judgments: Sequence[str]) -> str:
    """Concatenate judgments without repeated sentences. A repeated sentence keeps its most common spelling."""
    spellings: dict[str, Counter[str]] = {}
    spaces: dict[str, str] = {}
    for sentence in (sentence for judgment in judgments for sentence in sentences(judgment)):
        key, spelling = _sentence_key(sentence), sentence.rstrip()
        spellings.setdefault(key, Counter())[spelling] += 1
        spaces.setdefault(key, sentence[len(spelling) :] or _space_after(spelling))
    return "".join(_commonest(counts) + spaces[key] for key, counts in spellings.items()).strip()


def _space_after(sentence: str) -> str:
    """A line break after a fragment without a full stop, so that it stays a separate sentence."""
    return " " if _SENTENCE_END.search(f"{sentence} ") else "\n"


def _sentence_key(sentence: str) -> str:
    """The key by which equal sentences are found: without emphasis, case and the full stop. Other signs are kept."""
    return " ".join(re.sub(r"[*_`]+", "", sentence).casefold().split()).rstrip(".!。！ ")


def sentences(text: str) -> list[str]:
    """Split a text into sentences or lines, each with the space after it, so that joining them restores the text."""
    cuts = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if text[a:b].strip()]


_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s+|[。！？]\s*|\n\s*")


# The whole rationale --------------------------------------------------------------------------------------------------


def breadth(units: Sequence[Merged], rationales: Sequence[Rationale], *, keep: int) -> Rationale:
    """The `keep` most frequent units (ties by first appearance), in the order of their mean place in the sources."""
    kept = sorted(units, key=lambda merged: -merged.count)[:keep]
    ordered = tuple(merged.unit for merged in sorted(kept, key=lambda merged: merged.place))
    return Rationale(ordered, verdict=decide(ordered, rationales))


def decide(units: Sequence[Unit], rationales: Sequence[Rationale]) -> Literal["A", "B"] | None:
    """The verdict of a merged rationale: the side that most of its units take, so that it follows from the text.

    If the units are balanced, the side that most of the source rationales end with. If these are balanced too, None,
    which rejects the rationale. The paper does not specify this.
    """
    return leading(unit.sub_verdict for unit in units) or leading(rationale.verdict for rationale in rationales)


# All rationales of a run ----------------------------------------------------------------------------------------------


def unify_names(rationales: Sequence[Rationale]) -> list[Rationale]:
    """Give every principle the same name in all rationales: the most common of its spellings."""
    spellings: dict[str, Counter[str]] = {}
    for unit in (unit for rationale in rationales for unit in rationale.units):
        spellings.setdefault(normalise(unit.principle), Counter())[unit.principle] += 1
    spelling = {name: _commonest(counts) for name, counts in spellings.items()}
    return [
        replace(rationale, units=tuple(replace(u, principle=spelling[normalise(u.principle)]) for u in rationale.units))
        for rationale in rationales
    ]


def ordered_alike(rationales: Sequence[Rationale]) -> list[Rationale]:
    """Sort the units of all rationales in the same order: by the mean relative place of their principles.

    Ties keep the order of first appearance.
    """
    places: dict[str, list[float]] = {}
    for source in sources(rationales):
        places.setdefault(normalise(source.unit.principle), []).append(source.place)
    rank = {name: k for k, name in enumerate(sorted(places, key=lambda name: fmean(places[name])))}
    return [
        replace(rationale, units=tuple(sorted(rationale.units, key=lambda unit: rank[normalise(unit.principle)])))
        for rationale in rationales
    ]
