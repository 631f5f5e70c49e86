"""Markdown bias: whether a response wins more often if its sentences become a list with bold beginnings.

The words stay the same. The baseline is the comparison of both responses without markup, not the original.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from fathom.data.records import Comparison
from fathom.probes import Probe, Variation
from fathom.probes._changes import each, effects

_LEAD = re.compile(r"^[^\S\n]*(?:(?:#{1,6}|[-*+>])[^\S\n]+)+", re.MULTILINE)
_STRONG = re.compile(r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*])")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+(?=\S)")
_BEGINNING = re.compile(r"\s*\S+(?:\s+\S+)?")
_CODE = re.compile(r"(^```.*?^```[^\S\n]*$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def bare(text: str) -> str:
    """Remove headings, bullets, quotes and emphasis. Code is unchanged."""
    return _outside_code(text, lambda prose: _STRONG.sub(r"\2", _LEAD.sub("", prose)))


def dressed(text: str) -> str:
    """Make each sentence an item of a list that begins in bold, after `bare`. Code is unchanged."""
    return _outside_code(bare(text), lambda prose: "\n".join(map(_listed, prose.split("\n"))))


def _listed(line: str) -> str:
    sentences = [sentence for sentence in _SENTENCE.split(line) if re.search(r"\w", sentence)]
    entries = (f"- {_BEGINNING.sub(lambda words: f'**{words[0].strip()}**', each, count=1)}" for each in sentences)
    return "\n".join(entries) if sentences else line


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    # The pattern has a group, so `split` returns prose and code alternately.
    parts = _CODE.split(text)
    return "".join(part if place % 2 else change(part) for place, part in enumerate(parts))


def vary(comparison: Comparison) -> Iterator[Variation]:
    if len(comparison.responses) == 2:
        stripped = comparison.model_copy(update={"responses": tuple(map(bare, comparison.responses))})
        yield Variation("bare", stripped.responses, label=comparison.label)
        yield from each(stripped, dressed)


PROBE = Probe(
    title="Markdown",
    change="The sentences of one response become a list with bold beginnings; the other has no markup.",
    vary=vary,
    measure=lambda items: effects(items, lambda item: item.variation("bare")),
)
