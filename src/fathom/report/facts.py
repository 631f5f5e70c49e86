"""What a list of rows is filtered and sorted by: a few facts of each, told alike for verdicts and for rankings.

    facts(row).outcome                     # "right", "wrong", "tie", "unparsed" or "unlabelled"

These are for finding rows. Figures are the work of `fathom.metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from fathom.results.rows import Row, VoteRow, usage, vote_groups

Outcome = Literal["right", "wrong", "tie", "unparsed", "unlabelled"]

SHOWN = 160
"""Characters of a prompt that a list shows."""


class Facts(NamedTuple):
    id: str
    outcome: Outcome
    flipped: bool
    """Whether a vote in another order of the responses names another outcome."""
    divided: bool
    """Whether parsed votes, of a ranking those on one pair, name different outcomes."""
    unparsed: int
    """Votes without a verdict."""
    domain: str | None
    subset: str | None
    principles: tuple[str, ...]
    """The names of the principles in its rationales, each once, as `fathom.metrics.principles` spells them."""
    tokens: int
    """Those that the server reported."""
    agreement: float | None
    prompt: str
    """How it starts; of a conversation, its last message."""


def facts(row: Row) -> Facts:
    ballots = list(vote_groups(row))
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
