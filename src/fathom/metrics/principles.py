"""Which principles a judge names, which of them decide its verdicts, and which are right.

    for found in principles(rows):         # rows as `fathom judge` writes them, the commonest principle first
        print(found.name, found.rows, found.follows, found.flips, found.right)

A principle's side is the response that its sub-verdict names. That sides and verdicts go together does not show that
one causes the other: a model may write its principles to fit a verdict that it has already formed.
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
    """One principle over all rows; names that differ in case alone are one. Intervals are clustered by prompt."""

    name: str
    """In lower case."""
    rows: int
    """Rows where it occurs in a parsed vote."""
    votes: int
    """Readable votes where it occurs."""
    sided: int
    """Votes where its sub-verdict names a response; in the others it is mixed, or not there."""
    follows: Interval | None
    """Of the sided votes that name a winner: how often the winner is the side."""
    flips: Interval | None
    """Of pairs of votes on one row that name different winners, and where it has a side in both: how often its side
    is the winner in both. A principle that decides is near 1; one that always takes the same side has 0."""
    right: Interval | None
    """Of the sided votes on labelled rows: how often the side is the label."""
    verdict_right: Interval | None
    """Of the same votes: how often their verdict is the label. A tie is not."""


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
        """The winner and the side of each vote where the principle occurs."""
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
    """The principles in the rationales of verdict rows, those in most rows first. `dataclasses.asdict` makes JSON."""
    counts: dict[str, _Counts] = {}
    for row in rows:
        prompt = prompt_key(row)
        for name, votes in _by_principle(row).items():
            counts.setdefault(name, _Counts()).add(row, votes, prompt)
    found = [_principle(name, count) for name, count in counts.items()]
    return sorted(found, key=lambda each: (-each.rows, each.name))


def named(row: VerdictRow) -> set[str]:
    """The principles that occur in a row's parsed votes, in lower case."""
    return set(_by_principle(row))


def _principle(name: str, count: _Counts) -> Principle:
    shares = {key: value.interval for key, value in vars(count).items() if isinstance(value, Share)}
    return Principle(name, count.rows, count.votes, count.sided, **shares)


def _by_principle(row: VerdictRow) -> dict[str, list[tuple[int | None, int | None]]]:
    found: dict[str, list[tuple[int | None, int | None]]] = {}
    for vote in row["votes"]:
        if vote["status"] == "ok":
            for name, side in _sides(vote).items():
                found.setdefault(name, []).append((vote["winner"], side))
    return found


def _sides(vote: VoteRow) -> dict[str, int | None]:
    """The side of each principle of a vote; none where a vote names a principle twice and the two disagree."""
    sides: dict[str, set[int | None]] = {}
    for unit in vote["rationale"]["units"] if vote["rationale"] else ():
        if name := unit["principle"].casefold():
            sides.setdefault(name, set()).add(_side(unit, vote["order"]))
    return {name: found.pop() if len(found) == 1 else None for name, found in sides.items()}


def _side(unit: UnitRow, order: list[int]) -> int | None:
    """The index of the response that a sub-verdict names: "A" is the response that was shown first."""
    letter = unit["sub_verdict"]
    place = LETTERS.find(letter) if letter and len(letter) == 1 else -1
    return order[place] if 0 <= place < len(order) else None


def _flips(votes: list[tuple[int | None, int]]) -> Iterator[bool]:
    """The first vote for one winner is held against the first for each other, the second against the second, ..."""
    by_winner: dict[int, list[int]] = {}
    for winner, side in votes:
        if winner is not None:
            by_winner.setdefault(winner, []).append(side)
    for (one, sides), (other, others) in combinations(by_winner.items(), 2):
        for first, second in zip(sides, others, strict=False):
            yield first == one and second == other
