"""Markdown tables with a row for the overall outcome, which is a verdict.

>>> document = Document.of("| Aspect | Winner |\\n|---|---|\\n| Tone | B |\\n| **Overall** | **A** |")
>>> [row.outcome for row in tables(document)]
[None, None, None, 'A']
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from fathom.rationale.transcript.choices import Outcome, choice_alone
from fathom.rationale.transcript.document import Document
from fathom.rationale.transcript.sentences import plain

MAX_ROWS = 512
# Titles of a row or a column that names the better response, and of a row that sums up.
_WINNER = re.compile(
    r"(?:(?:final|overall|ultimate|my|the) )*(?:verdict|winner|winning response|better|best|better response"
    r"|better answer|preferred|preferred response|preference|decision|judge?ment|choice|ruling)"
    r"|(?:总体|综合|最终|整体)?(?:胜者|优胜者?|裁决|判定|结论|更好的?回答|获胜者)|更好(?:的回答)?|胜出"
    r"|(?:endgültiges )?urteil|gewinner|sieger|bessere antwort|gagnante?|meilleure réponse|verdict final|ganadora?"
    r"|veredicto(?: final)?|mejor respuesta|veredito(?: final)?|vencedora?|verdetto(?: finale)?|vincitore|победитель"
    r"|итоговый вердикт|勝者|総合判定|승자|최종 판정"
)
_OVERALL = re.compile(
    r"overall|total|in total|summary|all in all|总体|总计|综合|整体|合计|gesamt|insgesamt|total général|global|итого"
    r"|総合|종합"
)
_RULE = re.compile(r"[|\s:+-]+")


class Row(NamedTuple):
    """A row of a table, its position, and the overall outcome that it states, if any."""

    start: int
    end: int
    outcome: Outcome | None


def tables(document: Document) -> Iterator[Row]:
    """The rows of all tables of a document, in order."""
    if "|" not in document.folded:
        return
    start, header, rows = 1, [], 0
    for line in document.folded[1:].split("\n"):
        end = start + len(line)
        cells = _cells(line)
        rows = rows + 1 if len(cells) > 1 else 0
        if len(cells) > 1 and rows <= MAX_ROWS:
            if rows == 1:
                header = cells
            yield Row(start, end, None if rows == 1 and not _names_winner(cells) else _outcome(cells, header))
        start = end + 1


def _cells(line: str) -> list[str]:
    stripped = line.strip()
    if not stripped.startswith("|") or stripped.count("|") < 2:
        return []
    return [plain(cell) for cell in stripped.strip("|").split("|")]


def _names_winner(cells: list[str]) -> bool:
    return len(cells) == 2 and _WINNER.fullmatch(cells[0]) is not None


def _outcome(cells: list[str], header: list[str]) -> Outcome | None:
    """The choice in a row for the overall outcome: in a winner column, or in the only other non-empty cell."""
    name, rest = cells[0], cells[1:]
    columns = [cell for cell, title in zip(cells[1:], header[1:], strict=False) if _WINNER.fullmatch(title)]
    choices = columns if _OVERALL.fullmatch(name) or (columns and _WINNER.fullmatch(name)) else []
    if not choices and _WINNER.fullmatch(name):
        choices = [cell for cell in rest if cell]
    return choice_alone(choices[0]) if len(choices) == 1 else None
