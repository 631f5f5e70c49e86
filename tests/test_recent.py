"""Stores of completions with a limit on their size, for servers."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from fathom import CachedEngine, Request, ScriptedEngine
from fathom.engines.journal import Row, SQLiteJournal
from fathom.engines.recent import OVERHEAD, RecentCompletions

TEXT = "x" * 1000


def row(number: int) -> Row:
    return Row(f"key {number:04}", "{}", TEXT)


def test_recent_completions_stay_below_their_size_and_forget_what_was_not_used() -> None:
    store = RecentCompletions(max_bytes=10 * (1000 + 8 + OVERHEAD))
    for number in range(10):
        store.write([row(number)])
    assert store.find(["key 0000"]) == [TEXT]  # and it is now the most recently used
    store.write([row(10)])
    assert store.find(["key 0000", "key 0001", "key 0010"]) == [TEXT, None, TEXT]
    store.write([row(10)])
    assert store.bytes <= store.max_bytes
    store.close()
    assert store.find(["key 0010"]) == [None]


def test_a_journal_with_a_limit_deletes_the_oldest_completions(tmp_path: Path) -> None:
    journal = SQLiteJournal(tmp_path / "journal", ScriptedEngine("text"))
    journal.max_bytes = 200_000
    for start in range(0, 1000, 50):
        journal.write([row(number) for number in range(start, start + 50)])
    kept = [number for number in range(1000) if journal.find([f"key {number:04}"]) != [None]]
    assert kept == list(range(kept[0], 1000)), "the newest"
    assert 50 <= len(kept) <= 200
    journal.close()
    assert (tmp_path / "journal").stat().st_size < 600_000


def test_recent_completions_are_forgotten_at_their_age_however_often_they_are_used() -> None:
    now = 0.0
    store = RecentCompletions(clock=lambda: now)
    store.max_age = 60
    store.write([row(0)])
    now = 59
    assert store.find(["key 0000"]) == [TEXT]
    store.write([row(0)])
    now = 61
    assert store.find(["key 0000"]) == [None]
    assert store.bytes == 0


def test_a_journal_deletes_completions_at_their_age_but_none_of_unknown_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journals of older versions have no column with the time."""
    with sqlite3.connect(tmp_path / "journal") as older:
        older.execute("CREATE TABLE completions (key TEXT PRIMARY KEY, completion TEXT, request TEXT)")
        older.execute("INSERT INTO completions VALUES ('key 0000', '{}', '{}')")
    older.close()
    now = 1_000_000.0
    monkeypatch.setattr("fathom.engines.journal.time.time", lambda: now)
    journal = SQLiteJournal(tmp_path / "journal", ScriptedEngine("text"))
    journal.write([row(1)])
    now += 50
    journal.write([row(2)])
    now += 20
    keys = ["key 0000", "key 0001", "key 0002"]
    assert journal.find(keys) == ["{}", TEXT, TEXT], "without an age, a run keeps everything"
    journal.max_age = 60
    assert journal.find(keys) == ["{}", None, TEXT]
    journal.close()


def test_a_completion_that_was_forgotten_is_made_again() -> None:
    async def main() -> None:
        engine = ScriptedEngine(TEXT)
        async with CachedEngine(engine, RecentCompletions(max_bytes=2000)) as cached:
            requests = [Request(({"role": "user", "content": str(number)},)) for number in range(3)]
            for request in (*requests, requests[2], requests[0]):
                assert (await cached.complete(request)).text == TEXT
        assert [each.messages[0]["content"] for each in engine.requests] == ["0", "1", "2", "0"]

    asyncio.run(main())
