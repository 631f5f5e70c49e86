"""Files that are whole or not there: what is written appears under its name only once it is complete.

    with replacing(Path("results.jsonl")) as file:
        file.write(b"...")

A failure, also a full disk, leaves the file that was there before as it was. Two processes writing one path do not mix:
the last to finish stands. What is no file (/dev/null, a pipe) is written to as it is, and not replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, beside `path`; takes its place when the block ends well. Makes missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
