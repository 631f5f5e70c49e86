"""Files that are whole or not there: what is written appears under its name only once it is complete.

    with atomic_write(Path("results.jsonl")) as file:
        file.write(b"...")

A failure, also a full disk, leaves the file that was there before as it was. Two processes writing one path do not mix:
the last to finish stands. What is no file (/dev/null, a pipe) is written to as it is, and not replaced. A symbolic link
stays, and the file that it leads to is replaced.

A process that is killed without a chance to clean up (SIGKILL, a power cut) leaves what it had written beside the file,
as `.NAME.HOST-PID.tmp`. Whoever writes that file next on the same machine takes it away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from platform import node
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, beside `path`; takes its place when the block ends well. Makes missing folders."""
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    _clear(path)
    temporary = unfinished(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Where this process writes what is to be `path`."""
    return path.with_name(f".{path.name}.{node()}-{os.getpid()}.tmp")


def _clear(path: Path) -> None:
    """Removes what processes of this machine that are dead by now have left of `path`."""
    for left in path.parent.glob(f".{escape(path.name)}.{escape(node())}-*.tmp"):
        pid = left.name.removesuffix(".tmp").rpartition("-")[2]
        if pid.isdecimal() and not _alive(int(pid)):
            left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # nothing there asks for a process without touching it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
