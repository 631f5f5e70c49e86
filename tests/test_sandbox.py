"""The sandbox: what a program can do in it, as root and as another user, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fathom import sandbox
from fathom.errors import FathomError
from fathom.sandbox import Execution, Limits, run

SOURCE = Path(sandbox.__file__).parent.parent
NOBODY, SYSTEM_PYTHON = 65534, "/usr/bin/python3"
LATE = Limits(seconds=60)
"""For programs that end by themselves, on a busy machine too."""
BRIEF = Limits(seconds=1)
"""For programs that do not."""


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    try:
        sandbox.check()
    except FathomError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def modules() -> Iterator[Path]:
    """A folder with the sandbox's modules alone that every user can read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "fathom")
        shutil.copytree(SOURCE / "sandbox", folder / "sandbox")
        shutil.copy(SOURCE / "errors.py", folder)
        for path in (Path(name), *Path(name).rglob("*")):
            path.chmod(0o755)
        yield Path(name)


@pytest.fixture(params=["this user", "nobody"])
def user(request: pytest.FixtureRequest, modules: Path) -> Any:
    """A function that runs a program as this user, and one that does so as `nobody`."""
    if request.param == "this user":
        return run
    if os.geteuid() != 0 or shutil.which("setpriv") is None or not Path(SYSTEM_PYTHON).exists():
        pytest.skip("only root with setpriv and the system's Python can run programs as another user")
    return lambda code, limits: as_nobody(modules, code, limits)


def as_nobody(modules: Path, code: str, limits: Limits) -> Execution:
    call = "import json, sys; from fathom.sandbox import Limits, run; code, limits = json.load(sys.stdin); "
    call += (
        "done = run(code, limits=Limits(**limits)); json.dump([done.status, done.output, done.truncated], sys.stdout)"
    )
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", SYSTEM_PYTHON, "-c", call]
    given = json.dumps([code, {name: getattr(limits, name) for name in Limits.__slots__}])
    environment = {"PYTHONPATH": str(modules), "HOME": "/root", "PATH": os.environ["PATH"]}
    done = subprocess.run(become, input=given, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Execution(*json.loads(done.stdout))


def test_a_program_runs_and_its_output_is_returned(user: Any) -> None:
    assert user("import sys; print(6 * 7); print('and', file=sys.stderr)", limits=LATE) == Execution("ok", "42\nand\n")


def test_an_exception_is_an_error_with_its_traceback(user: Any) -> None:
    done = user("1 / 0", limits=LATE)
    assert (done.status, done.output.splitlines()[-1]) == ("error", "ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "print(len(str(9 ** 9 ** 9)))",
        "import time; time.sleep(600)",
        "import signal; signal.pause()",
    ],
    ids=["infinite loop", "huge exponents", "sleep", "wait for a signal"],
)
def test_a_program_that_does_not_end_is_killed_at_the_deadline(user: Any, code: str) -> None:
    assert user(code, limits=BRIEF).status in ("deadline", "killed")


def test_a_fork_bomb_stays_within_the_limit_of_processes(user: Any) -> None:
    code = """
import os, time
made = 0
for _ in range(500):
    try:
        if os.fork() == 0:
            time.sleep(600)
    except BlockingIOError:
        break
    made += 1
print(made)
os._exit(0)
"""
    done = user(code, limits=Limits(seconds=60, processes=16))
    assert done.status == "ok"
    assert 5 <= int(done.output) < 16


def test_a_fork_bomb_without_an_end_is_killed_at_the_deadline(user: Any) -> None:
    bomb = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
    code = f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {bomb!r}, 'fathom-test-bomb'])"
    assert user(code, limits=BRIEF).status in ("deadline", "killed")
    assert marked("fathom-test-bomb") == []


def marked(word: str) -> list[str]:
    """The processes of this machine with a word among their arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in arguments:
            found.append(folder.name)
    return found


def test_a_process_that_leaves_its_parents_does_not_survive_the_program(user: Any) -> None:
    code = """
import os, sys
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(1), os.close(2)
        os.set_inheritable(write, True)
        late = f"import os, time; os.write({write}, b'.'); time.sleep(600)"
        os.execv(sys.executable, [sys.executable, "-c", late, "fathom-test-daemon"])
    os._exit(0)
os.wait()
os.read(read, 1)
print("started")
"""
    assert user(code, limits=LATE) == Execution("ok", "started\n")
    assert marked("fathom-test-daemon") == []


def test_memory_is_limited(user: Any) -> None:
    done = user("bytearray(4 << 30)", limits=LATE)
    assert (done.status, done.output.splitlines()[-1]) == ("error", "MemoryError")


def test_files_are_limited_in_size_and_number(user: Any) -> None:
    code = """
try:
    for number in range(100):
        with open(f"{number}", "wb") as file:
            file.write(bytes(1 << 20))
except OSError as error:
    print(number, error.strerror)
"""
    done = user(code, limits=Limits(seconds=60, disk=8 << 20))
    assert done.output in ("7 No space left on device\n", "8 No space left on device\n")


def test_no_server_of_this_machine_can_be_reached(user: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        done = user(f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=5)", limits=LATE)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (done.status, done.output.splitlines()[-1]) == ("error", "OSError: [Errno 101] Network is unreachable")


def test_the_home_folder_and_the_working_folder_cannot_be_read(user: Any, tmp_path: Path) -> None:
    secret = Path.home() / ".fathom-test-secret"
    secret.write_text("secret", encoding="utf-8")
    secret.chmod(0o644)
    try:
        code = f"""
