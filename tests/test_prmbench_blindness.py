"""The experiment on errors that labels of values cannot show."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from fathom.lab.chains import written
from fathom.lab.reproductions import prmbench_blindness as experiment
from fathom.lab.reproductions.prmbench_blindness import CLASSES, STATELESS, Planted, labelled, of_labels, planted


@pytest.fixture(scope="module")
def solutions() -> list[Planted]:
    return planted(40, seed=0, steps=6, name="t")


def test_each_solution_has_the_errors_of_its_class_and_no_others(solutions: list[Planted]) -> None:
    assert {each.error for each in solutions} == set(CLASSES)
    for each in solutions:
        ends_right = each.problem.final(each.values) == each.problem.answer
        assert ends_right == (each.error != "wrong value"), "all others keep or repair the registers"
        assert each.right.count(False) == (2 if each.error == "repaired value" else 1)
        assert len(each.steps) == 6 + (each.error == "redundancy")
        assert written("".join(each.steps)) == each.values, "rollouts read the same values"


def test_an_error_without_effect_on_the_state_leaves_the_value_and_only_redundancy_makes_no_progress(
    solutions: list[Planted],
) -> None:
    changes = {each.id: [after - before for before, after in pairwise(each.success())] for each in solutions}
    stateless = [each for each in solutions if each.error in STATELESS]
    assert stateless
    for each in stateless:
        for step, change in enumerate(changes[each.id]):
            assert (change == 0) == (step == each.first and each.error == "redundancy")
    assert all(changes[each.id][each.first] < 0 for each in solutions if each.error not in STATELESS)


def test_rollouts_label_errors_that_change_the_state_and_correctness_all(solutions: list[Planted]) -> None:
    hard = of_labels(labelled("hard 8", solutions, 0), 40)
    assert all(hard[error]["label"] < 0.4 for error in CLASSES if error not in STATELESS)
    assert all(hard[error]["label"] > 0.9 for error in STATELESS)
    truth = of_labels(labelled("correctness", solutions, 0), 40)
    assert all(truth[error] == {"kept": 1.0, "label": 0.0} for error in CLASSES)


def test_a_small_seed_measures_every_registered_contrast(tmp_path: Path) -> None:
    small = replace(experiment.EXPERIMENT, overrides={"steps": 4, "training": 10, "test": 10})
    small.run("all", 0, small.settings, tmp_path)
    measured = small.measure(0, small.settings, tmp_path)
    registered = {name for claim in small.register.claims for name in claim.contrasts}
    assert registered <= set(measured.contrasts)
