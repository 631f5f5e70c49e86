"""What a judge wrote, made ready for reading: only what counts, with its labelled lines found.

    >>> page = Page.of("<think>[[B]]?</think>**Verdict**: A")
    >>> page.text, [label.kind for label in page.labels]
    ('\\n**Verdict**: A', ['verdict'])

Which rules this follows is written in docs/reading-rules.md. It finds lines; it does not judge what they mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

MOST_LABELS = 768
SHORTEST_LOOP = 32_000
SHORTEST_LINE = 24
"""A text longer than that, of lines shorter than this on average, or with more labels, is a model that loops."""

_THOUGHTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis", "<|channel|>final"),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
)
_MOST_TAGS = 512
_MENTIONED = "`\"'“‘「『«"
_SPECIAL_TOKEN = re.compile(r"<\|[^|<>\n]{1,32}\|>|</s>")
_FULL_WIDTH = re.compile("[ａ-ｚ０-９！＃（）＊，－．／：；＜＝＞［］｜]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe0e\ufe0f\ufeff]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_FENCE = re.compile(r"\n[ \t]{0,3}(`{3,}|~{3,})([^\n`]*)(?![^\n])")

# What may stand around words without meaning anything: markdown, quotes, brackets, bullets, emoji. No backslash.
_MARKUP = r"[^a-z0-9\n\\\u00aa\u00b5\u00ba\u00c0-\u1fff\u2c00-\u2dff\u3005-\u3007\u3040-\ud7ff\uf900-\ufaff]"
_NOUN = r"(?:verdict|judge?ment|decision|answer|choice|conclusion|winner|ruling|preference|selection)"
_FINAL = rf"(?:final|overall|ultimate)[ _-]{_NOUN}"
_PLAIN = (
    r"verdict|winner|answer|conclusion|decision|choice"
    r"|(?:better|best|preferred|chosen|superior|stronger)"
    r" (?:response|answer|assistant|output|reply|candidate|model|one)"
)
# Every alternative starts with a letter, so that a line that starts otherwise costs next to nothing.
_NAME = (
    rf"the (?:{_FINAL}|{_PLAIN})|my (?:{_FINAL}|{_PLAIN}|solution)|our (?:{_FINAL}|{_PLAIN})|{_FINAL}|{_PLAIN}"
    r"|principle[ _]?\#?\d{0,4}|criterion ?\#?\d{0,4}|aspect ?\#?\d{1,4}|dimension ?\#?\d{1,4}"
    r"|definition|description|solution|reference solution|reasoning trace|trace"
    r"|judge?ment|analysis|assessment|evaluation|comparison|sub-? ?verdict|better|preference|preferred"
    r"|最[终終] ?(?:裁决|裁決|判断|判斷|结论|結論|答案|评判|决定|判决|裁定|选择|判定)"
    r"|原[则則] ?\d{0,4}|准则 ?\d{0,4}|标准 ?\d{0,4}|定[义義]|描述|解答|参考解答|求解|判[断斷]|分析|评价"
    r"|裁[决決]|判决|判定|结论|結論|胜者|获胜者|答案|更好的?(?:回答|回复|答案)|更佳回答"
)
_LABEL = re.compile(
    rf"\n({_MARKUP}{{0,12}}(?:\d{{1,3}}[.):]{_MARKUP}{{0,6}})?)({_NAME})(?![a-z])"
    r"((?:[\s*_~`\"')\]>]|\([^()\n]{0,40}\)){0,6}[:=|]|[*_ ]{0,4}[-–—] )?"
)
_KINDS = (
    ("final", ("final", "overall", "ultimate", "最")),
    ("principle", ("principle", "aspect", "dimension", "原则", "原則", "准则", "标准")),
    ("definition", ("definition", "description", "criterion", "定义", "定義", "描述")),
    ("solution", ("solution", "trace", "解答", "求解")),
    ("judgment", ("judg", "analysis", "assessment", "evaluation", "comparison", "判断", "判斷", "分析", "评价")),
)


class Label(NamedTuple):
    """A line that starts with a field's name. `start` is its line break; the name goes from `words` to `end`."""

    kind: str
    start: int
    words: int
    end: int
    value: int | None
    """Where the value starts, if a colon or its like follows the name."""


