"""Rows of results as `fathom judge` and `fathom rank` write them, made of votes that a test names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from fathom.data.records import Comparison, Label
from fathom.engines.usage import Usage
from fathom.judges import Rule, Verdict, Vote
from fathom.ranking import Ranking
from fathom.rationale import Rationale, Status, SubVerdict, Unit, render
from fathom.results.rows import to_row


def vote(
    winner: int | Status | None,
    order: Sequence[int] = (0, 1),
    *,
    principle: str = "Accuracy",
    judgment: str = "One is right.",
) -> Vote:
    """A vote for that response, for a tie (None), or one that could not be read; its one unit says what it says."""
    usage = Usage(100, 20)
    if isinstance(winner, Status):
        return Vote(winner, order=tuple(order), text="I cannot say.", usage=usage)
    letter: SubVerdict = "MIXED" if winner is None else ("A", "B")[order.index(winner)]
    unit = Unit(principle, "What is said is so.", judgment, letter)
    rationale = Rationale((unit,), trace="", verdict="tie" if letter == "MIXED" else letter)
    return Vote(Status.OK, winner, None, tuple(order), rationale, render(rationale), usage)


def swapped(winners: Sequence[int | Status | None], **said: str) -> list[Vote]:
    """Votes in both orders by turns."""
    return [vote(winner, ((0, 1), (1, 0))[turn % 2], **said) for turn, winner in enumerate(winners)]


def row(votes: Sequence[Vote], *, label: int | None = 0, **fields: Any) -> dict[str, Any]:
    comparison = Comparison(
        **{"id": "pair-1", "prompt": "2 + 2?", "responses": ("4", "5"), **fields},
        label=None if label is None else Label(best=label),
    )
    return as_json(to_row(comparison, Rule()(votes)))


def ranked(verdicts: dict[tuple[int, int], Verdict], scores: Sequence[float | None], **fields: Any) -> dict[str, Any]:
    responses = tuple(f"Answer {index}" for index in range(len(scores)))
    comparison = Comparison(**{"id": "many-1", "prompt": "2 + 2?", "responses": responses, **fields})
    return as_json(to_row(comparison, Ranking(tuple(scores), verdicts)))


def as_json(made: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from a file."""
    back: dict[str, Any] = json.loads(to_json(made))
    return back


def written(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path
