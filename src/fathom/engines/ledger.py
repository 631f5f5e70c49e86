"""The total spending of all runs on one journal: a table with one row per run, in the journal itself.

    spent = spent_by_all(Path("verdicts.jsonl.journal"))
    spent.runs, spent.usage, spent.cost

A run's row is updated in the transaction that stores its completions, and again when the journal is closed. It
therefore includes calls without a completion. If a process is killed, only the calls since its last stored completion
are missing.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fathom.engines.usage import Usage

EARLIER = "earlier"
"""The row of all runs by versions without this table: the tokens of their stored completions, at an unknown cost."""


class Spending(Protocol):
    """The spending of one run, as `fathom.engines.metering.Metered` reports it."""

    @property
    def usage(self) -> Usage: ...

    @property
    def cost(self) -> float | None: ...


@dataclass(frozen=True)
class Spent:
    """The spending of `runs` runs. `cost` is in US dollars; None if that of any run is unknown."""

    runs: int
    usage: Usage
    cost: float | None


def prepare(connection: sqlite3.Connection) -> None:
    """Create the table if it is missing. Completions stored before were paid for by earlier runs."""
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
    """Write the spending of a run so far, replacing its earlier row."""
    usage = spending.usage
    if usage == Usage():
        return
    row = run, usage.prompt_tokens, usage.completion_tokens, usage.unknown_calls, spending.cost
    connection.execute("INSERT OR REPLACE INTO spent VALUES (?, ?, ?, ?, ?)", row)


def spent_by_all(journal: Path) -> Spent | None:
    """The spending of all runs on a journal; None if there is no journal, or no run has spent anything."""
    from fathom.engines.journal import read_only

    if not journal.is_file():
        return None
    connection = read_only(journal)
    try:
        rows = connection.execute("SELECT prompt_tokens, completion_tokens, unknown_calls, cost FROM spent").fetchall()
    except sqlite3.OperationalError:  # a journal written only by versions without this table
        rows = []
    finally:
        connection.close()
    if not rows:
        return None
    usage = sum((Usage(prompt, completion, int(unknown)) for prompt, completion, unknown, _ in rows), Usage())
    costs = [cost for *_, cost in rows]
    return Spent(len(rows), usage, None if None in costs else sum(costs))
