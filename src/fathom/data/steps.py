"""Splitting a text into steps: `split` returns parts whose concatenation is the text.

    >>> split("x = 2\\n\\nso 2x = 4", "paragraphs")
    ('x = 2\\n\\n', 'so 2x = 4')

A part includes the white space after it, so nothing is lost and the character span of a step follows from the lengths
of the parts before it (`spans`). Only a blank text has a blank part. Splitters are heuristics: they promise the
concatenation, not that a part is one step of reasoning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import get_args

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.settings import Splitter

SHARED = "shared_steps"
"""The key of `metadata` with the number of first steps that another comparison of the same row labels too."""

_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_LINE = re.compile(r"\n(?=[ \t]*\S)")
_NUMBERED = re.compile(r"^[ \t]*(?:[#>*_-]+[ \t]*)?step[ \t]+\d+\b", re.IGNORECASE | re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]*]*\s+(?=[\"'(\[*]*[A-Z0-9\\$])|\n\s*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|resp|approx|eq|eqs|fig|no|thm|mr|mrs|ms|dr|prof|st)|^\s*\d+|\n\s*\d+)\.[\"')\]*]*$",
    re.IGNORECASE,
)
"""Texts before a white space that ends no sentence: abbreviations, and the number of a list item."""
_THOUGHT = re.compile(r"</think(?:ing)?>\s*")


def split(text: str, splitter: Splitter) -> tuple[str, ...]:
    """Split a text into parts, so that `"".join(split(text, splitter)) == text`.

    - `paragraphs`: at blank lines, as in ProcessBench and Qwen2.5-Math-PRM;
    - `numbered`: before each "Step 1:", "step 2." at the beginning of a line; text before the first belongs to it;
    - `sentences`: after `.`, `!` or `?` before a capital letter, a digit or a formula, and at line breaks;
    - `lines`: at line breaks; blank lines belong to the line before, as in code;
    - `thinking`: paragraphs, and always at `</think>`, which separates the thought of a model from its answer.

    Raises FathomError for an unknown splitter.
    """
    if splitter not in _CUTS:
        raise FathomError(f"splitter {splitter!r}: unknown; expected one of {', '.join(get_args(Splitter))}")
    return _partition(text, _CUTS[splitter](text))


def steps_of(comparison: Comparison, splitter: Splitter) -> tuple[str, ...]:
    """The steps of a comparison with one response: its own, or else those of the splitter."""
    return split(comparison.responses[0], splitter) if comparison.steps is None else comparison.steps[0]


def parts_of(comparison: Comparison, splitter: Splitter) -> tuple[str, ...]:
    """The same steps as parts of one text (`joined`)."""
    return joined(steps_of(comparison, splitter), comparison.responses[0])


def joined(steps: Sequence[str], response: str) -> tuple[str, ...]:
    """Steps as parts of one text: unchanged if they concatenate to the response, else with blank lines between them."""
    if "".join(steps) == response:
        return tuple(steps)
    return (*(f"{step}\n\n" for step in steps[:-1]), *steps[-1:])


def spans(parts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The character span (begin, end) of each part in the concatenated text.

    >>> spans(("ab", "c"))
    ((0, 2), (2, 3))
    """
    return tuple(pairwise(accumulate(map(len, parts), initial=0)))


def thought_and_answer(text: str) -> tuple[str, str]:
    """The thought of a thinking model, up to and including its last `</think>`, and the answer after it.

    The thought is empty if the text has no closing tag. `"".join` gives the text back.
    """
    end = max((match.end() for match in _THOUGHT.finditer(text)), default=0)
    return text[:end], text[end:]


def first_error(step_scores: Sequence[float | None], threshold: float = 0.5) -> int | None:
    """The index of the first step that scores below the threshold; None where no judged step does."""
    return next((step for step, score in enumerate(step_scores) if score is not None and score < threshold), None)


def _partition(text: str, cuts: Iterable[int]) -> tuple[str, ...]:
    """The parts between the cuts. Blank parts are joined to a neighbour, because they are no step."""
    parts: list[str] = []
    for begin, end in pairwise((0, *sorted(set(cuts) - {0, len(text)}), len(text))):
        if parts and (not parts[-1].strip() or not text[begin:end].strip()):
            parts[-1] += text[begin:end]
        else:
            parts.append(text[begin:end])
    return tuple(parts)


def _ends(pattern: re.Pattern[str]) -> Callable[[str], list[int]]:
    return lambda text: [match.end() for match in pattern.finditer(text)]


def _numbered(text: str) -> list[int]:
    return [match.start() for match in _NUMBERED.finditer(text)][1:]


def _sentences(text: str) -> list[int]:
    return [
        match.end()
        for match in _SENTENCE.finditer(text)
        if "\n" in match[0] or not _ABBREVIATION.search(text, max(0, match.start() - 12), match.start())
    ]


def _thinking(text: str) -> list[int]:
    return [*_ends(_PARAGRAPH)(text), *_ends(_THOUGHT)(text)]


_CUTS: Mapping[Splitter, Callable[[str], Iterable[int]]] = {
    "paragraphs": _ends(_PARAGRAPH),
    "numbered": _numbered,
    "sentences": _sentences,
    "lines": _ends(_LINE),
    "thinking": _thinking,
}
