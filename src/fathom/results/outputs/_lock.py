"""A lock for an output, so that only one process writes it at a time."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from platform import node

from fathom.errors import FathomError
from fathom.results.outputs._plan import Outputs, elsewhere, is_replaceable

try:
    import fcntl
except ImportError:  # Windows, where there is no lock
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(outputs: Outputs) -> Iterator[None]:
    """Create the output's folder and hold its lock. Folders that remain empty are removed at the end.

    The lock is flock's, which the system releases when the process ends, so a killed process leaves no stale lock. The
    content of the lock file names the process for the error message of others. File systems without locks are written
    without one.
    """
    target = Path(os.path.realpath(outputs.target))  # so that all names of a file have the same lock
    if not outputs.is_folder and not is_replaceable(target):
        yield
        return
    place = target if outputs.is_folder else target.parent
    lock = place / ".fathom.lock" if outputs.is_folder else target.with_name(f".{target.name}.lock")
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
        descriptor = _acquired(lock, outputs)
    except OSError as error:
        _remove_empty(missing)
        named = f"{outputs.option} {outputs.target}"
        raise FathomError(f"{named} cannot be written: {error}; {elsewhere(outputs)}") from None
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        os.close(descriptor)
        _remove_empty(missing)


def _acquired(lock: Path, outputs: Outputs) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 1000).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise FathomError(
                f"{outputs.option} {outputs.target} is being written by {holder}; wait until it has ended, or "
                f"{elsewhere(outputs)}"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
                raise
        # The previous holder may have removed the file between open and flock. A lock on a removed file excludes
        # nobody: the next process creates and locks a new file. So compare the two, and retry if they differ.
        if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
            break
        os.close(descriptor)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
    return descriptor


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
