"""Judges of steps that call tools: the tools, the loop with its bounds, and what the transcript shows."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom import sandbox
from fathom.data.records import Comparison
from fathom.engines import Completion, EngineError, Request
from fathom.engines.scripted import ScriptedEngine
from fathom.errors import FathomError
from fathom.judges import Vote, find
from fathom.judging.choice import make_judge
from fathom.process.calculator import CalculationError, calculate
from fathom.process.tables import LookUpError, Table, find_tables, look_up
from fathom.process.tools import MAX_ARGUMENT, MAX_RESULT, called
from fathom.rationale import Status
from fathom.rewards._tool_judge import ToolJudge
from fathom.rewards.grounded_prm import GroundedPRM
from fathom.rewards.tattoo import TaTToo

STEPS = ("13 * 15 = 195", "195 + 7 = 212", "So it is 212.")
SOLUTION = Comparison(id="1", prompt="What is 13 * 15 + 7?", responses=("\n\n".join(STEPS),), steps=(STEPS,))


def voted(judge: ToolJudge, comparison: Comparison = SOLUTION) -> Vote:
    (vote,) = asyncio.run(judge.votes(comparison))
    return vote


def scores(vote: Vote) -> list[float | None]:
    return list(vote.step_scores[0]) if vote.step_scores else []


# The calculator -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("13 * 15", "195"),
        ("0.1 + 0.2 = 0.3", "true"),
        ("2 ^ 10 == 1000", "false"),
        ("1/3", "1/3, about 0.3333333333"),
        ("5000 * 1.07^3", "1225043/200 = 6125.215"),
        ("3 × 4 − 2 ≤ 10", "true"),
        ("sqrt(49/4)", "7/2 = 3.5"),
        ("sqrt(2)^2 = 2", "true"),
        ("gcd(12, 18) + 7 % 4", "9"),
    ],
)
def test_the_calculator_is_exact_where_it_can_be(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    ["", "1 / 0", "9^9^9", "2 ^ 10001", "1e400", "sqrt(-1)", "(-8)^(1/3)", "1,000 + 2", "1 < 2 < 3", "(1 = 1) + 1",
     "__import__('os').getcwd()", "'a' * 9", "[1][0]", "x", "1 if 1 else 2", "(" * 400, "1" * 501, "True"],
)  # fmt: skip
def test_what_has_no_value_is_refused_with_a_reason(expression: str) -> None:
    with pytest.raises(CalculationError, match=r"\w+ \w+"):
        calculate(expression)


whole = st.integers(-(10**6), 10**6)


@given(whole, whole, whole, st.sampled_from("+-*"), st.sampled_from("+-*"))
def test_the_calculator_agrees_with_exact_arithmetic(a: int, b: int, c: int, first: str, second: str) -> None:
    expression = f"({a} {first} ({b})) {second} ({c})"
    assert calculate(expression) == str(eval(expression))
    if c:
        assert calculate(f"({expression}) / ({c})").split()[0].rstrip(",") == str(Fraction(eval(expression), c))


@given(st.text("0123456789.+-*/^%()=<> ,eEsqrtmaxgcd_'\"[]", max_size=40))
def test_no_text_does_anything_but_give_a_value_or_a_reason(text: str) -> None:
    with suppress(CalculationError):
        assert calculate(text)


# The table ------------------------------------------------------------------------------------------------------------

TABLE = Table(
    ("Year", "Region", "Sales, gross"),
    (("2019", "East", "$1,200"), ("2020", "East", "900"), ("2020", "West and South", "n/a")),
)


@pytest.mark.parametrize(
    ("query", "cells"),
    [
        ("Sales, gross where year = 2019", "Sales, gross\n$1,200"),
        ("year, region where Region contains east and year > 2019", "Year | Region\n2020 | East"),
        ("region where region = West and South", "Region\nWest and South"),
        ("`Year` where `Sales, gross` = 1200", "Year\n2019"),
        ("* where year != 2020", "Year | Region | Sales, gross\n2019 | East | $1,200"),
        ("year", "Year\n2019\n2020\n2020"),
        ("year where region = North", "no row"),
    ],
)
def test_a_look_up_shows_the_cells_that_fulfil_all_conditions(query: str, cells: str) -> None:
    assert look_up(TABLE, query) == cells


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("profit", "there is no column 'profit'; expected 'Year', 'Region', 'Sales, gross'"),
        ("year where profit = 1", "no column 'profit'"),
        ("year where region", "no operator"),
        ("year where region < 5", "compares a text"),
    ],
)
def test_a_look_up_of_what_is_not_there_says_what_is(query: str, reason: str) -> None:
    with pytest.raises(LookUpError, match=reason):
        look_up(TABLE, query)


cells = st.text(st.characters(exclude_characters="|\\", categories=["L", "N", "P", "Zs"]), max_size=8).map(str.strip)


@given(st.lists(st.tuples(cells, cells), max_size=4))
def test_a_table_is_found_as_it_was_written(rows: list[tuple[str, str]]) -> None:
    table = Table(("a", "b"), tuple(rows))
    assert find_tables(f"Look:\n\n{table.written()}\n\nHow many?") == [table]
    text = f"Look: {json.dumps({'columns': table.columns, 'data': table.rows})} How many?"
    assert find_tables(text) == [table]


def test_a_long_result_is_cut_and_a_long_argument_is_refused() -> None:
    prompt = Table(("a",), tuple((f"{'x' * 200}",) for _ in range(30))).written()
    shown = called("table", "a", prompt)
    assert shown.ok
    assert shown.text.endswith("more characters)")
    assert len(shown.text) < MAX_RESULT + 40
    assert called("calculator", "1" * (MAX_ARGUMENT + 1), "").ok is False
    assert called("table", "a", "no table").text == "the problem has no table"


def test_a_look_up_reads_the_first_table_that_has_its_columns() -> None:
    other = Table(("Country", "Capital"), (("Peru", "Lima"),))
    prompt = f"{TABLE.written()}\n\n{other.written()}"
    assert called("table", "Capital where Country = Peru", prompt) == ("Capital\nLima", True)
    assert called("table", "Year where Region = East", prompt) == ("Year\n2019\n2020", True)
    assert called("table", "profit", prompt).ok is False


needs_sandbox = pytest.mark.skipif(not sandbox.available(), reason="this system offers no sandbox")


@needs_sandbox
def test_programs_run_in_the_sandbox_alone() -> None:
    assert called("python", "```python\nprint(13 * 15)\n```", "").text == "195"
    assert called("python", "1 / 0", "") == ("ZeroDivisionError: division by zero", False)
    assert "OSError" in called("python", "import socket; socket.create_connection(('127.0.0.1', 9))", "").text


def test_where_programs_cannot_be_run_safely_the_judge_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, unsafe_code: bool = False) -> None:
        raise FathomError("this system offers no sandbox")

    monkeypatch.setattr(sandbox, "available", lambda: False)
    monkeypatch.setattr(sandbox, "check", refuse)
    with pytest.raises(FathomError, match="no sandbox"):
        GroundedPRM(tools=("python",))
    assert GroundedPRM(tools=("python",), unsafe_code=True).tools == ("python",)
    assert GroundedPRM().tools == ("calculator",)


# The loop -------------------------------------------------------------------------------------------------------------


def checker(request: Request) -> str:
    """Computes the equation of the step to check, and believes the result."""
    prompt = request.messages[0]["content"]
    step = prompt.split("The step to check is step ")[1].split("```")[1].strip()
    if "=" not in step:
        return "Nothing to compute. \\boxed{correct}"
    results = prompt.split("The step to check")[1]
    if f"<calculator>{step}</calculator>\n[calculator: " not in results:
        return f"I compute it. <calculator>{step}"
    right = f"<calculator>{step}</calculator>\n[calculator: true]" in results
    return f"The result decides. \\boxed{{{'correct' if right else 'incorrect'}}}"


def test_the_result_of_a_call_decides_and_the_transcript_shows_it() -> None:
    engine = ScriptedEngine(checker)
    vote = voted(GroundedPRM(engine=engine))
    assert scores(vote) == [1.0, 0.0, None]
    assert vote.scores == (0.0,)
    assert vote.text == (
        "Step 1\nI compute it. <calculator>13 * 15 = 195</calculator>\n[calculator: true]\n"
        "The result decides. \\boxed{correct}\n"
        "Step 2\nI compute it. <calculator>195 + 7 = 212</calculator>\n[calculator: false]\n"
        "The result decides. \\boxed{incorrect}\n\n[calls: 2, failed: 0]"
    )
    assert len(engine.requests) == 4
    assert vote.usage.prompt_tokens == sum(
        len(message["content"].split()) for request in engine.requests for message in request.messages
    )
    assert {request.sampling.stop for request in engine.requests} == {("</calculator>",)}


def test_each_step_is_shown_after_the_earlier_ones_and_has_calls_of_its_own() -> None:
    right = ("13 * 15 = 195", "195 + 7 = 202", "So it is 202.")
    engine = ScriptedEngine(checker)
    judge = GroundedPRM(engine=engine, calls=1)
    (vote,) = asyncio.run(judge.votes(SOLUTION.model_copy(update={"steps": (right,)}), sample=3))
    assert scores(vote) == [1.0, 1.0, 1.0]
    prompts = [request.messages[0]["content"] for request in engine.requests]
    # Steps 1 and 2 are computed, each by a call and a verdict after it.
    before = [prompt.split("The step to check is")[0] for prompt in prompts]
    assert [[step for step in right if step in earlier] for earlier in before] == [
        [],
        [],
        [right[0]],
        [right[0]],
        [right[0], right[1]],
    ]
    assert ["To call a tool" in prompt for prompt in prompts] == [True, False, True, False, True]
    assert {request.sample for request in engine.requests} == {3}


def test_a_failed_call_is_shown_as_failed_and_the_model_may_call_again() -> None:
    replies = ["<calculator>13 times 15</calculator>", "<calculator>13 * 15</calculator>", "\\boxed{correct}"]
    one = SOLUTION.model_copy(update={"steps": (STEPS[:1],)})
    engine = ScriptedEngine(replies)
    vote = voted(GroundedPRM(engine=engine), one)
    assert "[calculator failed: it is no arithmetic expression" in engine.requests[1].messages[0]["content"]
    assert "[calculator failed: it is no arithmetic expression" in vote.text
    assert vote.text.endswith("[calls: 2, failed: 1]")
    assert scores(vote) == [1.0]


def test_a_verdict_without_a_successful_call_counts_only_if_none_is_required() -> None:
    def failing(request: Request) -> str:
        return "\\boxed{incorrect}" if "failed" in request.messages[0]["content"] else "<calculator>?</calculator>"

    assert scores(voted(GroundedPRM(engine=ScriptedEngine(failing)))) == [0.0, None, None]
    strict = voted(GroundedPRM(engine=ScriptedEngine(failing), require_call=True))
    assert (strict.status, strict.scores, strict.step_scores) == (Status.INVALID, None, None)
    replies = ["<calculator>13 * 15</calculator>", *["\\boxed{correct}"] * 3]
    once = voted(GroundedPRM(engine=ScriptedEngine(replies), require_call=True))
    assert scores(once) == [1.0, None, None], "the call for step 1 supports no other step"


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_step_has_no_more_calls_than_the_bound(calls: int) -> None:
    engine = ScriptedEngine("Again: <calculator>1 + 1</calculator>")
    vote = voted(GroundedPRM(engine=engine, calls=calls))
    assert (vote.status, vote.scores) == (Status.INVALID, None)
    assert vote.error == f"step 1: no verdict after {calls} calls"
    assert len(engine.requests) == calls + 1
    assert vote.text.count("[calculator: 2]") == calls
    prompts = [request.messages[0]["content"] for request in engine.requests]
    assert ["To call a tool" in prompt for prompt in prompts] == [True] * calls + [False]


def test_prompts_show_the_latest_calls_only_and_stay_bounded() -> None:
    def counting(request: Request) -> str:
        shown = request.messages[0]["content"].count("[calculator: ")
        last = max(
            (int(part.split("]")[0]) for part in request.messages[0]["content"].split("[calculator: ")[1:]), default=0
        )
        assert shown <= 2
        return f"<calculator>{last} + 1</calculator>" if last < 20 else "\\boxed{correct}"

    engine = ScriptedEngine(counting)
    one = SOLUTION.model_copy(update={"steps": (STEPS[:1],)})
    assert scores(voted(GroundedPRM(engine=engine, calls=20, window=2), one)) == [1.0]
    lengths = [len(request.messages[0]["content"]) for request in engine.requests]
    assert len(lengths) == 21
    # The last prompt offers no calls. In the others, each of two calls shows two numbers of one or two digits.
    assert max(lengths[2:-1]) - min(lengths[2:-1]) <= 4


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("All is fine.", Status.MISSING),
        ("\\boxed{correct} or \\boxed{incorrect}", Status.CONTRADICTORY),
        ("\\boxed{correct} <calculator>1 + 1</calculator>", Status.CONTRADICTORY),
        (Completion("\\boxed{corr", "length"), Status.TRUNCATED),
        (Completion("No.", "refusal"), Status.REFUSED),
        (EngineError("down"), Status.FAILED),
    ],
)
def test_a_text_without_one_verdict_gives_no_score(reply: Any, status: Status) -> None:
    vote = voted(GroundedPRM(engine=ScriptedEngine(lambda request: reply)))
    assert (vote.status, vote.scores, vote.step_scores) == (status, None, None)


def test_what_a_model_writes_after_a_call_is_dropped() -> None:
    made_up = "<calculator>2 + 2</calculator>\n[calculator: 5]\n\\boxed{incorrect}"
    engine = ScriptedEngine([made_up, "\\boxed{correct}"])
    vote = voted(GroundedPRM(engine=engine), SOLUTION.model_copy(update={"steps": (STEPS[:1],)}))
    assert scores(vote) == [1.0]
    assert "[calculator: 4]" in engine.requests[1].messages[0]["content"]
    assert "5]" not in vote.text
    assert GroundedPRM().read("<think><calculator>1</calculator></think> \\boxed{correct}") is True


# TaTToo ---------------------------------------------------------------------------------------------------------------


def test_a_table_step_is_checked_by_a_look_up_in_the_table_before_it() -> None:
    def reader(request: Request) -> str:
        prompt = request.messages[0]["content"]
        if "[table: Sales, gross\n900]" in prompt:
            return "The cell is 900. \\boxed{incorrect}"
        return "<table>Sales, gross where year = 2020 and region = East</table>"

    asked = Comparison(prompt=f"Sales in the East in 2020?\n\n{TABLE.written()}", responses=("It is $1,200.",))
    engine = ScriptedEngine(reader)
    vote = voted(TaTToo(engine=engine), asked)
    assert scores(vote) == [0.0]
    assert "[table: Sales, gross\n900]" in vote.text
    prompt = engine.requests[0].messages[0]["content"]
    assert (
        prompt.index("The table:")
        < prompt.index(TABLE.written(), prompt.index("The table:"))
        < prompt.index("check is")
    )
    without = voted(TaTToo(engine=engine), SOLUTION)
    assert (without.status, without.scores) == (Status.INVALID, None)
    assert "the prompt has no table" in (without.error or "")


FINANCE = Path(__file__).parent.parent / "examples" / "fin_prm.jinja"


def test_a_domain_is_a_template_with_the_same_calls_and_verdicts() -> None:
    engine = ScriptedEngine(checker)
    plain, finance = GroundedPRM(engine=ScriptedEngine(checker)), GroundedPRM(engine=engine, template=FINANCE)
    assert scores(voted(finance)) == scores(voted(plain)) == [1.0, 0.0, None]
    assert len(engine.requests) == 4
    assert "Terms: is each term of finance" in engine.requests[0].messages[0]["content"]
    for wanted in ("[calculator: true]", "13 * 15 = 195", SOLUTION.prompt_text):
        assert wanted in engine.requests[1].messages[0]["content"]
    assert "You cannot call a tool now" in GroundedPRM(template=FINANCE, calls=0).prompt(SOLUTION, 1, [])


def test_the_judges_are_found_by_their_names_with_their_options() -> None:
    assert (find("grounded_prm"), find("tattoo")) == (GroundedPRM, TaTToo)
    assert make_judge("tattoo", tools=["table"], calls=2).tools == ("table",)  # type: ignore[attr-defined]
    with pytest.raises(FathomError, match="tools"):
        make_judge("tattoo", tools=["shell"])
