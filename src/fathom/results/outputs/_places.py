"""Checks that outputs are not inputs, and that they can be written."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fathom.data.atomic import unfinished
from fathom.errors import FathomError
from fathom.results.outputs._plan import Outputs, beside, elsewhere, is_replaceable

MIN_SPACE = 2**20
"""Minimum free space in bytes for the outputs of a run. A journal would not fit into less."""


def check(outputs: Outputs, reads: Mapping[Path, str]) -> None:
    """Raise FathomError if an output is also an input, cannot be written, or would be written twice."""
    _refuse_read(outputs, reads)
    twice = [path for number, path in enumerate(outputs.files) if path in outputs.files[:number]]
    if twice:
        raise FathomError(f"{outputs.option} {outputs.target} would write {twice[0]} twice; rename one of the inputs")
    _refuse_unusable(outputs)


# Inputs ---------------------------------------------------------------------------------------------------------------


def _refuse_read(outputs: Outputs, reads: Mapping[Path, str]) -> None:
    """Raise FathomError if an output is an input, or is inside a model or data set that is read as a whole."""
    for read, what in reads.items():
        for path in (*outputs.every, *((outputs.target,) if outputs.is_folder else ())):
            named = f"{outputs.option} {outputs.target}"
            named += "" if path == outputs.target else f" would write {path}, which"
            if same_file(path, read) or (read.name and same_file(path, beside(read, "meta.json"))):
                raise FathomError(f"{named} is the same file as {read}, which is read as {what}; {elsewhere(outputs)}")
            if _is_read_whole(read) and _inside(path, read):
                raise FathomError(f"{named} is inside {read}, which is read as {what}; {elsewhere(outputs)}")


def refuse_standard_output(reads: Mapping[Path, str]) -> None:
    """Raise FathomError if standard output or standard error is redirected into an input."""
    for descriptor, stream in ((1, "standard output"), (2, "standard error")):
        for read, what in reads.items():
            if _is_redirected_into(descriptor, read):
                raise FathomError(
                    f"{stream} is redirected to {read}, which is read as {what}; redirect it to another file"
                )


def same_file(a: Path, b: Path) -> bool:
    """Whether two paths are the same file, also through symbolic or hard links or an open descriptor."""
    with suppress(OSError):
        return a.samefile(b)
    return os.path.realpath(a) == os.path.realpath(b)


def _is_redirected_into(descriptor: int, path: Path) -> bool:
    with suppress(OSError):
        there = path.stat()
        return stat.S_ISREG(there.st_mode) and os.path.samestat(os.fstat(descriptor), there)
    return False


def _is_read_whole(folder: Path) -> bool:
    """Whether it is a model or a saved data set: a new file in the folder would become part of it."""
    parts = ("config.json", "adapter_config.json", "state.json", "dataset_info.json")
    return any((folder / part).is_file() for part in parts)


def _inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


# Writable places ------------------------------------------------------------------------------------------------------


def _refuse_unusable(outputs: Outputs) -> None:
    named = f"{outputs.option} {outputs.target}"
    try:
        for path in outputs.every:
            _refuse_in_place(path, outputs)
            _exists(unfinished(path))  # raises OSError if the longer name of the temporary file is too long
        if outputs.is_folder and _exists(outputs.target) and not outputs.target.is_dir():
            raise FathomError(f"{named} is a file, expected a folder; {elsewhere(outputs)}")
        for path in (outputs.target, *outputs.appended):
            _refuse_place(path, outputs)
    except OSError as error:  # too long a name, a loop of links, a folder without read permission
        raise FathomError(f"{named} cannot be written: {error.strerror}; {elsewhere(outputs)}") from None


def _refuse_in_place(path: Path, outputs: Outputs) -> None:
    """Raise FathomError if `path` is read-only, or a folder where a file is expected.

    Verbs that write folders of files name them without a suffix; such a folder may be replaced.
    """
    named = f"{outputs.option} {path}"
    if _exists(path) and path.is_dir() and (path == outputs.target or path.suffix):
        raise FathomError(f"{named} is a folder, expected a file; {elsewhere(outputs)}")
    if path.is_file() and not path.stat().st_mode & 0o222:
        raise FathomError(f"{named} is read-only; {elsewhere(outputs)}, or allow writing it (chmod u+w)")


def _refuse_place(path: Path, outputs: Outputs) -> None:
    """Raise FathomError if the file system does not allow writing `path`, or has too little space.

    Missing folders are created in the nearest existing one, which is therefore the one to check.
    """
    named = f"{outputs.option} {path}"
    path = Path(os.path.realpath(path))
    nearest = next(place for place in (path, *path.parents) if _exists(place))
    if nearest == path and not nearest.is_dir():
        nearest = path.parent  # a file is replaced by a temporary file of the same folder
        if not is_replaceable(path):
            return
    if not nearest.is_dir():
        raise FathomError(f"{named} cannot be written: {nearest} is not a folder; {elsewhere(outputs)}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise FathomError(f"{named} cannot be written: no permission to write in {nearest}; {elsewhere(outputs)}")
    disk, needed = shutil.disk_usage(nearest), max(MIN_SPACE, outputs.space)
    if disk.total and disk.free < needed:  # file systems without usage figures report 0 of 0 bytes
        raise FathomError(
            f"{named}: {disk.free / 2**20:,.1f} MiB are free on the disk, at least {needed / 2**20:,.1f} MiB are "
            f"needed; free some space, or {elsewhere(outputs)}"
        )


def _exists(path: Path) -> bool:
    """As `Path.exists`, but other errors are raised: `Path.exists` returns False for some of them."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
