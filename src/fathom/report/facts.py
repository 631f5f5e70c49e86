"""The facts by which the viewer filters and sorts rows, with one form for verdicts and rankings.

    facts(row).outcome                     # "right", "wrong", "tie", "unparsed" or "unlabelled"

They serve to find rows; metrics are computed by `fathom.metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from fathom.results.rows import Row, VoteRow, usage, votes_by_pair

Outcome = Literal["right", "wrong", "tie", "unparsed", "unlabelled"]

SHOWN = 160
"""The number of characters of a prompt that a list shows."""


class Facts(NamedTuple):
    """The facts of one row."""

    id: str
    outcome: Outcome
    flipped: bool
    """Whether two parsed votes in different orders name different outcomes."""
    divided: bool
    """Whether two parsed votes (for a ranking, on the same pair) name different outcomes."""
    unparsed: int
    """The number of votes without a verdict."""
    domain: str | None
    subset: str | None
    principles: tuple[str, ...]
    """The names of the principles in its rationales, in lower case and without duplicates."""
    tokens: int
    """The number of tokens that the engine reported."""
    agreement: float | None
    prompt: str
    """The beginning of the prompt; for a conversation, of its last message."""


def facts(row: Row) -> Facts:
    """The facts of a verdict or ranking."""
    ballots = list(votes_by_pair(row))
    subset = row["metadata"].get("subset")
    return Facts(
        id=str(row["id"]),
        outcome=_outcome(row),
        flipped=any(map(_flipped, ballots)) if "pairs" in row else bool(row["flip_rate"]),
        divided=any(len({vote["winner"] for vote in votes if vote["status"] == "ok"}) > 1 for votes in ballots),
        unparsed=sum(vote["status"] != "ok" for votes in ballots for vote in votes),
        domain=row["domain"],
        subset=None if subset is None else str(subset),
        principles=tuple(dict.fromkeys(_principles(row))),
        tokens=usage(row).tokens,
        agreement=None if "pairs" in row else row["agreement"],
        prompt=" ".join(_prompt(row)[: 4 * SHOWN].split())[:SHOWN],
    )


def _outcome(row: Row) -> Outcome:
    parsed = bool(row["order"]) if "pairs" in row else row["status"] == "ok"
    if not parsed:
        return "unparsed"
    if row["winner"] is None and len(row["responses"]) > 1:
        return "tie"
    if row["correct"] is None:
        return "unlabelled"
    return "right" if row["correct"] else "wrong"


def _flipped(votes: Sequence[VoteRow]) -> bool:
    parsed = [vote for vote in votes if vote["status"] == "ok"]
    pairs = combinations(parsed, 2)
    return any(one["winner"] != other["winner"] and one["order"] != other["order"] for one, other in pairs)


def _principles(row: Row) -> Iterator[str]:
    for vote in () if "pairs" in row else row["votes"]:
        for unit in vote["rationale"]["units"] if vote["rationale"] else ():
            yield unit["principle"].casefold()


def _prompt(row: Row) -> str:
    prompt = row.get("prompt") or ""
    return prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
