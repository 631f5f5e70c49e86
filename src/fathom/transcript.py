"""What a judge wrote, made ready for reading: only what counts, with its labelled lines found.

    >>> page = Page.of("<think>[[B]]?</think>**Verdict**: A")
    >>> page.text, [label.kind for label in page.labels]
    ('\\n**Verdict**: A', ['verdict'])

Which rules this follows is written in docs/reading-rules.md. It finds lines; it does not judge what they mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_THOUGHT = re.compile(
    r"(?<![`\"'“‘「『«])(?:<(?P<closing>/)?(?:think|thinking|thought|reasoning|analysis|scratchpad)>|\[(?P<closing2>/)?think\]"
    r"|◁(?P<closing3>/)?think▷|<\|(?:(?P<closing4>end)|begin)_of_thought\|>"
    r"|<\|channel\|>(?:analysis|commentary|(?P<closing5>final))(?:<\|message\|>)?)"
)
_MOST_THOUGHTS = 64
_SPECIAL_TOKEN = re.compile(r"<\|[^|<>\n]{1,32}\|>|</s>")
_FULL_WIDTH = re.compile("[！-～İ]")
_TO_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x130: "i"}
_INVISIBLE_IN_TEXT = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe0e\ufe0f\ufeff]+")

FEWEST_LINES_OF_A_LOOP = 2000
SHORTEST_LINE = 24
"""A text of more lines than that, and shorter ones than this on average, is a model that loops."""

# What may stand around words without meaning anything: markdown, quotes, brackets, bullets, emoji.
_MARKUP = r"[^a-z0-9\n\\\u00aa\u00b5\u00ba\u00c0-\u1fff\u2c00-\u2dff\u3005-\u3007\u3040-\ud7ff\uf900-\ufaff]"
_NOUNS = r"(?:verdict|judge?ment|decision|answer|choice|conclusion|winner|ruling|preference|selection|pick)"
_RESPONSE = r"(?:response|answer|assistant|output|reply|candidate|model|one)"
_LABEL = re.compile(
    rf"\n(?P<lead>{_MARKUP}{{0,12}}(?:\d{{1,3}}[.):]{_MARKUP}{{0,6}})?)(?:"
    r"(?P<principle>principle(?![a-z])(?:[ _]?\#?\d{1,4})?|(?:criterion|aspect|dimension) ?\#?\d{1,4}|(?:原则|原則|准则|标准) ?\d{0,4})"
    r"|(?P<definition>definition|description|criterion|定义|定義|描述)"
    r"|(?P<solution>(?:(?:my|reference) )?solution|(?:reasoning )?trace|解答|参考解答|求解)"
    rf"|(?P<final>(?:(?:so|thus|hence|therefore|and),? )?(?:(?:the|my|our) )?(?:final|overall|ultimate)[ _-]{_NOUNS}"
    r"|最[终終] ?(?:裁决|裁決|判断|判斷|结论|結論|答案|评判|决定|判决|裁定|选择|判定))"
    r"|(?P<judgment>judge?ment|analysis|assessment|evaluation|comparison|判断|判斷|分析|评价)"
    r"|(?P<sub>sub-? ?verdict|better(?! [a-z])|preference|preferred(?! [a-z]))"
    r"|(?P<verdict>(?:(?:the|my|our) )?(?:verdict|winner|answer|conclusion|decision|choice"
    rf"|(?:better|best|preferred|chosen|superior|stronger) {_RESPONSE})"
    r"|裁决|裁決|判决|判定|结论|結論|胜者|获胜者|答案|更好的?(?:回答|回复|答案)|更佳回答))"
    r"(?![a-z])"
)
_COLON = re.compile(r"(?:[\s*_~`\"')\]>]|\([^()\n]{0,40}\)){0,6}[:=|]|[*_\s]{0,4}[-–—] ")
_FENCE = re.compile(r"\n[ \t]{0,3}(?:```|~~~)")
_WRAPPING_FENCE = re.compile(r"(?:```|~~~)[\w+-]{0,20}\s*\n?(.*?)\s*(?:```|~~~)?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Label:
    """A line that starts with a field's name. `start` is its line break, `end` stands after the name."""

    kind: str
    start: int
    lead_end: int
    end: int
    colon: int | None
    """Where the value starts, if a colon or its like follows the name."""


@dataclass(frozen=True)
class Page:
    """`text` starts with a line break; `folded` is the same in lower case and ASCII punctuation, place by place."""

    text: str
    folded: str
    unclosed_thought: bool = False

    @classmethod
    def of(cls, text: str) -> Page:
        spoken = _without_thoughts(text)
        if spoken is None:
            return cls("\n", "\n", unclosed_thought=True)
        if "<" in spoken:
            spoken = _SPECIAL_TOKEN.sub("", spoken)
        spoken = "\n" + _unwrap(visible(spoken).strip())
        if "\n\n\n" in spoken:
            spoken = re.sub(r"\n{3,}", "\n\n", spoken)
        return cls(spoken, fold(spoken))

    @property
    def loops(self) -> bool:
        """Whether this is a model gone round in circles: thousands of tiny lines, or of brackets."""
        size = len(self.text)
        return self.text.count("\n") > max(FEWEST_LINES_OF_A_LOOP, size // SHORTEST_LINE) or self.text.count("[") > max(
            2000, size // 40
        )

    @cached_property
    def labels(self) -> list[Label]:
        return [self._label(match) for match in _LABEL.finditer(self.folded)]

    def _label(self, match: re.Match[str]) -> Label:
        colon = _COLON.match(self.folded, match.end())
        kind = match.lastgroup or ""
        return Label(kind, match.start(), match.end("lead"), match.end(), colon.end() if colon else None)

    @cached_property
    def fences(self) -> list[int]:
        return (
            [match.start() for match in _FENCE.finditer(self.text)] if "```" in self.text or "~~~" in self.text else []
        )

    def line_end(self, position: int) -> int:
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end


def visible(text: str) -> str:
    return text if text.isascii() else _INVISIBLE_IN_TEXT.sub("", text)


def fold(text: str) -> str:
    """Lower case and ASCII punctuation, of the same length."""
    if text.isascii() or not _FULL_WIDTH.search(text):
        return text.lower()
    return text.translate(_TO_ASCII).lower()


def _without_thoughts(text: str) -> str | None:
    """The text outside of think blocks; None when one of them is never closed."""
    if not ("<" in text or "[/" in text or "[THINK]" in text or "◁" in text):
        return text
    spoken, start, thinking = [], 0, False
    for n, match in enumerate(_THOUGHT.finditer(fold(text))):
        closing = any(match.groups())
        if n >= _MOST_THOUGHTS:
            return None
        if closing and (thinking or n == 0):
            thinking, start = False, match.end()
        elif not closing and not thinking:
            spoken.append(text[start : match.start()])
            thinking = True
    return None if thinking else "\n\n".join([*spoken, text[start:]])


def _unwrap(text: str) -> str:
    """Without the code fence that wraps all of it."""
    if (
        text.startswith(("```", "~~~"))
        and len(_FENCE.findall("\n" + text)) <= 2
        and (match := _WRAPPING_FENCE.match(text))
    ):
        after_last = text.rstrip().endswith(("```", "~~~")) or len(_FENCE.findall("\n" + text)) == 1
        return match[1] if after_last else text
    return text
