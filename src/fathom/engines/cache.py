"""The completion journal: every finished completion is on disk before anyone uses it.

    async with CachedEngine(engine, "run.journal") as cached:
        completion = await cached.complete(request)     # asks `engine` once, ever

To resume a run is to run it again: what is done is found here, and costs no call. The key of a completion is a hash of
the engine's identity, the messages, the sampling and the sample number. Failures are not stored, so they are asked
again. Several processes may share one file; a request that two of them make at the same moment is asked by both.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TypeVar

from fathom.engines import Completion, Engine, Request, TokenLogprob
from fathom.errors import FathomError
from fathom.verdict import Usage

T = TypeVar("T")

LOCK_SECONDS = 60
"""How long to wait while another process writes."""


class CachedEngine:
    """An engine that remembers. `asked` counts the requests that went through to `engine`.

    Raises FathomError when `path` cannot be opened as a journal. Close it, or use it as an async context manager.
    """

    def __init__(self, engine: Engine, path: str | Path) -> None:
        self.engine = engine
        self.path = Path(path)
        self.asked = 0
        self._flying: dict[str, asyncio.Task[Completion]] = {}
        self._unwritten: deque[tuple[str, str]] = deque()
        # One thread owns the connection, so the event loop never waits for the disk.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._journal = self._thread.submit(_open, self.path).result()

    @property
    def identity(self) -> str:
        return self.engine.identity

    async def complete(self, request: Request) -> Completion:
        """The stored completion, or a new one, returned after it was stored. Raises EngineError as `engine` does."""
        key = request_key(self.identity, request)
        task = self._flying.get(key)
        if task is None or task.cancelled():
            task = self._flying[key] = asyncio.create_task(self._complete(key, request))
            task.add_done_callback(lambda done: self._landed(key, done))
        # Shielded, because another caller may wait for the same request after this one has been cancelled.
        return await asyncio.shield(task)

    async def _complete(self, key: str, request: Request) -> Completion:
        stored = await self._in_thread(_find, self._journal, key)
        if stored is not None:
            return decode_completion(stored)
        self.asked += 1
        completion = await self.engine.complete(request)
        self._unwritten.append((key, encode_completion(completion)))
        await self._in_thread(self._write)
        return completion

    def _landed(self, key: str, task: asyncio.Task[Completion]) -> None:
        if self._flying.get(key) is task:
            del self._flying[key]
        if not task.cancelled():
            task.exception()  # read, so that a failure nobody waits for any more is not reported as lost

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        except sqlite3.Error as error:
            message = f"the journal {self.path} failed: {error}; what it holds is kept: mend this and run again"
            raise FathomError(message) from error

    def _write(self) -> None:
        """Commits all that waits: whoever comes first writes for the others, whose turn then finds nothing.

        What could not be committed goes on waiting, so that the others fail as well.
        """
        rows = list(self._unwritten)
        if rows:
            with self._journal:
                self._journal.executemany("INSERT OR IGNORE INTO completions VALUES (?, ?)", rows)
            for _ in rows:
                self._unwritten.popleft()

    async def close(self) -> None:
        self._thread.submit(self._journal.close).result()
        self._thread.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def request_key(identity: str, request: Request) -> str:
    """SHA-256 over everything that decides a completion, as canonical JSON."""
    asked = {
        "engine": identity,
        "messages": request.messages,
        "sampling": asdict(request.sampling),
        "sample": request.sample,
    }
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def encode_completion(completion: Completion) -> str:
    return json.dumps(asdict(completion), separators=(",", ":"))


def decode_completion(text: str) -> Completion:
    """Inverse of `encode_completion`."""
    stored = json.loads(text)
    logprobs = stored.pop("logprobs")
    return Completion(
        **stored | {"usage": Usage(**stored["usage"])},
        logprobs=None if logprobs is None else tuple(TokenLogprob(**entry) for entry in logprobs),
    )


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS, check_same_thread=False)
        # Write-ahead, fully synchronous: what was returned survives the death of the process and of the machine.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS completions (key TEXT PRIMARY KEY, completion TEXT)")
    except (OSError, sqlite3.Error) as error:
        raise FathomError(f"cannot use {path} as a journal: {error}; give another file with --journal") from error
    return connection


def _find(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT completion FROM completions WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])
