"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fathom.atomic import replacing


def write_and_fail(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"second")
        raise OSError("disk full")


def test_a_failure_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with replacing(path) as file:
        file.write(b"first")
    with pytest.raises(OSError, match="disk full"):
        write_and_fail(path)
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(path) as file:
        file.write(b"text")
    assert os.read(reader, 100) == b"text"
    assert path.is_fifo()
    os.close(reader)
