"""The completion journal: every finished completion is on disk before anyone uses it.

    async with CachedEngine(engine, "run.journal") as cached:
        completion = await cached.complete(request)     # asks `engine` once, ever

To resume a run is to run it again: what is done is found here, and costs no call. The key of a completion is a hash of
the engine's identity, the messages, the sampling and the sample number. Those stand beside it for people to read, and
the identities in a table of their own, for `fathom.engines.replay`. Failures are not stored, so they are asked again.
An answer that lacks what was asked for is stored and raised as an error, now and whenever it is asked for again: the
same run refuses again, and does not pay for the same text twice.
Several processes may share one file; a request that two of them make at the same moment is asked by both.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar

from fathom.engines import (
    Completion,
    Engine,
    EngineError,
    EngineWrapper,
    IncompleteAnswerError,
    Request,
    RunStoppedError,
    Sampling,
    TokenLogprob,
    ledger,
)
from fathom.engines.metering import Metered
from fathom.engines.usage import Usage
from fathom.errors import FathomError

Item = TypeVar("Item")
Found = TypeVar("Found")

LOCK_SECONDS = 60
"""How long to wait while another process writes."""

LANDING_SECONDS = 1.0
"""How long to wait for what is in flight when a run is broken off."""


class CachedEngine(EngineWrapper):
    """An engine that remembers. `asked` counts the requests that went through to `engine`.

    Raises FathomError when `path` cannot be opened as a journal; the file is made with the first completion. Close it,
    or use it as a context manager. Left by an exception, Ctrl-C among them, `async with` asks nothing more, and what is
    in flight has `LANDING_SECONDS` to be stored, or as long as a RunStoppedError says. `with` is for `Voter.run`, of
    which nothing is in flight any more when its loop is left. What an engine that is metered has spent is kept with the
    completions (`fathom.engines.ledger`).
    """

    def __init__(self, engine: Engine, path: str | Path) -> None:
        super().__init__(engine)
        self.path = Path(path)
        self.asked = 0
        self._stopped = False
        self._incomplete: Completion | None = None
        self._flying: dict[str, asyncio.Task[Completion]] = {}
        # One thread owns the connection, so the event loop never waits for the disk.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._journal = self._thread.submit(_Journal, self.path, engine).result()
        self._find = _Together(self._thread, self._journal.find)
        self._write = _Together(self._thread, self._journal.write)

    async def complete(self, request: Request) -> Completion:
        """The stored completion, or a new one, returned after it was stored. Raises errors as `engine` does."""
        asked = request_text(self.identity, request)
        key = _key(asked)
        task = self._flying.get(key)
        if task is None or task.cancelled():
            task = self._flying[key] = asyncio.create_task(self._complete(key, asked, request))
            task.add_done_callback(lambda done: self._landed(key, done))
        # Shielded, because another caller may wait for the same request after this one has been cancelled.
        return await asyncio.shield(task)

    async def _complete(self, key: str, asked: str, request: Request) -> Completion:
        try:
            stored = await self._find(key)
            if stored is not None:
                return self._whole(decode_completion(stored))
            if self._incomplete is not None:
                raise IncompleteAnswerError(self._incomplete)
            if self._stopped:
                raise EngineError("stopped before this was asked", retryable=True)
            self.asked += 1
            try:
                completion = await self.engine.complete(request)
            except IncompleteAnswerError as error:
                completion = error.completion
            await self._write((key, asked, encode_completion(completion)))
        except sqlite3.Error as error:
            message = f"the journal {self.path} failed: {error}; what it holds is kept: mend this and run again"
            raise FathomError(message) from error
        return self._whole(completion)

    def _whole(self, completion: Completion) -> Completion:
        """Raises IncompleteAnswerError where it is not, and from then on for all that would have to be asked."""
        if completion.lacks:
            self._incomplete = completion
            raise IncompleteAnswerError(completion)
        return completion

    def _landed(self, key: str, task: asyncio.Task[Completion]) -> None:
        if self._flying.get(key) is task:
            del self._flying[key]
        if not task.cancelled():
            task.exception()  # read, so that a failure nobody waits for any more is not reported as lost

    async def close(self) -> None:
        """Closes the journal, and the engine where that has something to close."""
        await super().close()
        self._thread.submit(self._journal.close).result()
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # In a thread of its own, because this one may run an event loop, as a notebook's does.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self.close()).result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            if error is not None:
                await self._land(error.landing_seconds if isinstance(error, RunStoppedError) else LANDING_SECONDS)
        finally:
            await self.close()

    def stop(self) -> None:
        self._stopped = True
        super().stop()

    async def _land(self, seconds: float) -> None:
        self.stop()
        if self._flying:
            seconds = 0.0 if str(self.path) == ":memory:" else seconds
            _, late = await asyncio.wait(list(self._flying.values()), timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def request_key(identity: str, request: Request) -> str:
    """SHA-256 over everything that decides a completion, as `request_text` has it."""
    return _key(request_text(identity, request))


def request_text(identity: str, request: Request) -> str:
    """Everything that decides a completion as canonical JSON: engine, messages, sampling, sample."""
    asked = {
        "engine": identity,
        "messages": request.messages,
        "sampling": _shallow(request.sampling),
        "sample": request.sample,
    }
    return _CANONICAL.encode(asked)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _key(asked: str) -> str:
    return hashlib.sha256(asked.encode()).hexdigest()


class Entry(NamedTuple):
    """A line of a journal. `request` has the keys engine, messages, sampling, sample; older versions wrote none."""

    key: str
    request: dict[str, Any] | None
    completion: Completion


def entries(path: str | Path) -> Iterator[Entry]:
    """What a journal holds, in the order of writing. It is only read. Raises FathomError for a file that is none."""
    connection = read_only(Path(path))
    try:
        columns = {column[1] for column in connection.execute("PRAGMA table_info(completions)")}
        request = "request" if "request" in columns else "NULL"
        for key, asked, stored in connection.execute(f"SELECT key, {request}, completion FROM completions"):
            yield Entry(key, asked and json.loads(asked), decode_completion(stored))
    finally:
        connection.close()


def read_only(path: Path) -> sqlite3.Connection:
    """The journal, for reading. Raises FathomError for a file that is none."""
    if not path.is_file():
        raise FathomError(f"{path}: no such journal; allowed is a file that --journal wrote, or OUT.journal")
    try:
        # A reader of a write-ahead journal leaves two files behind, unless it is told that nobody writes at present.
        writing = path.with_name(f"{path.name}-wal").exists()
        uri = f"{path.resolve().as_uri()}?mode=ro{'' if writing else '&immutable=1'}"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise FathomError(f"cannot read {path} as a journal: {error}") from error
    if "completions" not in tables:
        raise FathomError(f"{path} is no journal: it has no table of completions")
    return connection


def encode_completion(completion: Completion) -> str:
    return _COMPLETION.encode(_shallow(completion))


def _shallow(value: Any) -> dict[str, Any]:
    """Like `dataclasses.asdict`, without its deep copies."""
    told = {name: getattr(value, name) for name in _FIELDS[type(value)]}
    return {name: entry for name, entry in told.items() if entry or name not in _LATER}


_COMPLETION = json.JSONEncoder(default=_shallow, separators=(",", ":"))

_LATER = frozenset({"top_logprobs", "top", "unknown_calls", "lacks"})
"""Fields that journals of older versions do not know. Left out where they are empty, so that those still answer."""

_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Sampling, Completion, Usage, TokenLogprob)}


def decode_completion(text: str) -> Completion:
    """Inverse of `encode_completion`."""
    stored = json.loads(text)
    logprobs = stored.pop("logprobs")
    return Completion(
        **stored | {"usage": Usage(**stored["usage"])},
        logprobs=None if logprobs is None else tuple(map(_decode_logprob, logprobs)),
    )


def _decode_logprob(stored: Mapping[str, Any]) -> TokenLogprob:
    top = tuple((token, logprob) for token, logprob in stored.get("top", ()))
    return TokenLogprob(stored["token"], stored["logprob"], top)


class _Journal:
    """The file, which is made with the first completion: a command that is refused before leaves none behind.

    Raises FathomError at once where it could not be made, and for a file that is no journal.
    """

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self.engine = engine
        self._run = uuid.uuid4().hex
        self._connection: sqlite3.Connection | None = None
        if self._is_there():
            self._connection = _open(path)
        else:
            _refuse_place(path)

    def _is_there(self) -> bool:
        """Also where another process has made it since."""
        return str(self.path) == ":memory:" or self.path.exists()

    def find(self, keys: Sequence[str]) -> list[str | None]:
        if self._connection is None and not self._is_there():
            return [None] * len(keys)
        return _find(self._opened(), keys)

    def write(self, rows: Sequence[tuple[str, str, str]]) -> list[None]:
        connection = self._opened()
        with connection:
            _write(connection, self.engine, rows)
            self._record(connection)
        return [None] * len(rows)

    def _record(self, connection: sqlite3.Connection) -> None:
        if isinstance(self.engine, Metered):
            ledger.record(connection, self._run, self.engine)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _open(self.path)
        return self._connection

    def close(self) -> None:
        """Writes down what calls spent that left no completion, also where they were all."""
        if isinstance(self.engine, Metered) and self.engine.usage != Usage():
            with suppress(sqlite3.Error, FathomError):  # a full disk was told when completions were written
                connection = self._opened()
                with connection:
                    self._record(connection)
        if self._connection is not None:
            self._connection.close()


def _refuse_place(path: Path) -> None:
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise FathomError(f"cannot use {path} as a journal: {nearest} is no folder that can be written to")


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS, check_same_thread=False)
        _refuse_foreign(connection, path)
        # Write-ahead, fully synchronous: what was returned survives the death of the process and of the machine.
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")  # of processes that begin together, one makes the tables
        connection.execute("CREATE TABLE IF NOT EXISTS completions (key TEXT PRIMARY KEY, completion TEXT)")
        if "request" not in {column[1] for column in connection.execute("PRAGMA table_info(completions)")}:
            connection.execute("ALTER TABLE completions ADD COLUMN request TEXT")
        connection.execute("CREATE TABLE IF NOT EXISTS engines (identity TEXT PRIMARY KEY)")
        ledger.prepare(connection)
        connection.commit()
    except (OSError, sqlite3.Error) as error:
        raise FathomError(f"cannot use {path} as a journal: {error}; give another file with --journal") from error
    return connection


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Raises FathomError for a database of somebody else's, in which nothing may be changed."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    columns = {column[1] for column in connection.execute("PRAGMA table_info(completions)")}
    if tables and not {"key", "completion"} <= columns:
        connection.close()
        there = ", ".join(sorted(tables)[:3])
        raise FathomError(
            f"{path} is a database that Fathom did not make, with {there}; give another file as a journal"
        )


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Waits as long as for any other lock, which SQLite does not where it changes how it writes."""
    latest = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > latest:
                raise
            time.sleep(0.01)


