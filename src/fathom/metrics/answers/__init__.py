r"""Checks whether the final answer of a text equals a reference, in separate processes that can be killed.

    with Verifier() as verifier:
        verifier.check(r"... so it is $\frac{1}{2}$", "0.5")         # Checked(equal=True, reason="read")
        verifier.check("The answer is (B), not C.", "C")            # Checked(equal=False, reason="read")
        verifier.check("$9^{9^{9^9}}$", "1")                        # Checked(equal=None, reason="deadline"), in time

Answers are untrusted model outputs: evaluating one may never end, or take all memory. Once its process is ready, a
check returns within its deadline plus half a second. If the deadline passes, the process is killed and replaced. Checks
use no signals of this process, so any thread may call them. A failed check is neither correct nor wrong.

The answer of a text is its last box; without a box, the text after its last "the answer is"; otherwise the whole text
if it is an expression or a name, and else the last expression in it. Equal texts are equal answers. Choice letters,
times, dates and units are compared as such, all other answers by math-verify, with as many decimals as the numbers
need. Quantities with different units are undecided, because units are not converted.

Limits: answers that math-verify calls different may be equal, and the last expression of a text without a stated answer
may not be its answer. The processes execute no code from answers, and run in a sandbox where the system offers one
(`fathom.sandbox`). Memory and processor time are limited except on Windows; the deadline is kept on all systems.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from queue import LifoQueue
from threading import Timer
from types import TracebackType
from typing import Any, Literal, Self

from fathom import sandbox
from fathom.errors import FathomError, require
from fathom.judges import Judge
from fathom.metrics.answers._final import final_answer as final_answer
from fathom.metrics.answers._final import unwrapped

Reason = Literal["read", "no answer", "no reference", "units", "precision", "deadline", "died"]
PACKAGE = Path(sandbox.__file__).parent.parent
"""The folder of Fathom itself, which the processes import."""
STARTING_SECONDS = 120.0
"""Timeout for importing math-verify and SymPy in a process, which takes about 2 seconds, more on a busy machine."""
KNOWN = (
    ("The answer is 42.", "42", True),
    (r"Therefore $x = \frac{1}{2}$.", "0.5", True),
    (r"\boxed{\left( 3, \frac{\pi}{2} \right)}", r"\left( 3, \frac{\pi}{2} \right)", True),
    ("It costs $1,250.", "1250", True),
    ("The answer is 41.", "42", False),
    (r"\boxed{\frac{1}{2006!}}", r"\frac{1}{2004!}", False),
)
"""Answers, references, and whether they are equal: a test of the installed math-verify before its first use."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check. `equal` is None if undecided; `reason` is then the cause: no answer or no reference was
    found, their units differ, their numbers are too small to compare, the deadline passed, or the process died."""

    equal: bool | None
    reason: Reason


class Verifier:
    """Checks answers in up to `workers` processes, with at most `deadline` seconds and `memory` bytes per check.

    Close it, or use it as a context manager, to end the processes. Raises FathomError if math-verify is missing, or if
    it fails a test on known answers.
    """

    def __init__(self, *, workers: int = 2, deadline: float = 5.0, memory: int = 2 << 30) -> None:
        self._limits = {"deadline": deadline, "memory": memory}
        self._workers: LifoQueue[_Worker] = LifoQueue()
        self._all = [_Worker(self._limits) for _ in range(workers)]
        for worker in self._all:
            self._workers.put(worker)
        self._tested = False

    def check(self, answer: str, reference: str) -> Checked:
        """Check whether the final answer of a text equals the reference. Blocks until a process is free."""
        worker = self._workers.get()
        try:
            if not self._tested:
                _test(worker)
                self._tested = True
            return worker.check(answer, reference)
        finally:
            self._workers.put(worker)

    def checks(self, answers: Sequence[str], reference: str) -> list[Checked]:
        """Check several answers against one reference, in parallel on all processes."""
        with ThreadPoolExecutor(len(self._all)) as threads:
            return list(threads.map(lambda answer: self.check(answer, reference), answers))

    def close(self) -> None:
        for worker in self._all:
            worker.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


@contextmanager
def checking(judge: Judge) -> Iterator[Judge]:
    """The judge with a verifier of its own solutions, if its reward depends on them (if it has a setting `solved`).

    Use it wherever rewards are computed. A `solved` that was set is kept. No process starts before the first check.
    """
    if getattr(judge, "solved", None) is not None or "solved" not in {field.name for field in fields(judge)}:
        yield judge
        return
    with Verifier() as verifier:
        solved: Any = lambda answer, reference: verifier.check(answer, reference).equal  # noqa: E731
        yield replace(judge, **{"solved": solved})


def spelling(text: str) -> str:
    """The final answer of a text without white space, markup and separators of thousands, to find equal spellings.

    Without a stated answer it is the last number, or else the whole text. Equal spellings are equal answers, but equal
    answers may be spelled differently. Starts no process.
    """
    found, where = final_answer(text)
    numbers = _NUMBER.findall(text)
    stated = numbers[-1] if where == "nowhere" and numbers else unwrapped(found)
    return _NO_SPELLING.sub("", stated).casefold()


_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_NO_SPELLING = re.compile(r"\s|(?<=\d),(?=\d{3})|[.,]+$")


class _Worker:
    """One process, started at the first check. After a kill it restarts at once, so that its imports run early."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False

    def check(self, answer: str, reference: str) -> Checked:
        self._make_ready()
        result, late = self._ask({"answer": answer, "reference": reference}, self._limits["deadline"])
        if result is None:
            self.kill()
            self._start()
            return Checked(None, "deadline" if late else "died")
        return Checked(result["equal"], result["reason"])

    def kill(self) -> None:
        """Kill the process and its children, and wait until they have ended."""
        if self._process is not None:
            _kill(self._process)
            with suppress(OSError):  # unwritten input of the dead process
                self._process.communicate()
            self._process, self._ready = None, False

    def _make_ready(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.kill()
            self._start()
        if not self._ready:
            if self._ask({}, STARTING_SECONDS)[0] is None:
                self.kill()
                raise FathomError(
                    f"the process that checks answers does not start; to see why, run: {shlex.join(self._command)}"
                )
            self._ready = True

    def _start(self) -> None:
        require_math_verify()
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=null, start_new_session=True)

    @property
    def _command(self) -> list[str]:
        if not sandbox.available():
            return [sys.executable, "-m", "fathom.metrics.answers._worker", json.dumps(self._limits)]
        start = (
            f"import sys; sys.path.append({str(PACKAGE.parent)!r}); from fathom.metrics.answers._worker import main; "
        )
        program = [sys.executable, "-I", "-c", f"{start}main({self._limits!r})"]
        limits = sandbox.Limits(seconds=None, memory=self._limits["memory"], processors=None)
        return sandbox.command(program, readable=[PACKAGE], limits=limits)

    def _ask(self, question: dict[str, str], seconds: float) -> tuple[dict[str, Any] | None, bool]:
        """The result from the process, or None if it died; and whether it died because the time was over."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        late = Timer(seconds, _kill, (process,))
        late.daemon = True
        late.start()
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        in_time = late.is_alive()
        late.cancel()
        return (json.loads(line) if line.endswith(b"\n") else None), not in_time


def require_math_verify() -> None:
    """Raise FathomError if math-verify is not installed. Does not import it."""
    from importlib.util import find_spec

    if find_spec("math_verify") is None:
        require("math_verify", "verify")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _test(worker: _Worker) -> None:
    for answer, reference, equal in KNOWN:
        checked = worker.check(answer, reference)
        if checked.equal is not equal:
            raise FathomError(
                f"math-verify fails its test: {answer!r} against {reference!r} gives {checked.equal} "
                f"({checked.reason}), expected {equal}; install the version that Fathom is tested with: "
                'pip install "fathom-rm[verify]"'
            )
