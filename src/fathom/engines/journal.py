"""Storage of completions by key.

A journal is any object with the methods of `Journal`; `--journal FILE` opens a `SQLiteJournal`.
`fathom.engines.cache.CachedEngine` makes the keys and the rows.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from fathom.engines import Engine, ledger
from fathom.engines.metering import Metered
from fathom.engines.usage import Usage
from fathom.errors import FathomError

LOCK_SECONDS = 60
"""How long to wait while another process writes."""


CACHE = 1
"""The user_version of a file from which old completions are deleted. That of others is 0."""


class JournalError(FathomError):
    """A journal failed while it was in use, for example because the disk is full."""


class Row(NamedTuple):
    """A completion to store. `request` and `completion` are JSON; `key` is a hash of the request."""

    key: str
    request: str
    completion: str


class Journal(Protocol):
    """Stores completions. Its methods are called from one thread at a time, not always the thread that created it.

    They raise FathomError if the journal cannot be used. The run then ends; stored rows remain usable.
    """

    @property
    def lasts(self) -> bool:
        """Whether rows outlive the process. If not, an interrupted run does not wait for calls in flight."""
        ...

    def find(self, keys: Sequence[str]) -> Sequence[str | None]:
        """The completion of each key, in order; None for a key that is not stored."""
        ...

    def write(self, rows: Sequence[Row]) -> None:
        """Store all rows or none; they are durable when this returns. The first row of a key is kept."""
        ...

    def close(self) -> None: ...


class SQLiteJournal:
    """An SQLite file, or ":memory:". Several processes may use one file at the same time.

    The file is created with the first row, so a command that fails earlier leaves no file behind. Each write also
    records the identity of `engine`, which replaying needs, and what a metered engine has spent.

    Raises FathomError if the file could not be created, or is not a journal.
    """

    def __init__(self, path: str | Path, engine: Engine) -> None:
        self.path = Path(path)
        self.engine = engine
        self.lasts = str(path) != ":memory:"
        self.max_bytes: int | None = None
        """The size beyond which the oldest completions are deleted. A run has no limit, so that it can be resumed."""
        self.max_age: float | None = None
        """Seconds after which a completion is deleted."""
        self._run = uuid.uuid4().hex
        self._marked = False
        self._connection: sqlite3.Connection | None = None
        if self._exists():
            self._connection = _open(self.path)
        else:
            _check_writable(self.path)

    def _exists(self) -> bool:
        # Checked on every call, because another process may have created the file meanwhile.
        return not self.lasts or self.path.exists()

    def limit(self, max_bytes: int | None, max_age: float | None) -> None:
        """Delete completions beyond this size and age (in seconds) from now on.

        The file is marked as a cache. Raises FathomError for a file with completions without this mark: a run, or a
        server without limits, may need all of them.
        """
        if max_bytes is None and max_age is None:
            return
        if self._exists() and not _is_cache(self._opened()):
            raise FathomError(
                f"{self.path} has completions of runs, or of a server without limits, which need them to resume; "
                "--cache-mb and --cache-hours would delete them; expected a new file, or the journal of a server with "
                "these options"
            )
        self.max_bytes, self.max_age = max_bytes, max_age

    def find(self, keys: Sequence[str]) -> list[str | None]:
        if self._connection is None and not self._exists():
            return [None] * len(keys)
        with self._named_failures():
            if self.max_age is not None:
                with self._opened() as connection:
                    _delete_older(connection, time.time() - self.max_age)
            return find(self._opened(), keys)

    def rows(self) -> list[Row]:
        """All rows, in the order in which they were written. Rows of older versions have an empty request."""
        if self._connection is None and not self._exists():
            return []
        with self._named_failures():
            statement = "SELECT key, coalesce(request, ''), completion FROM completions ORDER BY rowid"
            return [Row(*row) for row in self._opened().execute(statement)]

    def write(self, rows: Sequence[Row]) -> None:
        with self._named_failures(), self._opened() as connection:
            # Keys are hashes, so replaying needs the identity to compute the keys again.
            connection.execute("INSERT OR IGNORE INTO engines VALUES (?)", (self.engine.identity,))
            statement = "INSERT OR IGNORE INTO completions (key, request, completion, written) VALUES (?, ?, ?, ?)"
            now = int(time.time())
            connection.executemany(statement, [(*row, now) for row in rows])
            self._record(connection)
            if not self._marked and (self.max_bytes is not None or self.max_age is not None):
                connection.execute(f"PRAGMA user_version = {CACHE}")
                self._marked = True
            if self.max_bytes is not None:
                _delete_oldest(connection, self.max_bytes)

    def _record(self, connection: sqlite3.Connection) -> None:
        if isinstance(self.engine, Metered):
            ledger.record(connection, self._run, self.engine)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _open(self.path)
        return self._connection

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            message = f"the journal {self.path} failed: {error}; its contents are kept: fix this and run again"
            raise JournalError(message) from error

    def close(self) -> None:
        """Record the final spending, which includes calls without a completion, and close the file."""
        if isinstance(self.engine, Metered) and self.engine.usage != Usage():
            with suppress(sqlite3.Error, FathomError):  # a full disk was reported when completions were written
                connection = self._opened()
                with connection:
                    self._record(connection)
        if self._connection is not None:
            self._connection.close()


def _is_cache(connection: sqlite3.Connection) -> bool:
    """Whether completions may be deleted: the file is marked as a cache, or has none yet."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return version == CACHE or connection.execute("SELECT 1 FROM completions LIMIT 1").fetchone() is None