def _find(connection: sqlite3.Connection, keys: Sequence[str]) -> list[str | None]:
    rows = (connection.execute("SELECT completion FROM completions WHERE key = ?", (key,)).fetchone() for key in keys)
    return [None if row is None else str(row[0]) for row in rows]


def _write(connection: sqlite3.Connection, engine: Engine, rows: Sequence[tuple[str, str, str]]) -> None:
    # A key is a hash, so without this nobody could say whose completions these are, and ask for them again.
    connection.execute("INSERT OR IGNORE INTO engines VALUES (?)", (engine.identity,))
    statement = "INSERT OR IGNORE INTO completions (key, request, completion) VALUES (?, ?, ?)"
    connection.executemany(statement, rows)


class _Together(Generic[Item, Found]):
    """Does `work` in `thread` for many at once: for all the items that came while it was busy with those before."""

    def __init__(self, thread: ThreadPoolExecutor, work: Callable[[Sequence[Item]], Sequence[Found]]) -> None:
        self._thread = thread
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[Found]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Found:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found] = loop.create_future()
        self._waiting.append((item, future))
        if self._runner is None or self._runner.done():
            self._runner = loop.create_task(self._run(loop))
        return await future

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            items, futures = zip(*self._waiting, strict=True)
            self._waiting = []
            try:
                outcomes = await loop.run_in_executor(self._thread, self._work, items)
            except Exception as error:  # noqa: BLE001 - whatever it is, all who wait must hear of it
                for future in futures:
                    if not future.done():
                        future.set_exception(error)
            else:
                for future, outcome in zip(futures, outcomes, strict=True):
                    if not future.done():
                        future.set_result(outcome)
