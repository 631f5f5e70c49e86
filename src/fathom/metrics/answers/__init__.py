r"""Whether the final answer of a text equals a reference: in processes of their own, which can be killed.

    with Verifier() as verifier:
        verifier.check(r"... so it is $\frac{1}{2}$", "0.5")         # Checked(equal=True, reason="read")
        verifier.check("The answer is (B), not C.", "C")            # Checked(equal=False, reason="read")
        verifier.check("$9^{9^{9^9}}$", "1")                        # Checked(equal=None, reason="deadline"), in time

Answers are material from models: some never end to be computed, some take all memory. A check returns within its
deadline and half a second, once its process is ready, whatever is in them; the process is killed and another one
started. It uses no signals of this process, so any thread may ask. A check that failed is neither right nor wrong.

The answer of a text is its last box, else what follows its last "the answer is", else the whole text where that is an
expression or a name, else the last expression in it. Answers that are spelt alike are equal. Choice letters, times,
dates and units are compared as such; everything else by math-verify, with as many decimals as the numbers need. Two
quantities of different units are left undecided, because units are not converted.

It does not promise that two answers that math-verify finds different are different, nor that the last expression of a
text without a stated answer is what the text meant. The process is no sandbox against code; it runs none. Memory and
processor time are bounded on systems that have such bounds (not on Windows), the deadline is kept everywhere.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from queue import LifoQueue
from threading import Timer
from types import TracebackType
from typing import Any, Literal, Self

from fathom.errors import FathomError, require
from fathom.judges import Judge

Reason = Literal["read", "no answer", "no reference", "units", "precision", "deadline", "died"]
STARTING_SECONDS = 120.0
"""For a process to import math-verify and SymPy: usually under 2, on a busy machine more."""
KNOWN = (
    ("The answer is 42.", "42", True),
    (r"Therefore $x = \frac{1}{2}$.", "0.5", True),
    (r"\boxed{\left( 3, \frac{\pi}{2} \right)}", r"\left( 3, \frac{\pi}{2} \right)", True),
    ("It costs $1,250.", "1250", True),
    ("The answer is 41.", "42", False),
    (r"\boxed{\frac{1}{2006!}}", r"\frac{1}{2004!}", False),
)
"""Answers, references, and whether they are equal: a test of math-verify before anything else is asked of it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """`equal` is None where it cannot be decided; `reason` says why: no answer or reference was found, their units
    differ, their numbers are too small to compare, the deadline passed, or the process died."""

    equal: bool | None
    reason: Reason


class Verifier:
    """Up to `workers` processes that check answers, each check within `deadline` seconds and `memory` bytes.

    Close it, or use it as a context manager: then no process is left. Raises FathomError where math-verify is missing,
    and where it does not say of known answers what is known of them.
    """

    def __init__(self, *, workers: int = 2, deadline: float = 5.0, memory: int = 2 << 30) -> None:
        self._limits = {"deadline": deadline, "memory": memory}
        self._workers: LifoQueue[_Worker] = LifoQueue()
        self._all = [_Worker(self._limits) for _ in range(workers)]
        for worker in self._all:
            self._workers.put(worker)
        self._tested = False

    def check(self, answer: str, reference: str) -> Checked:
        """Whether the answer at the end of a text equals the reference. Waits for a free process first."""
        worker = self._workers.get()
        try:
            if not self._tested:
                _test(worker)
                self._tested = True
            return worker.check(answer, reference)
        finally:
            self._workers.put(worker)

    def checks(self, answers: Sequence[str], reference: str) -> list[Checked]:
        """Several answers against one reference, at the same time as far as there are processes."""
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
    """The judge, with a verifier to check its own solutions where it is paid for those (a setting `solved`, not given).

    Wherever a reward is asked for, it is asked of such a judge. No process is started until a solution is checked.
    """
    if getattr(judge, "solved", None) is not None or "solved" not in {field.name for field in fields(judge)}:
        yield judge
        return
    with Verifier() as verifier:
        solved: Any = lambda answer, reference: verifier.check(answer, reference).equal  # noqa: E731
        yield replace(judge, **{"solved": solved})


class _Worker:
    """One process, started when it is first asked, and again at once when it was killed, so that it is soon ready."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False

    def check(self, answer: str, reference: str) -> Checked:
        self._make_ready()
        told, late = self._ask({"answer": answer, "reference": reference}, self._limits["deadline"])
        if told is None:
            self.kill()
            self._start()
            return Checked(None, "deadline" if late else "died")
        return Checked(told["equal"], told["reason"])

    def kill(self) -> None:
        """Ends the process, and whatever it started, and waits for the end."""
        if self._process is not None:
            _kill(self._process)
            with suppress(OSError):  # what was not written yet has nobody to read it
                self._process.communicate()
            self._process, self._ready = None, False

    def _make_ready(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.kill()
            self._start()
        if not self._ready:
            if self._ask({}, STARTING_SECONDS)[0] is None:
                self.kill()
                raise FathomError(f"the process that checks answers does not start; try: {' '.join(self._command)}")
            self._ready = True

    def _start(self) -> None:
        require_math_verify()
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=null, start_new_session=True)

    @property
    def _command(self) -> list[str]:
        return [sys.executable, "-m", "fathom.metrics.answers._worker", json.dumps(self._limits)]

    def _ask(self, question: dict[str, str], seconds: float) -> tuple[dict[str, Any] | None, bool]:
        """What the process says, or None where it ended first; and whether that is because it was too late."""
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
    """Raises FathomError where math-verify is not installed, without importing it here."""
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
                f"({checked.reason}), and should give {equal}; install the version that Fathom is tested with: "
                'pip install "fathom-rm[verify]"'
            )
