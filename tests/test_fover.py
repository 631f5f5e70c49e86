"""Formal labels: which statements of a step are translated, and what the solver says about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom import Comparison, ScriptedEngine
from fathom.cli import app
from fathom.engines import Request
from fathom.labelers import Result, Verdict, make_labeler, requests, run, verdicts
from fathom.labelers._statements import Equation, equations
from fathom.labelers.grounded import path_value
from labeling import labelled, labels_of, policy, steps_in, tools

pytest.importorskip("z3")


def checked(*steps: str) -> Result:
    item = Comparison(id="s", prompt="?", responses=("\n\n".join(steps),), steps=(steps,))
    return asyncio.run(run([item], make_labeler("fover"), tools(ScriptedEngine(""))))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("She pays 3 * 2 = 6 dollars.", ["3*2 = 6"]),
        (r"\[ 13 \text{ sets} \times \$15/\text{set} = \$195 \]", ["13*15 = 195"]),
        ("Cost of repaving = $194/meter × 150 meters = $29,100.", ["194*150 = 29100"]),
        ("108 / 3 = 36 lines. Then 54 + 6 = 60", ["108/3 = 36", "54+6 = 60"]),
        ("7 * 70 - 40 = 490 - 40 = 450", ["7*70-40 = 490-40", "490-40 = 450"]),
        (r"\frac{900}{10} = 90", ["((900)/(10)) = 90"]),
        ("Let 2x + 7 = 43, so x = 18", ["2*x+7 = 43", "x = 18"]),
        ("8 x 5 = 40", ["8*5 = 40"]),
        ("100 * 20% = 20", ["100*(20/100) = 20"]),
        ("25 (total riders who can stay) - 15 (women) = 10", ["25-15 = 10"]),
    ],
)
def test_equations_are_found_between_words_units_and_markup(text: str, found: list[str]) -> None:
    assert [f"{each.left} = {each.right}" for each in equations(text)] == found


@pytest.mark.parametrize(
    "text",
    [
        "half of 10 = 5",  # the words belong to the calculation
        "The sum of 5 and 3 = 8",
        "1st - 5 = 6th",
        "(2/4) * 100 = 50%",  # people write both this and 2/4 = 50%
        "The total is 5.",
        r"\\cos x + \\sin x = 3",
        "f(0) = 1",
        "17 / 5 = 3 remainder 2",
        "1 / 3 = 0.333...",
        "x = 5 6",
        "3 + = 4",
        "5 = 5",
    ],
)
def test_what_may_mean_something_else_is_not_translated(text: str) -> None:
    assert [each for each in equations(text) if each.left != "x"] == []


NUMBERS = st.integers(0, 999)


@settings(max_examples=40, deadline=None)
@given(NUMBERS, NUMBERS, st.sampled_from("+-*"), st.integers(-3, 3))
def test_an_equation_of_numbers_is_right_exactly_if_both_sides_are_equal(a: int, b: int, sign: str, off: int) -> None:
    value = {"+": a + b, "-": a - b, "*": a * b}[sign] + off
    assert verdicts([f"So {a} {sign} {b} = {value}."]) == (("right",) if off == 0 else ("wrong",))


@settings(max_examples=25, deadline=None)
@given(NUMBERS, st.integers(1, 99), st.integers(1, 3))
def test_decimals_may_be_rounded_to_the_decimals_that_are_written(a: int, b: int, decimals: int) -> None:
    rounded = f"{float(round(Fraction(a, b), decimals)):.{decimals}f}"
    assert verdicts([f"{a} / {b} = {rounded}"]) == ("right",)
    assert verdicts([f"{a} / {b} = {float(rounded) + 2 * 10**-decimals:.{decimals}f}"]) == ("wrong",)


def test_equations_with_variables_are_checked_against_earlier_ones() -> None:
    steps = ["Let 2x + 4 = 10.", "So 2x = 6 and x = 3.", "Then x + y = 5.", "So y = 2.", "Hence x * y = 7."]
    assert verdicts(steps, variables=True) == ("undecided", "right", "undecided", "right", "wrong")


def test_a_letter_with_a_new_meaning_is_no_error_unless_letters_have_one_meaning() -> None:
    cases = ["Case 1: x = 2.", "Then 3x = 6.", "Case 2: x = 5.", "Then 3x = 15."]
    assert verdicts(cases) == ("undecided", "right", "undecided", "right")
    assert verdicts(cases, variables=True) == ("undecided", "right", "wrong", "wrong")


def test_inferences_are_right_if_the_conclusion_follows() -> None:
    steps = ["A; A -> B |- B", "B; A -> B |- A", "A -> B -> C; A & B ⊢ C", "¬(A ∨ B) |- ¬A ∧ ¬B", "A <-> B; not A |- B"]
    assert verdicts(steps) == ("right", "wrong", "right", "right", "wrong")


@pytest.mark.parametrize(
    "text", ["9^9^9 = 1", "5 / 0 = 1", "5 / (2 - 2) = 1", "2^99999 = 1", "((((1 = 1", "|- print(1)", "A |- lambda: 1"]
)
def test_texts_that_are_no_formulas_or_too_large_are_untranslated(text: str) -> None:
    assert verdicts([text]) == ("untranslated",)


def test_labels_end_at_the_first_wrong_step_and_untranslated_steps_have_none() -> None:
    result = checked("First, add.", "2 + 2 = 4", "4 + 1 = 6", "6 + 1 = 7")
    assert labels_of(result) == [(None, 1.0, 0.0, None)]
    assert result.rows[0].metadata["verdicts"] == ("untranslated", "right", "wrong", "right")
    assert result.manifest()["verdicts"] == {"untranslated": 1, "right": 2, "wrong": 1}
    words = checked("All is well.", "So it is.")
    assert words.rejections == [{"id": "s", "reason": "no step has a label", "detail": ""}]
    assert words.manifest()["verdicts"] == {"untranslated": 2}


def test_the_command_needs_no_model(tmp_path: Path) -> None:
    file, out = tmp_path / "s.jsonl", tmp_path / "out"
    file.write_text(json.dumps({"prompt": "2 + 2 + 1?", "response": "2 + 2 = 4\n\n4 + 1 = 6"}) + "\n")
    planned = CliRunner().invoke(app, ["label", str(file), "--method", "fover", "--out", str(out), "--dry-run"])
    assert "calls no model" in planned.output
    assert not out.exists()
    done = CliRunner().invoke(app, ["label", str(file), "--method", "fover", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "formal check: 1 right, 1 wrong" in done.output
    assert json.loads((out / "labels.jsonl").read_text())["label"]["steps"] == [[1.0, 0.0]]


def test_an_equation_keeps_the_decimals_to_which_it_may_be_rounded() -> None:
    assert equations("10 / 3 = 3.33") == [Equation("10/3", "3.33", 2)]


# Fusion with outcomes -------------------------------------------------------------------------------------------------


def test_the_value_of_a_path_weighs_early_checks_more_and_its_outcome_as_one_step() -> None:
    right, wrong, none = Verdict.RIGHT, Verdict.WRONG, Verdict.UNTRANSLATED
    # N = 2: (1 * 2/2 - 1 * 1/2) / 2 - 1/2; then N = 4: (1 * 4/4 - 1 * 2/4) / 4 + 1/4
    assert path_value((right, wrong), right=False) == pytest.approx(-0.25)
    assert path_value((right, none, wrong, none), right=True) == pytest.approx(0.375)
    # N = 3: (1 * 3/3 + 1 * 2/3 + 1 * 1/3) / 3 + 1/3
    assert path_value((right,) * 3, right=True) == pytest.approx(1.0)


def solution(*steps: str) -> Comparison:
    return Comparison(id="s", prompt="?", responses=("\n\n".join(steps),), steps=(steps,), reference="5")


def grounded(replies: Mapping[int, str], *steps: str) -> Result:
    return labelled(policy(replies), make_labeler("grounded", rollouts=4), solution(*steps))


def test_without_checks_a_step_is_right_if_most_rollouts_are_and_its_confidence_is_the_margin() -> None:
    result = grounded({1: "RRRW", 2: "RWWW"}, "Let us see", "So it goes", "The answer is 5.")
    # After step 1, paths have 2 steps: 0.9 * (3 - 1)/4 * 1/2. After step 2, 3 steps: 0.9 * (1 - 3)/4 * 1/3.
    assert labels_of(result) == [(1.0, 0.0, None)]
    assert result.rows[0].metadata["confidence"] == (pytest.approx(0.225), pytest.approx(0.15), None)


def test_rollouts_that_cannot_be_read_do_not_count() -> None:
    result = grounded({1: "RR?W"}, "Let us see", "The answer is 5.")
    assert labels_of(result) == [(1.0, 1.0)]
    assert result.rows[0].metadata["confidence"] == (pytest.approx(0.9 * (2 - 1) / 3 / 2), pytest.approx(1 / 2))


@pytest.mark.parametrize(
    ("rollout", "variables", "check"),
    [
        ("1 + 1 = 2", False, 1),
        ("1 + 1 = 3", False, -1),
        ("So it goes", False, 0),
        ("x = 4", False, 0),
        pytest.param("x = 4", True, -1, id="x = 4, which contradicts the step before the rollout"),
    ],
)
def test_the_steps_of_a_rollout_are_checked_after_those_of_its_prefix(
    rollout: str, variables: bool, check: int
) -> None:
    labeler = make_labeler("grounded", rollouts=1, variables=variables)
    result = labelled(ScriptedEngine(f"{rollout}\n\nThe answer is 5."), labeler, solution("x = 3", "The answer is 5."))
    # A path of 3 steps with a right outcome; x = 3 states something new, so it is undecided.
    value = 0.9**2 * (check * (2 / 3) / 3 + 1 / 3)
    assert result.rows[0].metadata["confidence"][0] == pytest.approx(value)


def test_letters_of_one_meaning_refute_a_step_only_if_asked_for() -> None:
    steps = ("x = 3", "x = 4", "The answer is 5.")
    always_right = policy(dict.fromkeys(range(1, 3), "R"))
    several, one = (make_labeler("grounded", rollouts=1, variables=variables) for variables in (False, True))
    assert labels_of(labelled(always_right, several, solution(*steps))) == [(1.0, 1.0, 1.0)]
    assert labels_of(labelled(always_right, one, solution(*steps))) == [(1.0, 0.0, None)]


def test_a_dry_run_of_fused_labels_counts_rollouts_of_every_prefix() -> None:
    problems, labeler = [solution("a", "b", "c", "The answer is 5.")], make_labeler("grounded", rollouts=4)
    asked = requests(problems, labeler, tools(policy({})))
    assert [steps_in(request) for request in asked if isinstance(request, Request)] == [1] * 4 + [2] * 4 + [3] * 4


def test_a_check_decides_where_outcomes_do_not_and_a_refuted_step_is_wrong_whatever_follows() -> None:
    undecided = {1: "RRWW", 2: "RRRR"}
    assert labels_of(grounded(undecided, "Let us see", "So it goes", "The answer is 5.")) == [(0.0, None, None)]
    checked_step = grounded(undecided, "1 + 1 = 2", "So it goes", "The answer is 5.")
    assert labels_of(checked_step) == [(1.0, 1.0, 1.0)]
    refuted = grounded(undecided, "1 + 1 = 2", "2 + 2 = 5", "The answer is 5.")
    assert labels_of(refuted) == [(1.0, 0.0, None)]
    assert refuted.cost.completions == 4  # none after the refuted step
    assert set(refuted.agreement) == {"grounded, fover"}


def test_steps_without_readable_rollouts_are_rejected() -> None:
    result = grounded({1: "???R"}, "Let us see", "The answer is 5.")
    assert [each["reason"] for each in result.rejections] == ["most rollouts of a prefix could not be read"]
