"""Responses that say nothing: blanks, punctuation, openers after which no answer comes.

    degenerate("Thought process:")                                                   # "opener"
    degenerate("Paris,", reference="Paris")                                          # None: it holds the answer

Verifiers with a reference have been fooled by these ("One token to fool LLM-as-a-judge", arXiv 2507.08794), so a judge
may call them wrong without a model. Not promised: that every text without content is told. The openers are those of a
few languages, and an answer in other words than the reference's is taken for one where it breaks off like one.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Kind = Literal["empty", "punctuation", "opener"]
MAX_WORDS = 8
"""A line that breaks off after more words has content."""
_OPENERS = re.compile(
    r"(?:the |my |final |here is )*(?:solution|answer|explanation|thought process|reasoning|step \d+)(?: is)?"
    r"|let(?: ?s| us| me)? (?:solve|think|work|go|answer|start|begin)\b.{0,60}(?:step by step|this|problem|question|it)"
    r"|(?:la |mi )?(?:respuesta|solución|explicación)(?: final| es)?"
    r"|解|解答|解説|かいせつ|答案|答え|答案是|答えは",
)


def degenerate(response: str, reference: str | None = None) -> Kind | None:
    """Why a response says nothing; None where it says something, and always where it holds the reference answer."""
    if not response.strip():
        return "empty"
    if reference is not None and contains_answer(response, reference):
        return None
    if all(unicodedata.category(letter)[0] in "PZC" for letter in response):
        return "punctuation"
    breaks_off = response.rstrip().endswith((":", "：", ",", "，", "、"))
    if breaks_off and len(response.split()) <= MAX_WORDS and not any(map(str.isdecimal, response)):
        return "opener"
    return "opener" if _OPENERS.fullmatch(_heard(response)) else None


def contains_answer(text: str, reference: str) -> bool:
    """Whether a text has the reference answer in it: as it is spelt, or word for word without the signs between.

    Case, width and space do not count. A number is not in a longer one, nor a single letter in a word. An empty
    reference is in no text.
    """
    spelt, heard = _flat(reference), _heard(reference)
    before = r"(?<!\d)" if spelt[:1].isdecimal() else ""
    after = r"(?!\d)" if spelt[-1:].isdecimal() else ""
    if re.fullmatch("[a-z]", spelt):
        before, after = r"(?<![^\W\d_])", r"(?![^\W\d_])"
    literally = bool(spelt) and re.search(before + re.escape(spelt) + after, _flat(text)) is not None
    return literally or (bool(heard) and f" {heard} " in f" {_heard(text)} ")


def _flat(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _heard(text: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", text).casefold().split())
