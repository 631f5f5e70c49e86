"""The journal of completions: where they are kept, by key, and found again.

A journal is any object with the methods of `Journal`; `SQLiteJournal` is the one that Fathom ships and `--journal`
names. `fathom.engines.cache.CachedEngine` makes the keys and the rows.
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


class Row(NamedTuple):
    """A completion to keep. All three are text: `request` and `completion` are JSON, `key` is a hash of the request."""

    key: str
    request: str
    completion: str


class Journal(Protocol):
    """Keeps completions. Its methods are called from one thread at a time, which need not be the one that made it.

    They raise FathomError where the journal cannot be used; the run then ends, and what is kept can be used again.
    """

    @property
    def lasts(self) -> bool:
        """Whether rows outlast the process. Where they do not, a run that is broken off waits for no call in flight."""
        ...

    def find(self, keys: Sequence[str]) -> Sequence[str | None]:
        """The completion of each key, in their order; None where there is none."""
        ...

    def write(self, rows: Sequence[Row]) -> None:
        """Keeps the rows, all or none; they are safe when it returns. Of two rows with one key, the first is kept."""
        ...

    def close(self) -> None: ...


class SQLiteJournal:
    """A file of SQLite, or ":memory:". Several processes may use one file at the same time.

    The file is made with the first row, so a command that is refused before leaves none behind. Each write records
    `engine`'s identity, by which a journal can be replayed, and what it has spent where it is metered.

    Raises FathomError at once where the file could not be made, and for a file that is no journal.
    """

    def __init__(self, path: str | Path, engine: Engine) -> None:
        self.path = Path(path)
        self.engine = engine
        self.lasts = str(path) != ":memory:"
        self._run = uuid.uuid4().hex
        self._connection: sqlite3.Connection | None = None
        if self._is_there():
            self._connection = _open(self.path)
        else:
            _refuse_place(self.path)

    def _is_there(self) -> bool:
        """Also where another process has made it since."""
        return not self.lasts or self.path.exists()

    def find(self, keys: Sequence[str]) -> list[str | None]:
        if self._connection is None and not self._is_there():
            return [None] * len(keys)
        with self._failures_named():
            return find(self._opened(), keys)

    def write(self, rows: Sequence[Row]) -> None:
        with self._failures_named(), self._opened() as connection:
            # A key is a hash, so without this nobody could say whose completions these are, and ask for them again.
            connection.execute("INSERT OR IGNORE INTO engines VALUES (?)", (self.engine.identity,))
            statement = "INSERT OR IGNORE INTO completions (key, request, completion) VALUES (?, ?, ?)"
            connection.executemany(statement, rows)
            self._record(connection)

    def _record(self, connection: sqlite3.Connection) -> None:
        if isinstance(self.engine, Metered):
            ledger.record(connection, self._run, self.engine)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _open(self.path)
        return self._connection

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            message = f"the journal {self.path} failed: {error}; what it holds is kept: mend this and run again"
            raise FathomError(message) from error

    def close(self) -> None:
        """Writes down what calls spent that left no completion, also where they were all."""
        if isinstance(self.engine, Metered) and self.engine.usage != Usage():
            with suppress(sqlite3.Error, FathomError):  # a full disk was told when completions were written
                connection = self._opened()
                with connection:
                    self._record(connection)
        if self._connection is not None:
            self._connection.close()


def find(connection: sqlite3.Connection, keys: Sequence[str]) -> list[str | None]:
    """The stored completion of each key in an open journal; None where there is none."""
    rows = (connection.execute("SELECT completion FROM completions WHERE key = ?", (key,)).fetchone() for key in keys)
    return [None if row is None else str(row[0]) for row in rows]


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