@dataclass(frozen=True, slots=True)
class Page:
    """`text` starts with a line break; `folded` is the same in lower case and ASCII punctuation, place by place.

    `fences` are the places of its code fences. `loops` says that this is a model gone round in circles: thousands of
    tiny lines, of brackets, of labels. No labels are looked for there.
    """

    text: str
    folded: str
    labels: list[Label]
    fences: list[int]
    loops: bool

    @classmethod
    def of(cls, text: str) -> Page | None:
        """The page that `text` makes; None when it ends in a thought that is never closed."""
        _, spoken = apart(unix_lines(text))
        if spoken is None:
            return None
        if "<" in spoken:
            spoken = _SPECIAL_TOKEN.sub("", spoken)
        spoken = "\n" + _unwrapped(visible(spoken).strip())
        if len(spoken) > SHORTEST_LOOP:
            spoken = _BLANK_LINES.sub("\n\n", spoken)
        folded = fold(spoken)
        if len(folded) > SHORTEST_LOOP and max(map(folded.count, "\n[<")) > len(folded) // SHORTEST_LINE:
            return cls(spoken, folded, [], [], loops=True)
        labels = [_label(match) for match in islice(_LABEL.finditer(folded), MOST_LABELS + 1)]
        fences = _fences(spoken) if "`" in spoken or "~" in spoken else []
        return cls(spoken, folded, labels, fences, loops=len(labels) > MOST_LABELS)

    def line_end(self, position: int) -> int:
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end


def _label(match: re.Match[str]) -> Label:
    return Label(_kind(match[2]), match.start(), match.start(2), match.end(2), match.end(3) if match[3] else None)


@lru_cache(maxsize=512)
def _kind(name: str) -> str:
    if name.startswith("sub") or name in ("better", "preference", "preferred"):
        return "sub-verdict"
    if name.startswith("criterion") and name[-1].isdigit():
        return "principle"
    return next((kind for kind, words in _KINDS if any(word in name for word in words)), "verdict")


def unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def visible(text: str) -> str:
    return text if text.isascii() else _INVISIBLE.sub("", text)


def fold(text: str) -> str:
    """Lower case and ASCII punctuation, of the same length."""
    if text.isascii():
        return text.lower()
    folded = text.replace("İ", "i").lower()
    for wide in set(_FULL_WIDTH.findall(folded)):
        folded = folded.replace(wide, chr(ord(wide) - 0xFEE0))
    return folded


def apart(text: str) -> tuple[str, str | None]:
    """The thoughts that stand in a text, and what it says outside of them; None when one of them is never closed."""
    if not ("<" in text or "◁" in text or ("[" in text and "[/THINK]" in text)):
        return "", text
    tags = _thought_tags(fold(text))
    if len(tags) > _MOST_TAGS:
        return text, None
    spoken: list[str] = []
    thoughts: list[str] = []
    start, thinking = 0, False
    for n, (at, end, closing) in enumerate(tags):
        if closing and (thinking or n == 0):
            thoughts.append(text[start:at].strip())
            start, thinking = end, False
        elif not closing and not thinking:
            spoken.append(text[start:at])
            start, thinking = end, True
    (thoughts if thinking else spoken).append(text[start:])
    return "\n\n".join(thoughts).strip(), None if thinking else "\n\n".join(spoken)


def _thought_tags(folded: str) -> list[tuple[int, int, bool]]:
    """Where each tag of a thought starts and ends, and whether it closes; at most a few more than are allowed."""
    tags: list[tuple[int, int, bool]] = []
    for pair in _THOUGHTS:
        for closing, tag in enumerate(pair):
            at = folded.find(tag)
            while at >= 0 and len(tags) <= _MOST_TAGS:
                if at == 0 or folded[at - 1] not in _MENTIONED:
                    tags.append((at, at + len(tag), bool(closing)))
                at = folded.find(tag, at + 1)
    return sorted(tags)


def _fences(text: str) -> list[int]:
    """Where code fences open and close in turn. A fence is closed by one at least as long, of the same character."""
    places: list[int] = []
    opened = ""
    for match in islice(_FENCE.finditer(text), MOST_LABELS):
        run, rest = match[1], match[2]
        if not opened:
            opened = run
            places.append(match.start())
        elif run.startswith(opened) and not rest.strip():
            opened = ""
            places.append(match.start())
    return places


def _unwrapped(text: str) -> str:
    """Without the code fence that wraps all of it."""
    if not text.startswith(("```", "~~~")):
        return text
    first, _, rest = text.partition("\n")
    if not rest:
        return first.strip("`~ ")
    places = _fences("\n" + text)
    if len(places) == 1:
        return rest.strip()
    last = text.rfind("\n")
    return text[len(first) : last].strip() if places[1:] == [last + 1] else text
