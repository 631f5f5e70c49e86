"""Statistics of principles: how often each occurs, agrees with the verdict, and agrees with the label.

    for principle in principles(rows):         # rows of `fathom judge`; the most frequent principle comes first
        print(principle.name, principle.rows, principle.follows, principle.flips, principle.right)

A principle's side is the response that its sub-verdict names. A correlation of sides and verdicts does not show that
one causes the other: a model may write principles to fit a verdict that it has already formed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from fathom.metrics.intervals import Interval, Share
from fathom.results.rows import UnitRow, VerdictRow, VoteRow, prompt_key

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Principle:
    """One principle over all rows. Letter case of names is ignored. Intervals are clustered by prompt."""

    name: str
    """The name in lower case."""
    rows: int
    """The number of rows with a parsed vote that contains it."""
    votes: int
    """The number of parsed votes that contain it."""
    sided: int
    """The number of these votes in which its sub-verdict names a response, rather than being mixed or absent."""
    follows: Interval | None
    """The share of sided votes with a winner in which the side is the winner."""
    flips: Interval | None
    """The share of pairs of sided votes on one row with different winners in which the side is the winner both times.
    It is near 1 if the principle decides the verdict, and 0 if it always takes the same side."""
    right: Interval | None
    """The share of sided votes on labelled rows in which the side is the label."""
    verdict_right: Interval | None
    """The share of the same votes in which the verdict is the label; a tie is wrong."""


@dataclass
class _Counts:
    rows: int = 0
    votes: int = 0
    sided: int = 0
    follows: Share = field(default_factory=Share)
    flips: Share = field(default_factory=Share)
    right: Share = field(default_factory=Share)
    verdict_right: Share = field(default_factory=Share)

    def add(self, row: VerdictRow, votes: list[tuple[int | None, int | None]], prompt: int) -> None:
        """Add a row; `votes` has the winner and the side of each vote that contains the principle."""
        self.rows += 1
        self.votes += len(votes)
        sided = [(winner, side) for winner, side in votes if side is not None]
        self.sided += len(sided)
        for winner, side in sided:
            if winner is not None:
                self.follows.add(float(side == winner), prompt)
            if row["label"] is not None:
                self.right.add(float(side == row["label"]), prompt)
                self.verdict_right.add(float(winner == row["label"]), prompt)
        for flipped in _flips(sided):
            self.flips.add(float(flipped), prompt)


def principles(rows: Iterable[VerdictRow]) -> list[Principle]:
    """Statistics of the principles in verdict rows, sorted by the number of rows, largest first."""
    counts: dict[str, _Counts] = {}
    for row in rows:
        prompt = prompt_key(row)
        for name, votes in _by_principle(row).items():
            counts.setdefault(name, _Counts()).add(row, votes, prompt)
    statistics = [_principle(name, count) for name, count in counts.items()]
    return sorted(statistics, key=lambda principle: (-principle.rows, principle.name))


def named(row: VerdictRow) -> set[str]:
    """The names of the principles in a row's parsed votes, in lower case."""
    return set(_by_principle(row))


def _principle(name: str, count: _Counts) -> Principle:
    shares = {key: value.interval for key, value in vars(count).items() if isinstance(value, Share)}
    return Principle(name, count.rows, count.votes, count.sided, **shares)


def _by_principle(row: VerdictRow) -> dict[str, list[tuple[int | None, int | None]]]:
    """The winner and the side of each parsed vote that contains a principle, by principle."""
    by_principle: dict[str, list[tuple[int | None, int | None]]] = {}
    for vote in row["votes"]:
        if vote["status"] == "ok":
            for name, side in _sides(vote).items():
                by_principle.setdefault(name, []).append((vote["winner"], side))
    return by_principle


def _sides(vote: VoteRow) -> dict[str, int | None]:
    """The side of each principle of a vote; None if the vote has a principle twice with different sides."""
    sides: dict[str, set[int | None]] = {}
    for unit in vote["rationale"]["units"] if vote["rationale"] else ():
        if name := unit["principle"].casefold():
            sides.setdefault(name, set()).add(_side(unit, vote["order"]))
    return {name: distinct.pop() if len(distinct) == 1 else None for name, distinct in sides.items()}


def _side(unit: UnitRow, order: list[int]) -> int | None:
    """The index of the response that a sub-verdict names. Letters follow the order shown: "A" was shown first."""
    letter = unit["sub_verdict"]
    place = LETTERS.find(letter) if letter and len(letter) == 1 else -1
    return order[place] if 0 <= place < len(order) else None


def _flips(votes: list[tuple[int | None, int]]) -> Iterator[bool]:
    """Whether the side changed with the winner, for pairs of votes with different winners.

    The k-th vote for a winner is paired with the k-th vote for each other winner. So a vote occurs once per other
    winner, and rows with many votes do not outweigh others quadratically.
    """
    by_winner: dict[int, list[int]] = {}
    for winner, side in votes:
        if winner is not None:
            by_winner.setdefault(winner, []).append(side)
    for (one, sides), (other, others) in combinations(by_winner.items(), 2):
        for first, second in zip(sides, others, strict=False):
            yield first == one and second == other
