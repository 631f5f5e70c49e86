"""Metrics by number of votes: the tallies of the first 1, 2, 4, ... votes of each row.

    for name, tallied in curves({"greedy": greedy.rows(), "sampled": sampled.rows()}).items():
        print(name, tallied.accuracy, tallied.usage)     # "greedy, 1 vote", "sampled, 1 vote", ...

The rule of each row is applied to its first votes, without resampling, so the same rows give the same table. The votes
of a row are in the order in which they were requested. If a pair is judged in both orders, any even number of votes has
both orders equally often, and 1 vote has only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import Verdict
from fathom.metrics.verdicts import Tally
from fathom.results.rows import Row, VerdictRow, from_row, to_row


def first(row: VerdictRow, votes: int) -> VerdictRow:
    """The row as its first `votes` included votes would give it, or all votes if there are fewer.

    Votes before these that a filter excluded stay in the row, because their tokens were spent.
    """
    return _first(*from_row(row), votes)


def _first(comparison: Comparison, verdict: Verdict, votes: int) -> VerdictRow:
    included = [place for place, vote in enumerate(verdict.votes) if vote.included]
    cast = verdict.votes[: included[votes - 1] + 1] if votes < len(included) else verdict.votes
    return to_row(comparison, verdict.rule(cast, threshold=verdict.threshold))


def curve(rows: Iterable[Row]) -> dict[int, Tally]:
    """The tally of all rows for 1, 2, 4, ... votes and for all votes. Raises FathomError for rankings."""
    judged = [from_row(_verdict_row(row)) for row in rows]
    most = max((sum(vote.included for vote in verdict.votes) for _, verdict in judged), default=0)
    steps = [2**power for power in range(most.bit_length()) if 2**power < most]
    return {
        votes: _tally(_first(comparison, verdict, votes) for comparison, verdict in judged)
        for votes in [*steps, most]
        if votes
    }


def _verdict_row(row: Row) -> VerdictRow:
    if "pairs" in row:
        raise FathomError(f"row {row['id']!r} is a ranking; expected rows of fathom judge")
    return row


def _tally(rows: Iterable[VerdictRow]) -> Tally:
    tally = Tally()
    for row in rows:
        tally.add(row)
    return tally


def curves(runs: Mapping[str, Iterable[Row]]) -> dict[str, Tally]:
    """The curves of several named runs as one table, for example of a greedy and of a sampled run."""
    return {
        f"{name}, {votes} vote{'s' if votes > 1 else ''}": tally
        for name, rows in runs.items()
        for votes, tally in curve(rows).items()
    }
