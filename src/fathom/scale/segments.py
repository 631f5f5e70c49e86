"""The journal of a shard: small immutable files of completions beside the results, and SQLite for the running worker.

    journal = SegmentedJournal(Folder.at("out/journal/shard-000000"), Path("/tmp/shard-000000.journal"), engine)
    async with CachedEngine(engine, journal) as cached: ...

A completion is finished once it is in a segment. A segment is written with 200 completions, or 5 seconds after the
first of them, whole or not at all (`fathom.data.folders`), and never changed. A worker that starts on a shard reads all
its segments, so a killed worker or a lost machine costs at most the calls in flight and one segment that was not yet
written. The SQLite file answers lookups. If it survives, as after the death of the process alone, what it has and the
segments lack is not repeated either.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock, Timer

from fathom.data.folders import Folder
from fathom.engines import Engine
from fathom.engines.journal import JournalError, Row, SQLiteJournal
from fathom.errors import FathomError
from fathom.results.arrow import arrow_schema

SEGMENT_ROWS = 200
SEGMENT_SECONDS = 5.0
COLUMNS = {"key": "string", "request": "string", "completion": "string"}
"""The fields of `fathom.engines.journal.Row`, with pyarrow's names of their types."""


def encode(rows: Iterable[Row]) -> bytes:
    """A segment as Parquet."""
    import pyarrow
    from pyarrow import parquet

    sink = io.BytesIO()
    table = pyarrow.Table.from_pylist([row._asdict() for row in rows], schema=arrow_schema(COLUMNS))
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def decode(content: bytes, where: str) -> list[Row]:
    """Inverse of `encode`. Raises FathomError, prefixed with `where`, for anything else."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(io.BytesIO(content), columns=list(COLUMNS))
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise FathomError(f"{where} is not a segment: {error}; remove it, and its calls are made again") from error
    return [Row(**row) for row in table.to_pylist()]


def stored(folder: Folder) -> Iterator[Row]:
    """The completions in all segments of a shard, in the order in which they were written by each worker."""
    for name in folder.names():
        yield from decode(folder.read(name), f"{folder}/{name}")


class SegmentedJournal:
    """A `fathom.engines.journal.Journal` of one shard. `local`: its SQLite file, on the worker's own disk.

    Raises FathomError for a damaged segment, and JournalError if a segment cannot be written.
    """

    lasts = True

    def __init__(
        self, folder: Folder, local: Path, engine: Engine, *, rows: int = SEGMENT_ROWS, seconds: float = SEGMENT_SECONDS
    ) -> None:
        self.folder, self.rows, self.seconds = folder, rows, seconds
        self._local = SQLiteJournal(local, engine)
        self._lock = Lock()
        self._timer: Timer | None = None
        self._failure: Exception | None = None
        self._segments = len(folder.names())
        segmented = list(stored(folder))
        self._keys = {row.key for row in segmented}
        # What an earlier worker on this machine stored, but died before it could write a segment.
        self._pending = [row for row in self._local.rows() if row.key not in self._keys]
        self._keys |= {row.key for row in self._pending}
        if segmented:
            self._local.write(segmented)
        self.flush()

    def find(self, keys: Sequence[str]) -> Sequence[str | None]:
        with self._lock:
            return self._local.find(keys)

    def write(self, rows: Sequence[Row]) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._local.write(rows)
            new = [row for row in rows if row.key not in self._keys]
            self._keys |= {row.key for row in new}
            self._pending += new
            if len(self._pending) >= self.rows:
                self._write_segment()
            elif self._pending and self._timer is None:
                self._timer = Timer(self.seconds, self._late)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what is not yet in a segment. Raises JournalError if that fails."""
        with self._lock:
            self._write_segment()

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._local.close()

    def _late(self) -> None:
        """Flush from the timer's thread; `write` raises the failure."""
        try:
            self.flush()
        except JournalError as error:
            self._failure = error

    def _write_segment(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pending:
            return
        # Another worker may believe that it has the same shard, so the number alone would not be unique.
        name = f"{self._segments:06d}-{uuid.uuid4().hex[:8]}.parquet"
        try:
            self.folder.write(name, encode(self._pending))
        except Exception as error:  # each file system of fsspec raises its own errors
            message = f"the segment {self.folder}/{name} could not be written: {error}; fix this and run again"
            raise JournalError(message) from error
        self._segments += 1
        self._pending = []
