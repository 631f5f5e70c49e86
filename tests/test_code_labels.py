"""Labels of programs' lines: prefixes are completed, and the programs are run against unit tests in the sandbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom import sandbox
from fathom.cli import app
from fathom.data.reading import read
from fathom.data.records import Comparison
from fathom.engines import Completion, Request, Sampling
from fathom.engines.cache import CachedEngine
from fathom.engines.scripted import ScriptedEngine
from fathom.errors import FathomError
from fathom.labelers import Labeler, Result, Rollouts, Tools, answer_checker, make_labeler, run
from labeling import labels_of

pytestmark = pytest.mark.skipif(not sandbox.available(), reason="this system offers no sandbox")

TESTS = "assert total([1, 2, 3]) == 6\nassert total([]) == 0"
RIGHT = (
    "def total(numbers):\n",
    "    result = 0\n",
    "    for number in numbers:\n",
    "        result += number\n",
    "    return result",
)
"""Lines of a program; the fourth one may be wrong."""
WRONG = (*RIGHT[:3], "        result = number\n", RIGHT[4])


FIRST_WRONG = (1.0, 1.0, 1.0, 1.0, 0.0, None, None)


def fenced(lines: tuple[str, ...]) -> str:
    return f"```python\n{''.join(lines)}\n```"


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        pytest.param("".join(RIGHT), True, id="a program alone"),
        pytest.param(f"Like this:\n\n{fenced(RIGHT)}\n\nDone.", True, id="a fenced program"),
        pytest.param(f"{fenced(WRONG)}\n\nBetter:\n\n{fenced(RIGHT)}", True, id="the last fenced program counts"),
        pytest.param(f"```python\n{''.join(RIGHT)}", True, id="a fence that is not closed"),
        pytest.param("print('noise' * 100_000)\n" + "".join(RIGHT), True, id="what it prints does not matter"),
        pytest.param("".join(WRONG), False, id="a wrong result"),
        pytest.param("def total(:", False, id="no Python"),
        pytest.param("import os\nos._exit(0)", False, id="it ends the process before the tests"),
    ],
)
def test_a_program_passes_if_its_tests_come_to_their_end(text: str, passes: bool) -> None:
    with answer_checker("unit-tests") as check:
        assert check(text, TESTS) is passes


def test_tests_that_pass_without_a_program_decide_nothing() -> None:
    with answer_checker("unit-tests") as check:
        assert check("".join(RIGHT), "def check(f):\n    assert f([1]) == 1") is None
        assert check("".join(RIGHT), "") is None


def test_programs_are_refused_where_the_system_offers_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, unsafe_code: bool = False) -> None:
        if not unsafe_code:
            raise FathomError("this system offers no sandbox")

    monkeypatch.setattr(sandbox, "check", refuse)
    with pytest.raises(FathomError, match="no sandbox"), answer_checker("unit-tests"):
        pass
    with answer_checker("unit-tests", unsafe_code=True) as check:
        assert check("".join(RIGHT), TESTS)


def policy(request: Request) -> Completion:
    """Completes a right prefix to the right program, and keeps a wrong line."""
    if not request.prefix:
        return Completion(fenced(RIGHT))
    return Completion("".join((*RIGHT[request.prefix.count("\n") - 1 :], "\n```")))


def labelled(labeler: Labeler, *lines: tuple[str, ...]) -> Result:
    problems = [
        Comparison(id=str(number), prompt="Sum a list.", responses=(fenced(each),), reference=TESTS)
        for number, each in enumerate(lines)
    ]

    async def result() -> Result:
        with answer_checker("unit-tests") as check:
            async with CachedEngine(ScriptedEngine(policy), ":memory:") as cached:
                rollouts = Rollouts(cached, Sampling(temperature=0.7), check)
                return await run(problems, labeler, Tools(rollouts, splitter="lines"))

    return asyncio.run(result())


def test_bisection_finds_the_wrong_line_that_completing_every_prefix_finds() -> None:
    """The steps are the fence, the five lines, and the closing fence."""
    expected = [(1.0,) * 7, FIRST_WRONG]
    few, all_ = (labelled(make_labeler(method, rollouts=1), RIGHT, WRONG) for method in ("bisection", "monte-carlo"))
    assert labels_of(few) == labels_of(all_) == expected
    assert few.cost.completions < all_.cost.completions


def test_the_command_labels_lines_by_unit_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fathom.engines.open", lambda *_, **__: ScriptedEngine(policy))
    row = Comparison(id="w", prompt="Sum a list.", responses=(fenced(WRONG),), reference=TESTS)
    (tmp_path / "programs.jsonl").write_text(row.model_dump_json(exclude_none=True))
    out = tmp_path / "labels"
    command = ["label", str(tmp_path / "programs.jsonl"), "--method", "bisection", "--method-option", "rollouts=1"]
    command += ["--split", "lines", "--checker", "unit-tests", "--model", "any", "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    (labelled_row,) = read(out / "labels.jsonl")
    assert labelled_row.label is not None
    assert labelled_row.label.steps == (FIRST_WRONG,)
