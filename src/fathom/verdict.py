"""Votes and verdicts: what one sampled judgement said, and what several of them amount to.

A vote is evidence, not a score: what the model wrote, what could be read from it, in which order it saw the responses.
A verdict counts votes under policies that are named in it. Neither turns a failure into a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fathom.rationale import Rationale, Status

Invalid = Literal["drop", "require"]
"""Votes without a verdict: `drop` counts the rest, `require` gives no verdict unless every vote could be read."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written. Adds up."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


@dataclass(frozen=True, slots=True)
class Vote:
    """One sampled judgement of one comparison.

    `winner` and `scores` speak of the comparison's responses by their index; `order[k]` is the index of the response
    that the model was shown in place k. With status `OK` a `winner` of `None` is a tie; with any other status
    `winner` and `scores` are `None`.
    """

    status: Status
    winner: int | None = None
    scores: tuple[float, ...] | None = None
    order: tuple[int, ...] = ()
    rationale: Rationale | None = None
    text: str = ""
    usage: Usage = Usage()
    error: str | None = None
    reasoning: str = ""
    """What the model thought, where the engine tells that from `text`; nothing is read from it."""
    extended_to: int | None = None
    """The token limit of a second try, where the first one met its own."""

    def __post_init__(self) -> None:
        if self.status is not Status.OK and (self.winner is not None or self.scores is not None):
            raise ValueError(f"a vote with status {self.status!s} can have neither winner nor scores")

    def seen_in(self, order: tuple[int, ...]) -> Vote:
        """This vote on responses shown in `order`, told about the comparison as it was before reordering.

        `order[k]` is the original index of the response in place k. Inverse of `Comparison.reordered(order)`.
        """
        scores = None
        if self.scores is not None:
            scores = tuple(self.scores[order.index(i)] for i in range(len(order)))
        winner = None if self.winner is None else order[self.winner]
        return replace(self, winner=winner, scores=scores, order=tuple(order[k] for k in self.order))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the votes on one comparison amount to: `winner` is a response's index, or `None` for a tie or no verdict.

    `status` is `OK` when a winner or a tie was found, and otherwise the status most of the unreadable votes had.
    `agreement` is the share of readable votes that say what the verdict says; `None` where there is none.
    """

    votes: tuple[Vote, ...]
    status: Status
    winner: int | None
    agreement: float | None
    invalid_policy: Invalid

    @property
    def usage(self) -> Usage:
        return sum((vote.usage for vote in self.votes), Usage())


def majority(votes: Sequence[Vote], *, invalid: Invalid = "drop") -> Verdict:
    """The outcome most readable votes agree on; a tie between the leading responses is a tie, never a coin.

    A vote for a tie supports no response. Raises ValueError when there are no votes.
    """
    if not votes:
        raise ValueError("a verdict needs at least one vote")
    readable = [vote for vote in votes if vote.status is Status.OK]
    unreadable = [vote.status for vote in votes if vote.status is not Status.OK]
    if not readable or (unreadable and invalid == "require"):
        status = Counter(unreadable).most_common(1)[0][0]
        return Verdict(tuple(votes), status, None, None, invalid)
    tally = Counter(vote.winner for vote in readable)
    ranked = Counter({winner: n for winner, n in tally.items() if winner is not None}).most_common(2)
    leads = bool(ranked) and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]) and ranked[0][1] > tally[None]
    winner = ranked[0][0] if leads else None
    return Verdict(tuple(votes), Status.OK, winner, tally[winner] / len(readable), invalid)
