"""A transcript prepared for parsing: reasoning and special tokens removed, labelled lines found.

    >>> document = Document.of("<think>[[B]]?</think>**Verdict**: A")
    >>> document.text, [label.kind for label in document.labels]
    ('\\n**Verdict**: A', ['verdict'])

docs/reading-rules.md states the rules. This module finds labelled lines; it does not interpret them.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from fathom.rationale.transcript.characters import fold, unix_lines, visible
from fathom.rationale.transcript.fences import fences, unwrapped
from fathom.rationale.transcript.thoughts import SECOND_THOUGHT, divided

MAX_LABELS = 768
MIN_LOOP_LENGTH = 32_000
MIN_MEAN_LINE = 24
"""A text counts as degenerate repetition if it has more than MAX_LABELS labels, or is longer than MIN_LOOP_LENGTH with
lines (or brackets) closer than MIN_MEAN_LINE characters on average."""

_SPECIAL_TOKEN = re.compile(r"<\|[^|<>\n]{1,32}\|>|</s>")
_BLANK_LINES = re.compile(r"\n{3,}")

# Characters without meaning around a label: markdown, quotes, brackets, bullets, emoji. Written as a complement: not a
# letter of any script, a digit, a line break or a backslash (which marks escaped lines, see `rationale._field`).
_MARKUP = r"[^a-z0-9\n\\\u00aa\u00b5\u00ba\u00c0-\u1fff\u2c00-\u2dff\u3005-\u3007\u3040-\ud7ff\uf900-\ufaff]"
_NOUN = r"(?:verdict|judge?ment|decision|answer|choice|conclusion|winner|ruling|preference|selection)"
_FINAL = rf"(?:final|overall|ultimate)[ _-]{_NOUN}"
_PLAIN = (
    r"verdict|winner|answer|conclusion|decision|choice|(?:better|best|preferred|chosen|superior|stronger)"
    r" (?:response|answer|assistant|output|reply|candidate|model|one)"
)
# Verdict labels in other languages. Alternation takes the first match, so longer labels ("final ...") come first.
_ELSEWHERE = (
    r"(?:endgültiges|abschließendes|finales) (?:urteil|verdikt)|endgültige (?:entscheidung|antwort)|urteil"
    r"|gewinner(?:in)?|sieger|bessere antwort|verdict (?:final|définitif)|décision finale|jugement final"
    r"|réponse finale|meilleure réponse|gagnante?|veredicto final|decisión final|respuesta final|juicio final"
    r"|veredicto|mejor respuesta|ganadora?|veredito final|decisão final|resposta final|veredito|melhor resposta"
    r"|vencedora?|verdetto finale|decisione finale|risposta finale|giudizio finale|verdetto|risposta migliore"
    r"|vincit(?:ore|rice)|eindoordeel|definitief oordeel|eindoordeel|oordeel|winnaar|beter antwoord"
    r"|ostateczny werdykt|ostateczna decyzja|werdykt|zwycięzca|lepsza odpowiedź|итоговый вердикт"
    r"|окончательный вердикт|итоговое решение|вердикт|победитель|лучший ответ|nihai karar|son karar|kazanan"
    r"|daha iyi yanıt|phán quyết cuối cùng|kết luận cuối cùng|phán quyết|câu trả lời tốt hơn|अंतिम निर्णय|विजेता"
    r"|الحكم النهائي|القرار النهائي|الفائز|最終判定|最終評価|総合判定|判定|勝者|より良い(?:回答|応答)|최종 ?(?:판정"
    r"|판결|결정|결론)|판정|승자|더 나은 (?:응답|답변)"
)
# Names of fields, such as `Final verdict`, `Principle 3`. Every alternative starts with a letter, so that the engine
# rejects other lines after one character.
_NAME = (
    rf"verdict (?:final|définitif)|the (?:{_FINAL}|{_PLAIN})|my (?:{_FINAL}|{_PLAIN}|solution)|our (?:{_FINAL}"
    rf"|{_PLAIN})|{_FINAL}|{_PLAIN}"
    r"|principle[ _]?\#?\d{0,4}|criterion ?\#?\d{0,4}|aspect ?\#?\d{1,4}|dimension ?\#?\d{1,4}"
    r"|definition|description|solution|reference solution|reasoning trace|trace"
    r"|judge?ment|analysis|assessment|evaluation|comparison|sub-? ?verdict|better|preference|preferred"
    r"|最[终終] ?(?:裁决|裁決|判断|判斷|结论|結論|答案|评判|决定|判决|裁定|选择|判定)"
    r"|原[则則] ?\d{0,4}|准则 ?\d{0,4}|标准 ?\d{0,4}|定[义義]|描述|解答|参考解答|求解|判[断斷]|分析|评价"
    r"|裁[决決]|判决|判定|结论|結論|胜者|获胜者|答案|更好的?(?:回答|回复|答案)|更佳回答"
    rf"|{_ELSEWHERE}"
)
# A labelled line: markup and an optional number, a name, then an optional colon, possibly after closing markup or an
# aside in brackets, or a dash: `\n**2. Final verdict** (overall): A`.
_LABEL = re.compile(
    rf"\n({_MARKUP}{{0,12}}(?:\d{{1,3}}[.):]{_MARKUP}{{0,6}})?)({_NAME})(?![a-zà-ÿа-я])"
    r"((?:[\s*_~`\"')\]>]|\([^()\n]{0,40}\)){0,6}[:=|]|[*_ ]{0,4}[-–—] )?"
)
_KINDS = (
    (
        "final",
        (
            "final",
            "overall",
            "ultimate",
            "最",
            "endgültig",
            "abschließend",
            "définitif",
            "definitief",
            "eindoordeel",
            "ostateczn",
            "итогов",
            "окончательн",
            "nihai",
            "son karar",
            "cuối",
            "अंतिम",
            "النهائي",
            "최종",
            "総合",
        ),
    ),
    ("principle", ("principle", "aspect", "dimension", "原则", "原則", "准则", "标准")),
    ("definition", ("definition", "description", "criterion", "定义", "定義", "描述")),
    ("solution", ("solution", "trace", "解答", "求解")),
    ("judgment", ("judg", "analysis", "assessment", "evaluation", "comparison", "判断", "判斷", "分析", "评价")),
)


Spans = Sequence[tuple[int, int]]
"""Half-open intervals of positions, sorted and disjoint."""


class Label(NamedTuple):
    """A line that starts with the name of a field. `start` is its line break; the name spans `words` to `end`."""

    kind: str
    start: int
    words: int
    end: int
    value: int | None
    """Start of the value, if a colon or a similar sign follows the name."""


@dataclass(frozen=True, slots=True)
class Document:
    """The text that counts. `text` starts with a line break, so that every line does.

    `folded` is `text` in lower case with ASCII punctuation; positions in both are the same. `fences` are the positions
    of code fences. `second_thoughts` are reasoning blocks in the middle or at the end, folded, with their positions.
    `loops` marks degenerate repetition: thousands of tiny lines, brackets or labels. It has no labels.
    """

    text: str
    folded: str
    labels: list[Label]
    fences: list[int]
    second_thoughts: list[tuple[int, str]] = field(default_factory=list)
    loops: bool = False

    @classmethod
    def of(cls, text: str) -> Document | None:
        """The document of `text`; None if it ends inside an unclosed reasoning block."""
        thoughts, spoken = divided(unix_lines(text))
        if spoken is None:
            return None
        if "<" in spoken:
            spoken = _SPECIAL_TOKEN.sub("", spoken)
        spoken = "\n" + unwrapped(visible(spoken).strip().lstrip(SECOND_THOUGHT + " \t\n"))
        if len(spoken) > MIN_LOOP_LENGTH:
            spoken = _BLANK_LINES.sub("\n\n", spoken)
        second_thoughts = _second_thoughts(spoken, thoughts) if thoughts else []
        spoken = spoken.replace(SECOND_THOUGHT, "\n") if second_thoughts else spoken
        folded = fold(spoken)
        if len(folded) > MIN_LOOP_LENGTH and max(map(folded.count, "\n[<{")) > len(folded) // MIN_MEAN_LINE:
            return cls(spoken, folded, [], [], loops=True)
        labels = [_label(match) for match in islice(_LABEL.finditer(folded), MAX_LABELS + 1)]
        return cls(spoken, folded, labels, fences(spoken), second_thoughts, loops=len(labels) > MAX_LABELS)

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


def _second_thoughts(spoken: str, thoughts: list[str]) -> list[tuple[int, str]]:
    """Pair reasoning blocks with their positions, from the end.

    There may be more blocks than positions, since the text before a lone closing tag is a block without a position.
    """
    places = [match.start() for match in re.finditer(SECOND_THOUGHT, spoken)]
    return [(place, fold(thought)) for place, thought in zip(places[::-1], thoughts[::-1], strict=False)][::-1]


def is_within(place: int, spans: Spans) -> bool:
    k = bisect(spans, place, key=lambda span: span[0])
    return k > 0 and place < spans[k - 1][1]


def merged(one: Spans, other: Spans) -> Spans:
    """The union of two sequences of spans."""
    if not one or not other:
        return one or other
    spans: list[tuple[int, int]] = []
    for start, end in sorted([*one, *other]):
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans
