"""The process that makes a sandbox and starts the program in it. `fathom.sandbox` runs this file as a script.

There are three processes. This one stays outside, keeps the deadline and reports how the program ended. Its child is
the first process of the PID namespace: it builds the file system, gives up its privileges and waits for the program,
which is its child. When the first process of a PID namespace ends, the kernel kills all others of the namespace before
it reports the end.

It uses only the standard library, so that it starts fast. The constants are those of Linux on all architectures.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import random
import resource
import select
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 2, 4, 4096, 16384, 1 << 18, 2
SYS_MOUNT_SETATTR, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, AT_RECURSIVE, AT_FDCWD = 442, 1, 2, 0x8000, -100
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CAPABILITY_VERSION_3 = 0x20080522
NOBODY = 65534

SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/nix/store")
FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
ROOT = "/proc"
"""Where the new file system is built: a folder that every Linux has, and from which nothing is shown to the program."""
SCRATCH = "/tmp"

libc = ctypes.CDLL(None, use_errno=True)
Settings = Mapping[str, Any]


def main(settings: Settings) -> None:
    if settings["report"] is not None:
        os.set_inheritable(settings["report"], False)
    try:
        (isolated if settings["isolate"] else unprotected)(settings)
    except Exception as error:  # noqa: BLE001 - whatever failed, the caller refuses to run the program
        tell(settings, refused=f"{type(error).__name__}: {error}")
        sys.exit(1)


def isolated(settings: Settings) -> None:
    """Start the first process of new namespaces, and wait for its end."""
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    if os.geteuid() != 0:
        enter_user_namespace(proc)
    call("unshare", CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    alive, held = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(held)
        never_returning(settings, lambda: inside(settings, proc, alive))
    supervise(settings, first, lambda: os.kill(first, signal.SIGKILL))


def unprotected(settings: Settings) -> None:
    """Start the program in a session and a scratch folder of its own, and wait for its end."""
    with TemporaryDirectory(prefix="fathom-", ignore_cleanup_errors=True) as folder:
        program = os.fork()
        if program == 0:
            os.setsid()
            os.chdir(folder)
            never_returning(settings, lambda: execute(settings))
        supervise(settings, program, lambda: os.killpg(program, signal.SIGKILL))


def never_returning(settings: Settings, run: Callable[[], None]) -> None:
    """Call `run` in a forked process, which then ends, whatever happens."""
    try:
        run()
    except BaseException as error:  # noqa: BLE001
        tell(settings, refused=f"{type(error).__name__}: {error}")
    finally:
        os._exit(1)


def supervise(settings: Settings, process: int, kill: Callable[[], None]) -> None:
    """Wait for the end of a child, and kill it at the deadline or on SIGTERM."""
    expired = False

    def end(number: int, _: object) -> None:
        nonlocal expired
        expired = number == signal.SIGALRM
        with suppress(ProcessLookupError):
            kill()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, settings["seconds"] or 0)
    # The child is not reaped here, so its number cannot belong to another process when `end` kills it.
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not settings["isolate"]:
        with suppress(ProcessLookupError, PermissionError):
            kill()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    tell(settings, status="deadline" if expired else ending(code))


def ending(code: int) -> str:
    return "killed" if code < 0 else "error" if code else "ok"


def tell(settings: Settings, **report: str) -> None:
    """Write a line to the caller, which reads the first one only."""
    if settings["report"] is not None:
        with suppress(OSError):
            os.write(settings["report"], json.dumps(report).encode() + b"\n")


# The first process of the namespaces ---------------------------------------------------------------------------------


def inside(settings: Settings, proc: int, alive: int) -> None:
    """Build the file system, give up all privileges, run the program and report how it ended."""
    build_root(settings)
    if os.geteuid() == 0:
        become_nobody()
        enter_user_namespace(proc)
    os.close(proc)
    drop_capabilities()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    call("prctl", *longs(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    # If the process outside ended before this call, no signal will come, but the pipe to it is closed.
    if select.select([alive], [], [], 0)[0]:
        return
    program = os.fork()
    if program == 0:
        resource.setrlimit(resource.RLIMIT_NPROC, (settings["processes"], settings["processes"]))
        never_returning(settings, lambda: execute(settings))
    ended, status = os.wait()
    while ended != program:
        ended, status = os.wait()
    tell(settings, status=ending(os.waitstatus_to_exitcode(status)))


def enter_user_namespace(proc: int) -> None:
    """Enter a user namespace with this user alone, and without any namespaces in it.

    A program could otherwise make another namespace, mount file systems there and fill the memory with files.
    """
    user, group = os.geteuid(), os.getegid()
    # After a change of the user, the files of /proc/self belong to root unless the process is dumpable.
    call("prctl", *longs(PR_SET_DUMPABLE, 1, 0, 0, 0))
    call("unshare", CLONE_NEWUSER)
    write(proc, "self/setgroups", "deny")
    write(proc, "self/uid_map", f"{user} {user} 1")
    write(proc, "self/gid_map", f"{group} {group} 1")
    write(proc, "sys/user/max_user_namespaces", "0")


def write(folder: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def drop_capabilities() -> None:
    call("prctl", *longs(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    call("capset", header, none)


def build_root(settings: Settings) -> None:
    """Replace the file system by one in memory, with the folders that the program may read."""
    mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
    mount("tmpfs", Path(ROOT), "tmpfs", MS_NOSUID | MS_NODEV, f"mode=755,nr_inodes=65536,size={settings['disk']}")
    for folder in map(Path, SYSTEM):
        if folder.is_symlink():
            inner(folder).symlink_to(folder.readlink())
        elif folder.is_dir():
            show(folder)
    for file in map(Path, FILES):
        if file.exists():
            show(file)
    for home in map(Path, settings["hidden"]):
        if inner(home).is_dir():
            mount("tmpfs", inner(home), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,nr_inodes=1024,size=65536")
    for folder in map(Path, settings["readable"]):
        if not inner(folder).exists():
            show(folder)
    inner(Path(SCRATCH)).mkdir(exist_ok=True)  # Python may be installed below it
    inner(Path(SCRATCH)).chmod(0o777)
    enter_root()


def enter_root() -> None:
    os.chdir(ROOT)
    Path("old").mkdir()
    call("pivot_root", b".", b"old")
    call("umount2", b"/old", MNT_DETACH)
    Path("/old").rmdir()
    os.chdir(SCRATCH)


def inner(path: Path) -> Path:
    """The place of an absolute path in the file system that is being built."""
    return Path(ROOT) / path.relative_to("/")


def show(path: Path) -> None:
    """Mount a folder read-only, or a file or device, at the same path in the new file system."""
    target = inner(path)
    if path.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(path, target, None, MS_BIND | MS_REC)
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_NOSUID | (MOUNT_ATTR_RDONLY if path.is_dir() else 0), 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    where = ctypes.c_char_p(bytes(target))
    call("syscall", *longs(SYS_MOUNT_SETATTR, AT_FDCWD), where, *longs(AT_RECURSIVE), attributes, size)


def mount(source: Path | str, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    source_, target_, kind_, data_ = (
        None if each is None else os.fsencode(each) for each in (source, target, kind, data)
    )
    call("mount", source_, target_, kind_, ctypes.c_ulong(flags), data_)


# The program ---------------------------------------------------------------------------------------------------------


def execute(settings: Settings) -> None:
    """Become the program, with limits and without an environment. Does not return."""
    for limit, value in limits(settings).items():
        hard = resource.getrlimit(limit)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (allowed, allowed))
    if settings["processors"] is not None and hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, random.sample(mine, min(settings["processors"], len(mine))))
    os.execve(settings["program"][0], settings["program"], {})


def limits(settings: Settings) -> dict[int, int]:
    found = {
        resource.RLIMIT_AS: settings["memory"],
        resource.RLIMIT_FSIZE: settings["disk"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if settings["seconds"] is not None:
        found[resource.RLIMIT_CPU] = math.ceil(settings["seconds"]) + 1
    return found


def longs(*values: int) -> list[ctypes.c_long]:
    """Arguments of C functions of any number of arguments, which take 64 bits each."""
    return [ctypes.c_long(value) for value in values]


def call(name: str, *arguments: Any) -> None:
    """Call a function of the C library. Raises OSError if it fails."""
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
