"""Stores of completions with a limit on their size, for servers."""

from __future__ import annotations

import asyncio
from pathlib import Path

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


def test_a_completion_that_was_forgotten_is_made_again() -> None:
    async def main() -> None:
        engine = ScriptedEngine(TEXT)
        async with CachedEngine(engine, RecentCompletions(max_bytes=2000)) as cached:
            requests = [Request(({"role": "user", "content": str(number)},)) for number in range(3)]
            for request in (*requests, requests[2], requests[0]):
                assert (await cached.complete(request)).text == TEXT
        assert [each.messages[0]["content"] for each in engine.requests] == ["0", "1", "2", "0"]

    asyncio.run(main())