import os, pathlib, sys
for path in ({str(secret)!r}, {str(tmp_path)!r}, {str(Path.cwd())!r}, "/etc/passwd", "/proc/1", "/home"):
    print(pathlib.Path(path).exists())
installed = pathlib.Path(sys.prefix).parts  # of Python itself, if it is below the scratch folder
print([name for name in os.listdir() if name not in installed])
"""
        assert user(code, limits=LATE) == Execution("ok", "False\n" * 6 + "[]\n")
    finally:
        secret.unlink()


def test_programs_and_libraries_cannot_be_changed(user: Any) -> None:
    code = """
import os, sys, sysconfig
for folder in ("/usr/bin", sys.prefix, sysconfig.get_path("stdlib")):
    try:
        open(os.path.join(folder, "new"), "w")
    except OSError as error:
        print(error.strerror)
"""
    assert set(user(code, limits=LATE).output.splitlines()) <= {"Read-only file system", "Permission denied"}


def test_nothing_of_the_environment_is_passed_on(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    # Python itself sets LC_CTYPE if there is no locale.
    assert user("import os; print(set(os.environ) - {'LC_CTYPE'})", limits=LATE).output == "set()\n"


def test_a_program_has_no_privileges(user: Any) -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(os.getuid() == 0, libc.unshare(0x10000000), libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), libc.setuid(0))
try:
    os.kill(1, 9)
    print(os.getppid())
except OSError as error:
    print(error.strerror)
"""
    assert user(code, limits=LATE).output == "False -1 -1 -1\n1\n"


def test_only_the_beginning_of_a_long_output_is_kept(user: Any) -> None:
    done = user("for number in range(10 ** 5): print(number)", limits=Limits(seconds=60, output=10))
    assert done == Execution("ok", "0\n1\n2\n3\n4\n", truncated=True)


def test_a_program_longer_than_a_pipe_is_run() -> None:
    assert run(f"text = {'x' * 300_000!r}\nprint(len(text))", limits=LATE).output == "300000\n"


def test_where_there_are_no_namespaces_the_program_is_refused() -> None:
    # Root without capabilities, as in a container.
    if os.geteuid() != 0:
        pytest.skip("only root can give up its capabilities")
    code = "import sys; from fathom.sandbox import run; print(run('print(1)', unsafe_code=len(sys.argv) > 1).output)"
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", code]
    refused = subprocess.run(drop, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "FathomError: this system offers no sandbox" in refused.stderr
    assert subprocess.run([*drop, "unsafe"], capture_output=True, text=True, check=False).stdout == "1\n\n"


def test_unsafe_code_is_still_limited() -> None:
    def unsafe(code: str, limits: Limits = LATE) -> Execution:
        return run(code, limits=limits, unsafe_code=True)

    before = set(Path(tempfile.gettempdir()).iterdir())
    assert (
        unsafe("import os; open('x', 'w'); print(os.listdir(), set(os.environ) - {'LC_CTYPE'})").output
        == "['x'] set()\n"
    )
    assert unsafe("while True: pass", BRIEF).status in ("deadline", "killed")
    assert unsafe("bytearray(4 << 30)").output.endswith("MemoryError\n")
    assert unsafe("import os, time\nif os.fork() == 0: os.setsid(), time.sleep(3)\nprint(1)").output == "1\n"
    assert not {path for path in set(Path(tempfile.gettempdir()).iterdir()) - before if path.name.startswith("fathom-")}


LEFT = f"fathom-test-left-{os.getpid()}"
LEAVES_A_PROCESS = f"""
import os, sys
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    open("x", "w")
    os.execv(sys.executable, [sys.executable, "-c", "import signal; signal.pause()", "{LEFT}"])
os.close(write)
os.read(read, 1)  # ends when the child's copy is closed, as the new program begins
print("started")
"""


def left() -> tuple[int, set[str], list[str]]:
    """Open descriptors, scratch folders, and processes: children, and those of the sandbox and of its programs."""
    children = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children").read_text().split()
    files = {path.name for path in Path(tempfile.gettempdir()).iterdir() if path.name.startswith("fathom-")}
    processes = [*children, *marked("sandbox/_first.py"), *marked(LEFT)]
    return len(list(Path("/proc/self/fd").iterdir())), files, processes


def test_a_process_that_is_left_is_counted() -> None:
    assert run(LEAVES_A_PROCESS, limits=LATE, unsafe_code=True).output == "started\n"
    (process,) = marked(LEFT)
    try:
        assert process in left()[2]
    finally:
        os.kill(int(process), signal.SIGKILL)


@pytest.mark.slow
def test_after_three_hundred_runs_no_process_file_or_descriptor_is_left(user: Any) -> None:
    endless = "while True: pass"
    programs = [*["print(1)", "1 / 0", LEAVES_A_PROCESS, "x = 'é' * 10 ** 6; print(x)"] * 4, endless]
    user("print(1)", limits=LATE)
    before = left()
    for number in range(300):
        code = programs[number % len(programs)]
        done = user(code, limits=BRIEF if code == endless else LATE)
        assert code != LEAVES_A_PROCESS or done.output == "started\n"
    assert left() == before
