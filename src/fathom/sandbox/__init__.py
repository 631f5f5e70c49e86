"""Runs programs that nobody has read, such as those that a model writes to check a step, apart from this machine.

    run("print(2 ** 10)")                       # Execution("ok", "1024\\n")
    run("while True: pass").status              # "deadline", after Limits.seconds
    run("open('/root/.ssh/id_rsa')").status     # "error": there is no such file

A program has its own user, process, network, mount and IPC namespaces. It sees no other process and no network. Of the
files it sees the system's programs and libraries and the Python installation, read-only. It can write to `/tmp`, which
is in memory, and empty at first unless Python is installed there. It gets nothing of the caller's environment. Root's
programs run as `nobody`, those of others as that user, both without capabilities. The first process of the namespace
ends with the program or at the deadline, and the kernel then kills all others. So neither processes nor files are left.

This needs Linux 5.14 or later, where this user can create namespaces. Elsewhere FathomError is raised, unless
`unsafe_code` is true: then only time, memory and output are limited, and the program can read and change whatever this
user can.

Not covered: faults of the kernel, because all system calls are allowed; and the total memory, because `Limits.memory`
holds for each process.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from fathom.errors import FathomError

Ending = Literal["ok", "error", "deadline", "killed"]
"""How a program ended. ok: with exit code 0. error: with another one, as after an uncaught exception. deadline: its
time was over. killed: by a signal, as at the limit of processor time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use, in seconds and bytes."""

    seconds: float | None = 5.0
    """Time until the deadline, which is also the limit of processor time of each process. None: no limit."""
    memory: int = 1 << 30
    """Address space of each process."""
    processes: int = 16
    """Processes and threads at a time. Without namespaces there is no such limit."""
    processors: int | None = 1
    """Processors, chosen at random. Libraries start as many threads. None: all."""
    disk: int = 64 << 20
    """Size of the scratch folder, and of each file."""
    output: int = 1 << 16
    """How much of the output is kept. The rest is dropped."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What a program did."""

    status: Ending
    output: str
    """Standard output and standard error, in the order of writing."""
    truncated: bool = False
    """Whether `output` is only the beginning."""


DEFAULT = Limits()


def run(code: str, *, limits: Limits = DEFAULT, unsafe_code: bool = False) -> Execution:
    """Run a Python program and wait for its end. Its standard input is empty. Any thread may call this.

    Raises FathomError where the system offers no namespaces, unless `unsafe_code` is true.
    """
    read, write = os.pipe()
    # Unbuffered, so that the output stays in order, and that of a killed program is not lost.
    arguments = command([sys.executable, "-I", "-B", "-u", "-"], limits=limits, unsafe_code=unsafe_code, report=write)
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={},
        pass_fds=(write,),
        start_new_session=True,
    )
    with os.fdopen(read) as report, process:
        os.close(write)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError), process.stdin as program:
                program.write(code.encode("utf-8", "replace"))
            output, truncated = _beginning(process.stdout.fileno(), limits.output, until=read)
        finally:
            process.terminate()
        ending = _ending(report.readline())
    return Execution(ending, output.decode("utf-8", "replace"), truncated)


def command(
    program: Sequence[str],
    *,
    readable: Sequence[Path] = (),
    limits: Limits = DEFAULT,
    unsafe_code: bool = False,
    report: int | None = None,
) -> list[str]:
    """The arguments of a process that runs `program` in a sandbox: for programs that converse with the caller.

    `readable` lists further folders to show to the program. The process has the program's standard input and output.
    SIGTERM and SIGKILL end it and the program. How the program ended is written to the file descriptor `report`.
    """
    if not hasattr(os, "fork"):
        raise FathomError(
            f"programs that a model wrote run on Linux, macOS and other Unix systems only, not on {sys.platform}"
        )
    shown = [] if unsafe_code else [*_python(), *readable]
    settings = {
        "isolate": not unsafe_code,
        "program": list(program),
        "readable": [str(path) for path in shown],
        "hidden": [str(path) for path in _homes()],
        "report": report,
        **asdict(limits),
    }
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("_first.py")), json.dumps(settings)]


def check(*, unsafe_code: bool = False) -> None:
    """Raise FathomError if `run` would raise it. Call it before long work whose programs come late."""
    run("", unsafe_code=unsafe_code)


@cache
def available() -> bool:
    """Whether this system offers a sandbox. Tries once per process."""
    try:
        check()
    except FathomError:
        return False
    return True


def _python() -> list[Path]:
    """The folders of the Python installation. Raises FathomError if one of them contains the home folder."""
    folders = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent]
    folders += [folder.resolve() for folder in folders]
    for folder in folders:
        if any(home.is_relative_to(folder) for home in _homes()):
            raise FathomError(
                f"programs would see the home folder, because Python is installed in {folder}; use a Python in "
                "a folder of its own"
            )
    return list(dict.fromkeys(folders))


def _homes() -> list[Path]:
    """The home folders of this user: that of the environment and that of the system's list of users."""
    import pwd

    named = [os.environ.get("HOME", "")]
    with suppress(KeyError):
        named.append(pwd.getpwuid(os.geteuid()).pw_dir)
    homes = [Path(home).resolve() for home in named if Path(home).is_absolute()]
    return [home for home in dict.fromkeys(homes) if home != Path("/")]


def _beginning(descriptor: int, size: int, *, until: int) -> tuple[bytes, bool]:
    """The first `size` bytes, and whether there were more.

    The rest is read too, so that the writer need not wait, until all writers ended, or until the descriptor `until` is
    readable: without namespaces, a process that survives the program may keep its output open.
    """
    kept = bytearray()
    readable = select.poll()
    readable.register(descriptor, select.POLLIN)
    readable.register(until, select.POLLIN)
    while descriptor in (ready for ready, _ in readable.poll()):
        if not (chunk := os.read(descriptor, 1 << 16)):
            break
        kept += chunk[: size + 1 - len(kept)]
    return bytes(kept[:size]), len(kept) > size


def _ending(line: str) -> Ending:
    report: dict[str, Any] = json.loads(line) if line else {"status": "killed"}
    if "refused" in report:
        raise FathomError(
            f"this system offers no sandbox for programs that a model wrote: {report['refused']}; it needs Linux 5.14 "
            "or later, and the right to create namespaces (docs/sandbox.md). --unsafe-code, in Python "
            "unsafe_code=True, runs programs without protection from their mistakes and malice"
        )
    status: Ending = report["status"]
    return status
