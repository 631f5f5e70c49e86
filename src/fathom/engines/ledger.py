"""What all runs on one journal have spent together: one line per run, kept in the journal itself.

    spent = spent_by_all(Path("verdicts.jsonl.journal"))
    spent.runs, spent.usage, spent.cost

The line of a run is written in the transaction that stores its completions, and once more when the journal is closed.
So it also counts calls that left no completion behind, and of a process that was killed only the calls since its last
completion are missing.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fathom.engines.usage import Usage

EARLIER = "earlier"
"""The line of the runs before there were lines: the tokens of the completions that they left, at a cost unknown."""


class Spending(Protocol):
    """What `fathom.engines.metering.Metered` tells of one run."""

    @property
    def usage(self) -> Usage: ...

    @property
    def cost(self) -> float | None: ...


@dataclass(frozen=True)
class Spent:
    """`cost` is in US dollars; None where that of any run is unknown."""

    runs: int
    usage: Usage
    cost: float | None


def prepare(connection: sqlite3.Connection) -> None:
    """Makes the table where there is none. Completions that are there already were paid by earlier runs."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spent'").fetchone()
    if known:
        return
    connection.execute(
        "CREATE TABLE spent (run TEXT PRIMARY KEY, prompt_tokens INTEGER, completion_tokens INTEGER, "
        "unknown_calls INTEGER, cost REAL)"
    )
    connection.execute(
        "INSERT INTO spent SELECT ?, sum(json_extract(completion, '$.usage.prompt_tokens')), "
        "sum(json_extract(completion, '$.usage.completion_tokens')), "
        "total(json_extract(completion, '$.usage.unknown_calls')), NULL FROM completions HAVING count(*) > 0",
        (EARLIER,),
    )


def record(connection: sqlite3.Connection, run: str, spending: Spending) -> None:
    """Writes what a run has spent so far, in place of what was written of it before."""
    usage = spending.usage
    if usage == Usage():
        return
    line = run, usage.prompt_tokens, usage.completion_tokens, usage.unknown_calls, spending.cost
    connection.execute("INSERT OR REPLACE INTO spent VALUES (?, ?, ?, ?, ?)", line)


def spent_by_all(journal: Path) -> Spent | None:
    """What all runs on a journal spent; None where there is no journal, or no run has spent anything."""
    from fathom.engines.journal import read_only

    if not journal.is_file():
        return None
    connection = read_only(journal)
    try:
        lines = connection.execute("SELECT prompt_tokens, completion_tokens, unknown_calls, cost FROM spent").fetchall()
    except sqlite3.OperationalError:  # a journal that only an older version has written to
        lines = []
    finally:
        connection.close()
    if not lines:
        return None
    usage = sum((Usage(read, written, int(unknown)) for read, written, unknown, _ in lines), Usage())
    costs = [cost for *_, cost in lines]
    return Spent(len(lines), usage, None if None in costs else sum(costs))
