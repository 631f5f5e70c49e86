"""Overlap of test texts with training texts, by runs of words.

    seen = runs(training_texts)
    overlapping = [bool(runs([text]) & seen) for text in test_texts]

A test text overlaps if it shares 13 words in a row with a training text, ignoring case and punctuation: the measure of
GPT-3's data (arXiv 2005.14165, appendix C). It does not find paraphrases, nor texts of fewer words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

WORDS = 13


def runs(texts: Iterable[str], words: int = WORDS) -> set[int]:
    """The 64-bit hash of every run of `words` words in a text. Hashes differ between processes."""
    return {
        hash(tuple(found[start : start + words]))
        for found in (re.findall(r"\w+", text.lower()) for text in texts)
        for start in range(len(found) - words + 1)
    }