def _delete_oldest(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Delete a tenth of the completions, the oldest first, until the rest takes at most `max_bytes`.

    The file keeps its size; SQLite uses the free pages for later rows.
    """
    while _used_bytes(connection) > max_bytes:
        (count,) = connection.execute("SELECT count(*) FROM completions").fetchone()
        if not count:
            return
        oldest = "SELECT rowid FROM completions ORDER BY rowid LIMIT ?"
        connection.execute(f"DELETE FROM completions WHERE rowid IN ({oldest})", (-(-count // 10),))


def _delete_older(connection: sqlite3.Connection, oldest: float) -> None:
    """Delete the completions that were written before this time. Those of older versions have no time, and are kept.

    Rows are in the order in which they were written, so the first one tells whether there is anything to delete.
    """
    first = "SELECT written FROM completions WHERE written IS NOT NULL ORDER BY rowid LIMIT 1"
    row = connection.execute(first).fetchone()
    if row is not None and row[0] < oldest:
        connection.execute("DELETE FROM completions WHERE written < ?", (oldest,))


def _used_bytes(connection: sqlite3.Connection) -> int:
    names = ("page_size", "page_count", "freelist_count")
    size, pages, free = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    return size * (pages - free)


def find(connection: sqlite3.Connection, keys: Sequence[str]) -> list[str | None]:
    """The stored completion of each key in an open journal; None for a key that is not stored."""
    rows = (connection.execute("SELECT completion FROM completions WHERE key = ?", (key,)).fetchone() for key in keys)
    return [None if row is None else str(row[0]) for row in rows]


def read_only(path: Path) -> sqlite3.Connection:
    """Open a journal for reading. Raises FathomError for any other file."""
    if not path.is_file():
        raise FathomError(f"{path}: no such journal; expected a file written by --journal, or OUT.journal")
    try:
        # In write-ahead mode even a reader creates two files, unless the database is opened as immutable, which is safe
        # only while no process writes.
        writing = path.with_name(f"{path.name}-wal").exists()
        uri = f"{path.resolve().as_uri()}?mode=ro{'' if writing else '&immutable=1'}"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise FathomError(f"cannot read {path} as a journal: {error}") from error
    if "completions" not in tables:
        raise FathomError(
            f"{path} is not a journal: it has no table of completions; expected a file written by --journal"
        )
    return connection


def _check_writable(path: Path) -> None:
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise FathomError(
            f"cannot use {path} as a journal: {nearest} is not a writable folder; give another file with --journal"
        )


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS, check_same_thread=False)
        _refuse_foreign(connection, path)
        # Write-ahead log with full sync: a returned completion survives a crash of the process and of the machine.
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")  # one process creates the tables, even if several start together
        connection.execute("CREATE TABLE IF NOT EXISTS completions (key TEXT PRIMARY KEY, completion TEXT)")
        if "request" not in {column[1] for column in connection.execute("PRAGMA table_info(completions)")}:
            connection.execute("ALTER TABLE completions ADD COLUMN request TEXT")
        if "written" not in {column[1] for column in connection.execute("PRAGMA table_info(completions)")}:
            connection.execute("ALTER TABLE completions ADD COLUMN written INTEGER")
        connection.execute("CREATE TABLE IF NOT EXISTS engines (identity TEXT PRIMARY KEY)")
        ledger.prepare(connection)
        connection.commit()
    except (OSError, sqlite3.Error) as error:
        raise FathomError(f"cannot use {path} as a journal: {error}; give another file with --journal") from error
    return connection


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Raise FathomError for a database of another program, which must not be changed."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    columns = {column[1] for column in connection.execute("PRAGMA table_info(completions)")}
    if tables and not {"key", "completion"} <= columns:
        connection.close()
        names = ", ".join(sorted(tables)[:3])
        raise FathomError(f"{path} is a database of another program, with {names}; give another file with --journal")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead mode. SQLite ignores its lock timeout for this statement, so wait here."""
    latest = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > latest:
                raise
            time.sleep(0.01)
