"""Checking answers: right and wrong ones told apart, what cannot be told never a number, and no process left."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom import sandbox
from fathom.bench.reference_answers import final_answer
from fathom.errors import FathomError
from fathom.metrics import answers
from fathom.metrics.answers import Checked, Verifier

pytest.importorskip("math_verify", reason='needs pip install "fathom-rm[verify]"')

NAMESPACES = ("user", "pid", "net", "mnt", "ipc")
DEADLINE = 1.0
"""For answers that never end. Those that end have a deadline that no busy machine exceeds."""


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(workers=1, deadline=60) as verifier:
        yield verifier


@pytest.fixture(scope="module")
def hasty() -> Iterator[Verifier]:
    with Verifier(workers=1, deadline=DEADLINE) as verifier:
        yield verifier


@pytest.mark.parametrize(
    ("answer", "reference", "equal"),
    [
        (r"so $\frac{1}{2}$", "0.5", True),
        (r"\boxed{\sqrt{51}}", r"\sqrt{51}", True),
        ("The answer is 1,000 dollars.", "1000", True),
        (r"\boxed{6 - 5i}", "6 - 5i", True),
        (r"\boxed{\text{Evelyn}}", r"\text{Evelyn}", True),
        (r"\boxed{x^5 - x}", r"x(x^4 - 1)", True),
        ("The answer is 41.", "42", False),
        (r"\boxed{\frac{1}{3}}", "0.33", False),
    ],
)
def test_equal_answers_are_told_from_others(verifier: Verifier, answer: str, reference: str, equal: bool) -> None:
    assert verifier.check(answer, reference) == Checked(equal, "read")


def test_a_text_without_an_answer_is_not_wrong_but_unread(verifier: Verifier) -> None:
    assert verifier.check("", "42") == Checked(None, "no answer")


@pytest.mark.parametrize(
    "hostile",
    [
        "$9^{9^{9^{9}}}$",
        "9**9**9**9",
        "$100000000!$",
        r"\boxed{" + r"\frac{1}{" * 4000 + "2" + "}" * 4000 + "}",
        "$" + "(" * 5000 + "1" + ")" * 5000 + "$",
        "$" + "x^2+" * 20000 + "1$",
    ],
    ids=["tower", "python tower", "factorial", "nested fractions", "parentheses", "giant sum"],
)
def test_an_answer_that_never_ends_is_given_up_at_the_deadline_and_others_go_on(hasty: Verifier, hostile: str) -> None:
    assert hasty.check("1", "1").equal is True
    start = time.monotonic()
    checked = hasty.check(hostile, "1")
    took = time.monotonic() - start
    assert checked == Checked(None, "deadline")
    # Not a measurement of speed: an answer that was not given up would take for ever.
    assert took < 30 * DEADLINE
    assert hasty.check("1", "1").equal is True


@settings(max_examples=25)
@given(st.text(max_size=60))
def test_whatever_is_written_something_is_said_of_it(hasty: Verifier, text: str) -> None:
    checked = hasty.check(text, "1")
    assert (checked.equal is None) == (checked.reason != "read")


def test_it_works_off_the_main_thread_and_for_several_threads_at_once() -> None:
    found: list[list[Checked]] = []
    with Verifier(workers=2) as verifier:
        thread = threading.Thread(target=lambda: found.append(verifier.checks(["1", "2", "3"] * 4, "2")))
        thread.start()
        thread.join()
    assert [checked.equal for checked in found[0]] == [False, True, False] * 4


def test_no_process_is_left_after_closing() -> None:
    with Verifier(workers=2, deadline=DEADLINE) as verifier:
        verifier.checks(["1", "$9^{9^{9^{9}}}$", "2"], "1")
        started = [worker._process.pid for worker in verifier._all if worker._process]
        assert started
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_parent_imports_no_sympy() -> None:
    code = (
        "import sys; from fathom.metrics.answers import Verifier\n"
        "with Verifier(workers=1) as v: assert v.check('4', '4').equal\n"
        "assert not {'sympy', 'math_verify'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_verifier_that_fails_its_own_test_refuses_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KNOWN", (("The answer is 41.", "42", True),))
    with Verifier(workers=1) as verifier, pytest.raises(FathomError, match=r"fails its test: .*41.* against '42'"):
        verifier.check("1", "1")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with Verifier(workers=1) as verifier, pytest.raises(FathomError, match=r"fathom-rm\[verify\]"):
        verifier.check("1", "1")


def test_most_reference_answers_equal_themselves(verifier: Verifier) -> None:
    folder = os.environ.get("FATHOM_DATA")
    if folder is None:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    with gzip.open(Path(folder) / "math_answers" / "math500_agieval_problems.jsonl.gz", "rt") as lines:
        known = [json.loads(line)["answer"] for line in list(lines)[:200]]
    assert len(known) == 200
    assert all(verifier.check(rf"Thus \boxed{{{answer}}}.", answer).equal for answer in known)


def test_the_marks_of_gsm8k_solutions_are_found_again(verifier: Verifier) -> None:
    """The published rule for these compares numbers as text; it and math-verify agree."""
    folder = os.environ.get("FATHOM_DATA")
    if folder is None:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    with gzip.open(Path(folder) / "gsm8k" / "example_model_solutions.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in list(lines)[:60]]
    assert len(rows) == 60
    for row in rows:
        reference = final_answer(row["ground_truth"])
        for told in (value for value in row.values() if isinstance(value, dict)):
            assert bool(verifier.check(final_answer(told["solution"]), reference).equal) == told["is_correct"]


def test_the_processes_run_in_a_sandbox_where_there_is_one(verifier: Verifier) -> None:
    if not sandbox.available():
        pytest.skip("this system offers no sandbox")
    verifier.check("1", "1")
    outside = verifier._all[0]._process
    assert outside is not None
    [first] = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()
    [worker] = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    for name in NAMESPACES:
        assert Path(f"/proc/{worker}/ns/{name}").readlink() != Path(f"/proc/self/ns/{name}").readlink()
