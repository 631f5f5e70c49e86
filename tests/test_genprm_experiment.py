"""The experiment on forms of rationales, and its world of steps that multiply and add."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("torch")

from fathom import sandbox
from fathom.lab import checked_steps
from fathom.lab.checked_steps import Step, is_held_out, solution
from fathom.lab.reproductions import genprm


def test_a_step_multiplies_and_adds_modulo_eleven() -> None:
    step = Step(3, 4, 5, 6)
    assert (step.product, step.result, step.is_right) == (1, 6, True), "3 * 4 = 12 = 1, and 1 + 5 = 6"
    assert checked_steps.read(f"Step 1:\n{step.text}") == step
    about = checked_steps.comparison("s", [step, Step(6, 2, 1, 0)])
    assert about.label is not None
    assert about.label.steps == ((1.0, 0.0),), "6 * 2 + 1 = 13 = 2"
    assert checked_steps.first_error([step, Step(6, 2, 1, 0)]) == 1
    with pytest.raises(ValueError, match="no step"):
        checked_steps.read("take 3")


def test_operands_are_held_out_in_every_step_and_errors_carry_on() -> None:
    for held_out in (True, False):
        steps = solution(random.Random(0), 20, held_out=held_out)
        assert {is_held_out(step.before, step.factor, step.summand) for step in steps} == {held_out}
        assert all(one.value == other.before for one, other in pairwise(steps))


@pytest.mark.skipif(not sandbox.available(), reason="programs need a sandbox")
def test_a_small_seed_measures_every_registered_contrast_and_reads_every_rationale(tmp_path: Path) -> None:
    changed = {"training": 30, "updates": 5, "test": 2, "steps": 2, "hidden": 8}
    small = replace(genprm.EXPERIMENT, overrides=changed)
    small.run("all", 0, small.settings, tmp_path)
    measured = small.measure(0, small.settings, tmp_path)
    registered = {name for claim in small.register.claims for name in claim.contrasts}
    assert registered <= set(measured.contrasts)
    assert {cell["read"] for cell in measured.figures.values()} == {1.0}
