"""What more votes are worth: the figures that the first 1, 2, 4, ... votes of each row would have had.

    for name, tallied in curves({"greedy": greedy.rows(), "sampled": sampled.rows()}).items():
        print(name, tallied.strict, tallied.usage)     # "greedy, 1 vote", "sampled, 1 vote", ...

Votes are counted again under the rule of their row, and nothing is drawn: the same rows give the same table. The votes
of a row are in the order in which they were asked for, so with both orders of a pair every even number of votes has
seen both alike, and 1 vote has seen one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Rule, Vote
from fathom.metrics.verdicts import Tally
from fathom.rationale import Status
from fathom.results.rows import Row, correct, tokens, usage


def first(row: Row, votes: int) -> dict[str, Any]:
    """The row as it would be after its first votes that count; after all that it has where there are fewer.

    Those that a filter left out in between are still in it, with what they cost.
    """
    counted = [place for place, vote in enumerate(row["votes"]) if vote["counted"]]
    cast = row["votes"][: counted[votes - 1] + 1] if votes < len(counted) else row["votes"]
    verdict = _rule(row)([_vote(vote) for vote in cast])
    made = {
        **row,
        "status": str(verdict.status),
        "winner": verdict.winner,
        "scores": verdict.scores,
        "agreement": verdict.agreement,
        "flip_rate": verdict.flip_rate,
        "votes": cast,
        "tokens": tokens(sum(map(usage, cast), Usage())),
    }
    return made | {"correct": correct(made)}


def _rule(row: Row) -> Rule:
    try:
        return Rule(**row["rule"])
    except ValueError as error:
        raise FathomError(f"row {row['id']!r} was counted by a rule that there is no more: {error}") from error


def _vote(row: Row) -> Vote:
    """As much of a vote as is counted."""
    scores, probabilities = row["scores"], row["probabilities"]
    return Vote(
        Status(row["status"]),
        winner=row["winner"],
        scores=None if scores is None else tuple(scores),
        probabilities=None if probabilities is None else tuple(probabilities),
        order=tuple(row["order"]),
        error=row["error"],
        counted=row["counted"],
    )


def curve(rows: Iterable[Row]) -> dict[int, Tally]:
    """The tally of all rows after 1, 2, 4, ... votes, and after all. Raises FathomError for rankings."""
    kept = list(rows)
    for row in kept:
        if "votes" not in row:
            raise FathomError(
                f"row {row['id']!r} has no votes; only verdicts, as fathom judge writes them, have a curve"
            )
    most = max((sum(vote["counted"] for vote in row["votes"]) for row in kept), default=0)
    steps = [2**power for power in range(most.bit_length()) if 2**power < most]
    return {votes: _tally(first(row, votes) for row in kept) for votes in [*steps, most] if votes}


def _tally(rows: Iterable[Row]) -> Tally:
    tally = Tally()
    for row in rows:
        tally.add(row)
    return tally


def curves(runs: Mapping[str, Iterable[Row]]) -> dict[str, Tally]:
    """The curves of several runs in one table, as from one greedy vote and from many sampled ones."""
    return {
        f"{name}, {votes} vote{'s' if votes > 1 else ''}": tally
        for name, rows in runs.items()
        for votes, tally in curve(rows).items()
    }
