"""Overlap of test texts with training texts, by runs of words.

    seen = shared(problems, texts_of(training_rows))        # the problems that overlap
    runs(["to be or not to be"], words=3)                   # hashes of its four runs of three words

A text overlaps if it shares 13 words in a row with a training text, ignoring case and punctuation: the measure of
GPT-3's data (arXiv 2005.14165, appendix C). A text of fewer words overlaps only with a training text of the same words.

Not guaranteed: paraphrases are not found. Common phrases of 13 words, such as instructions, count as overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

WORDS = 13


def runs(texts: Iterable[str], words: int = WORDS) -> set[int]:
    """The 64-bit hash of every run of `words` words in a text. Hashes differ between processes."""
    return {each for text in texts for each in _hashes(_words(text), words)}


def shared(problems: Iterable[str], training: Iterable[str]) -> set[str]:
    """The problems that overlap with a training text. Memory grows with the problems only."""
    wanted: dict[int, list[str]] = {}
    for problem in set(problems):
        for each in _keys(problem):
            wanted.setdefault(each, []).append(problem)
    found: set[str] = set()
    for text in training:
        found.update(problem for each in _keys(text) if each in wanted for problem in wanted[each])
    return found


def texts_of(value: Any) -> Iterator[str]:
    """All texts in a row of any layout, also in lists and objects inside it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_of(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_of(inner)


def _keys(text: str) -> set[int]:
    """The hashes of the runs of a text; of the whole text if it has fewer words than a run, but any."""
    found = _words(text)
    if len(found) >= WORDS:
        return _hashes(found, WORDS)
    return {hash(tuple(found))} if found else set()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _hashes(found: list[str], words: int) -> set[int]:
    return {hash(tuple(found[start : start + words])) for start in range(len(found) - words + 1)}
