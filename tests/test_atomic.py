"""Files that are whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fathom.data.atomic import atomic_write


def write_and_fail(path: Path) -> None:
    with atomic_write(path) as file:
        file.write(b"second")
        raise OSError("disk full")


def test_a_failure_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with atomic_write(path) as file:
        file.write(b"first")
    with pytest.raises(OSError, match="disk full"):
        write_and_fail(path)
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


KILLED = """
import sys
from pathlib import Path
from fathom.data.atomic import atomic_write
with atomic_write(Path(sys.argv[1])) as file:
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_taken_away_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "results [1].jsonl"
    other = tmp_path / "results [1].jsonl.meta.json"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    killed, living, of_another = (
        subprocess.Popen([sys.executable, "-c", KILLED, str(name)], **pipes)  # type: ignore[call-overload]
        for name in (path, path, other)
    )
    for process in (killed, living, of_another):
        assert process.stdout.readline() == "writing\n"
    for process in (killed, of_another):
        process.kill()
        process.wait()
    with atomic_write(path) as file:
        file.write(b"whole")
    assert len(list(tmp_path.glob(f"*-{killed.pid}.tmp"))) == 0
    assert len(list(tmp_path.glob(f"*-{of_another.pid}.tmp"))) == 1, "this is of another file"
    assert len(list(tmp_path.glob(f"*-{living.pid}.tmp"))) == 1
    living.communicate("")
    assert living.returncode == 0
    assert path.read_bytes() == b""


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(path) as file:
        file.write(b"text")
    assert os.read(reader, 100) == b"text"
    assert path.is_fifo()
    os.close(reader)
