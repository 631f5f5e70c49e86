"""Normalisation of characters, so that patterns need only one form: line ends, letter case, full-width punctuation.

>>> fold("Ｖerdict：［［A］］"), visible("[[\\u200bA]]"), unix_lines("a\\r\\nb")
('verdict:[[a]]', '[[A]]', 'a\\nb')
"""

from __future__ import annotations

import re

_FULL_WIDTH = re.compile("[ａ-ｚ０-９！＃（）＊，－．／：；＜＝＞［］｜]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe0e\ufe0f\ufeff]+")


def unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def visible(text: str) -> str:
    return text if text.isascii() else _INVISIBLE.sub("", text)


def fold(text: str) -> str:
    """Convert to lower case and ASCII punctuation. The length stays the same, so positions in both texts agree."""
    if text.isascii():
        return text.lower()
    # The lower case of İ has two characters, which would shift all positions after it.
    folded = text.replace("İ", "i").lower()
    for wide in set(_FULL_WIDTH.findall(folded)):
        folded = folded.replace(wide, chr(ord(wide) - 0xFEE0))
    return folded
