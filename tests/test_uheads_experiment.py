"""Readings of steps in one pass, heads fitted to other problems, and the claims about them."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason='needs pip install "fathom-rm[local]"')

import fresh
from fathom.data.records import Comparison, Label
from fathom.data.steps import parts_of
from fathom.engines import answer
from fathom.engines.local import LocalEngine
from fathom.lab import step_readings
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions import uheads as experiment
from fathom.rewards.uheads import step_features, step_requests
from tiny import make_checkpoint

SETTINGS = experiment.EXPERIMENT.settings
STEPS = ("First, 2 + 2 = 4.", "Then 4 + 1 = 6.", "So the sum is 6.")


def solution(number: int) -> Comparison:
    steps = (f"{number}: {STEPS[0]}", *STEPS[1 : 2 + number % 2])
    labels = (1.0, 0.0, None)[: len(steps)]
    text = "\n\n".join(steps)
    return Comparison(
        id=str(number), prompt="2 + 2 + 1?", responses=(text,), steps=(steps,), label=Label(steps=(labels,))
    )


def test_one_pass_gives_the_features_of_the_judge(tmp_path: Path) -> None:
    engine = LocalEngine(make_checkpoint(tmp_path / "tiny", seed=3))
    given = [solution(number) for number in range(step_readings.CHUNK + 1)]
    assert not step_readings.is_complete(tmp_path / "read", len(given))
    step_readings.compute(given, engine, 2, tmp_path / "read")
    assert step_readings.is_complete(tmp_path / "read", len(given))
    found = step_readings.load(tmp_path / "read", len(given))
    for item, read in list(zip(given, found, strict=True))[-2:]:
        steps = parts_of(item, "paragraphs")

        async def apart(item: Comparison = item, steps: tuple[str, ...] = steps) -> list[list[float]]:
            requests = step_requests(item, steps, 2)
            return step_features([await answer(engine, request) for request in requests], steps)

        assert np.allclose(read.features.numpy(), asyncio.run(apart()), atol=1e-4)
        assert bool((read.entropies > 0).all())
    assert len(experiment.steps_of(given, found)) == 2 * len(given), "steps after the first wrong one have no label"


def steps(count: int, seed: int, signal: float) -> list[experiment.Step]:
    """Steps of which one in four is wrong; the first feature of a wrong one is lower, and the others are noise."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        right = number % 4 > 0
        features = [rng.gauss(signal * right, 1), *(rng.gauss(0, 1) for _ in range(6))]
        found.append(experiment.Step(f"problem {number // 5}", right, features, rng.random()))
    return found


def test_a_head_is_tested_on_other_problems_than_it_was_fitted_to() -> None:
    known = steps(200, 0, 3.0)
    assert experiment.area(known, experiment.out_of_fold(known, SETTINGS, 0, states=True)) > 0.9
    assert abs(experiment.area(known, experiment.out_of_fold(known, SETTINGS, 0, states=False)) - 0.5) < 0.2
    noise = steps(200, 1, 0.0)
    assert abs(experiment.area(noise, experiment.out_of_fold(noise, SETTINGS, 0, states=True)) - 0.5) < 0.2


def test_pseudo_values_average_to_the_difference_of_aucs() -> None:
    known = steps(400, 0, 1.0)
    scores, others = [step.features[0] for step in known], [step.features[1] for step in known]
    found = experiment.by_group(known, scores, others)
    difference = experiment.area(known, scores) - experiment.area(known, others)
    assert len(found) > 20
    assert fmean(found.values()) == pytest.approx(difference, abs=0.01)


def test_within_a_length_the_length_tells_nothing() -> None:
    known = steps(400, 0, 1.0)
    lengths = [step.signal("length") for step in known]
    assert abs(experiment.area_within_length(known, lengths) - 0.5) < 0.1
    assert experiment.area_within_length(known, [float(step.right) for step in known]) == 1.0


def made_up(seed: int, head: float) -> Measurement:
    """A seed in which the head has this AUC on both sets, and all other scores 0.65."""
    rng = random.Random(seed)
    sets = experiment.FILES
    aucs = {of: dict.fromkeys(experiment.SCORES, 0.65) | {"head": head + rng.gauss(0, 0.001)} for of in sets}
    groups = {
        words: {f"g{group}": head - 0.65 + rng.gauss(0, 0.02) for group in range(experiment.GROUPS)}
        for words in experiment.CONTRASTS
    }
    found: dict[str, Any] = {
        "auc": aucs,
        "within": aucs,
        "groups": groups,
        "steps": dict.fromkeys(sets, 100.0),
        "wrong": dict.fromkeys(sets, 20.0),
        "cost": {"seconds": 0.5},
    }
    return experiment.measured(found)


@pytest.mark.parametrize(("head", "holds"), [(0.75, True), (0.6, False)])
def test_claims_hold_where_they_are_true(head: float, holds: bool) -> None:
    rows = fresh.rows(made_up(seed, head) for seed in range(10, 18))
    assert set(fresh.holding(experiment.EXPERIMENT, rows).values()) == {holds}


def test_the_page_shows_every_score_on_both_sets(tmp_path: Path) -> None:
    page = fresh.page(experiment.EXPERIMENT, fresh.rows(made_up(seed, 0.75) for seed in range(10, 18)), tmp_path)
    assert all(f"| {words} |" in page for words in experiment.SCORES.values())
