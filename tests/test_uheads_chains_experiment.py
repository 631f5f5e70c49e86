"""Chains with a misconception: which steps it shows in, scores that miss it, the whole path, and the claims."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason='needs pip install "fathom-rm[train]"')

import fresh
from fathom.lab.chains import Operation, Problem
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions import uheads_chains as experiment
from fathom.lab.reproductions.uheads_chains import SELECTIONS, Step

SETTINGS = experiment.EXPERIMENT.settings
SMALL = replace(
    SETTINGS, hidden=16, texts=20, text_steps=2, batch=4, labelled={"few": 5, "some": 10, "many": 20}, test=20
)
TIMES, PLUS = Operation("A", "*", 3), Operation("A", "+", 2)


def test_a_step_is_right_by_itself_and_counts_up_to_the_first_error() -> None:
    chain = Problem("c", [PLUS, TIMES, PLUS], 0.05, 0.5)
    found = experiment.steps_of([(chain, (3, 6, 1))])
    assert [step.before for step in found] == [1, 3, 6], "steps go on from what is written"
    assert [step.right for step in found] == [True, False, True], "3 * 3 = 2, and 6 + 2 = 1"
    assert [step.up_to_error for step in found] == [True, True, False]


def test_misconceived_steps_have_one_of_two_values_that_differ() -> None:
    def shown(before: int, value: int, operation: Operation = TIMES) -> bool:
        return Step(operation, before, value, True).shows_misconception

    assert shown(1, 3)
    assert shown(1, 4)
    assert not shown(1, 5), "a slip"
    assert not shown(5, 1), "5 * 3 = 5 + 3 = 1"
    assert not shown(1, 3, PLUS)


def misconceived(count: int, seed: int) -> list[Step]:
    """Right and misconceived steps in equal parts, with every value before."""
    rng = random.Random(seed)
    pairs = [(before, rng.random() < 0.5) for before in rng.choices((0, 1, 2, 3, 4, 6), k=count)]
    return [Step(TIMES, before, TIMES(before) if right else (before + 3) % 7, True) for before, right in pairs]


def test_pairs_with_the_same_value_leave_out_what_the_value_tells() -> None:
    steps = [step for step in misconceived(600, 0) if step.right or step.before < 3]
    shares = {
        value: sum(step.right for step in steps if step.value == value) / sum(step.value == value for step in steps)
        for value in {step.value for step in steps}
    }
    by_value = [shares[step.value] for step in steps]
    assert experiment.area(steps, by_value, SELECTIONS["misconceived"].group) > 0.7
    assert experiment.area(steps, by_value, SELECTIONS["same"].group) == 0.5
    assert experiment.area(steps, [float(step.right) for step in steps], SELECTIONS["same"].group) == 1.0
    assert experiment.area(steps, by_value, SELECTIONS["slips"].group) == 0.5, "none is there"


def test_a_table_of_labels_knows_the_misconception_of_steps_that_it_has_seen() -> None:
    steps = misconceived(200, 1)
    scores = experiment.table_scores(misconceived(200, 2), steps)
    assert experiment.area(steps, scores, SELECTIONS["same"].group) == 1.0


def test_a_head_without_states_reads_log_probabilities_alone() -> None:
    rng = random.Random(0)
    known = [([rng.gauss(3.0 * right, 1), rng.gauss(0, 1), 0.0, 0.0], right) for right in (True, False) * 100]
    new = [features for features, _ in known]
    seen = experiment.head_scores("head", known, new, SETTINGS)
    unseen = experiment.head_scores("blind", known, [[-each[0], *each[1:]] for each in new], SETTINGS)
    rights = [right for _, right in known]
    assert sum((score > 0.5) == right for score, right in zip(seen, rights, strict=True)) > 180
    assert unseen == experiment.head_scores("blind", known, new, SETTINGS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    """The whole path with a model that has hardly been trained."""
    folder = tmp_path_factory.mktemp("seed")
    for world in experiment.WORLDS:
        experiment.run(world, 0, SMALL, folder)
    return experiment.measure(0, SMALL, folder)


def test_a_seed_measures_every_registered_contrast(small: Measurement) -> None:
    words = {words for claim in experiment.EXPERIMENT.register.claims for words in claim.contrasts}
    assert words == set(small.contrasts)


def test_the_length_is_at_chance_and_every_score_is_compared_on_every_selection(small: Measurement) -> None:
    for world in experiment.WORLDS:
        found = small.figures[world]
        assert set(found["signals"]["length"].values()) == {0.5}
        assert all(set(of) == set(SELECTIONS) for of in found["fitted"]["many"].values())
        assert found["counts"]["steps"]["steps"] == SMALL.test * SMALL.steps
        assert all(seconds >= 0 for seconds in found["cost"].values())


def test_misconceived_steps_are_wrong_more_often_where_the_misconception_is_common() -> None:
    def share(world: str) -> float:
        steps = experiment.steps_of(experiment.solutions(world, 400, SETTINGS, 0, "t"))
        found = experiment.counts(steps)["misconceived"]
        return found["wrong"] / found["steps"]

    assert share("rare") + 0.1 < share("common") < 0.62


def made_up(seed: int, states: float) -> Measurement:
    """A seed in which states add this much to the AUC, and log-probabilities suffice where they can."""
    rng = random.Random(seed)
    base = {"steps": 0.9, "first": 0.9, "misconceived": 0.4, "same": 0.45, "slips": 0.99}

    def of(gains: dict[str, float]) -> dict[str, float]:
        return {key: value + gains.get(key, 0.0) + rng.gauss(0, 0.001) for key, value in base.items()}

    everywhere = dict.fromkeys(("steps", "first", "misconceived", "same"), states)
    many = {name: of({}) for name in experiment.HEADS} | {"head": of(everywhere), "table": of({"same": 0.5})}
    few = many | {"head": of({"steps": -states})}
    counts = {key: {"steps": 100.0, "wrong": 20.0} for key in SELECTIONS}
    signals = {name: of({}) for name in experiment.SIGNALS} | {"length": dict.fromkeys(base, 0.5)}
    names = ("model", "labelled", "test", "head", "blind", "value", "untrained", "table")
    common: dict[str, Any] = {
        "fitted": {"few": few, "some": many, "many": many},
        "signals": signals,
        "counts": counts,
        "labelled": {size: float(count) for size, count in SETTINGS.labelled.items()},
        "cost": dict.fromkeys(names, 0.5),
    }
    rare = common | {"fitted": {size: {name: of({}) for name in experiment.FITTED} for size in experiment.SIZES}}
    return experiment.measured({"common": common, "rare": rare})


CLAIMS = {claim.name for claim in experiment.EXPERIMENT.register.claims}


@pytest.mark.parametrize(
    ("states", "holding"), [(0.25, CLAIMS), (-0.05, {"labels_need_no_model", "probabilities_suffice"})]
)
def test_claims_hold_where_they_are_true(states: float, holding: set[str]) -> None:
    rows = fresh.rows(made_up(seed, states) for seed in range(10, 18))
    assert {name for name, holds in fresh.holding(experiment.EXPERIMENT, rows).items() if holds} == holding


def test_the_page_shows_every_score_in_both_worlds(tmp_path: Path) -> None:
    page = fresh.page(experiment.EXPERIMENT, fresh.rows(made_up(seed, 0.25) for seed in range(10, 18)), tmp_path)
    assert all(page.count(f"| {words} |") == 2 for words in experiment.NAMES.values())
    assert "## What it found" in page
