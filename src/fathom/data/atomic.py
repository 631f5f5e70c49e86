"""Atomic file writes: a file appears under its name only once it is complete.

    with atomic_write(Path("results.jsonl")) as file:
        file.write(b"...")

If the write fails (a full disk, say), the previous file stays unchanged. Two processes that write the same path do not
mix: the last one to finish wins. Targets that are not regular files (/dev/null, a pipe) are written directly. Symbolic
links are followed: the link stays, and its target is replaced.

A process that is killed before it can clean up (SIGKILL, power loss) leaves a temporary file `.NAME.HOST-PID.tmp` in
the same folder. The next write of that file on the same machine removes it.
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
    """Open a temporary file that replaces `path` when the block ends without an exception. Creates missing folders."""
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    _clear(path)
    # The same folder, because a rename is atomic only within one file system.
    temporary = unfinished(path)
    try:
        with temporary.open("wb") as file:
            yield file
            # Without fsync, a power cut after the rename can leave an empty file under the final name.
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """The temporary file that this process writes before it becomes `path`."""
    return path.with_name(f".{path.name}.{node()}-{os.getpid()}.tmp")


def _clear(path: Path) -> None:
    """Remove temporary files of `path` that dead processes of this machine left behind.

    The host name in the file name keeps other machines' files, on a shared file system, out of the check by process id.
    """
    for left in path.parent.glob(f".{escape(path.name)}.{escape(node())}-*.tmp"):
        pid = left.name.removesuffix(".tmp").rpartition("-")[2]
        if pid.isdecimal() and not _alive(int(pid)):
            left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # os.kill(pid, 0) would terminate the process on Windows
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's process; not a process id
        return True
    return True
