"""Detect responses without content: blank texts, bare punctuation, and reasoning openers without an answer.

    find_degeneracy("Thought process:")                                              # "opener"
    find_degeneracy("Paris,", reference="Paris")                                     # None: it contains the answer

Such responses fool verifiers with a reference answer ("One token to fool LLM-as-a-judge", arXiv 2507.08794), so a judge
may reject them without asking a model. Detection is incomplete: it knows openers in a few languages. It also mistakes a
short line that breaks off for an opener, even if it states the answer in other words than the reference.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

DegenerateKind = Literal["empty", "punctuation", "opener"]
MAX_WORDS = 8
"""A text that breaks off ("Let us see:") counts as an opener only up to this many words; longer ones have content."""
_OPENERS = re.compile(
    r"(?:the |my |final |here is )*(?:solution|answer|explanation|thought process|reasoning|step \d+)(?: is)?"
    r"|let(?: ?s| us| me)? (?:solve|think|work|go|answer|start|begin)\b.{0,60}(?:step by step|this|problem|question|it)"
    r"|(?:la |mi )?(?:respuesta|solución|explicación)(?: final| es)?"
    r"|解|解答|解説|かいせつ|答案|答え|答案是|答えは",
)


def find_degeneracy(response: str, reference: str | None = None) -> DegenerateKind | None:
    """Why a response has no content; None if it has, and always if it contains the reference answer."""
    if not response.strip():
        return "empty"
    if reference is not None and contains_answer(response, reference):
        return None
    if all(unicodedata.category(letter)[0] in "PZC" for letter in response):
        return "punctuation"
    breaks_off = response.rstrip().endswith((":", "：", ",", "，", "、"))
    if breaks_off and len(response.split()) <= MAX_WORDS and not any(map(str.isdecimal, response)):
        return "opener"
    return "opener" if _OPENERS.fullmatch(_words_only(response)) else None


def contains_answer(text: str, reference: str) -> bool:
    """Whether a text contains the reference answer, verbatim or as the same sequence of words.

    Case, character width, whitespace and, between words, punctuation are ignored. A number does not match inside a
    longer number, nor a single letter inside a word. An empty reference matches no text.
    """
    spelling, words = _folded(reference), _words_only(reference)
    before = r"(?<!\d)" if spelling[:1].isdecimal() else ""
    after = r"(?!\d)" if spelling[-1:].isdecimal() else ""
    if re.fullmatch("[a-z]", spelling):
        before, after = r"(?<![^\W\d_])", r"(?![^\W\d_])"
    verbatim = bool(spelling) and re.search(before + re.escape(spelling) + after, _folded(text)) is not None
    return verbatim or (bool(words) and f" {words} " in f" {_words_only(text)} ")


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _words_only(text: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", text).casefold().split())
