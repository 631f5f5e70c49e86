"""The experiment on many reward heads: wrong labels, its synthetic data, its whole path, and its arithmetic."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import fresh
from fathom.lab import synthetic_claims
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions import heads
from fathom.lab.reproductions.heads import HEADS, LABELS, TWO

SETTINGS = heads.EXPERIMENT.settings
SMALL = replace(
    SETTINGS,
    longest=250,
    splits=1,
    steps=(2, 4),
    two_steps=(3, 6),
    batch=16,
    members=2,
    replications=2,
    texts=20,
    objective_pairs=20,
)
real = pytest.mark.skipif(not os.environ.get("FATHOM_DATA"), reason="FATHOM_DATA names no folder with evaluation data")


def test_wrong_labels_are_as_many_as_given_and_where_they_should_be() -> None:
    longer = [place % 2 == 0 for place in range(100)]
    shares = {"clean": 0.0, "symmetric": 0.3, "asymmetric": 0.3}
    found = {labels: heads.flipped(longer, labels, shares[labels], random.Random(0)).tolist() for labels in LABELS}
    assert {labels: sum(wrong) for labels, wrong in found.items()} == {"clean": 0, "symmetric": 30, "asymmetric": 30}
    assert all(is_longer for is_longer, wrong in zip(longer, found["asymmetric"], strict=True) if wrong)
    assert not all(is_longer for is_longer, wrong in zip(longer, found["symmetric"], strict=True) if wrong)
    few = heads.flipped([True] * 10 + [False] * 90, "asymmetric", 0.3, random.Random(0))
    assert int(few.sum()) == 10


def test_a_head_for_each_objective_follows_directions_that_one_head_cannot() -> None:
    found = synthetic_claims.objectives(1, replace(SETTINGS, objective_pairs=200))
    assert found["each"] > found["one"] + 0.1


def test_the_reward_of_synthetic_annotators_is_found() -> None:
    found = synthetic_claims.annotators(1, replace(SETTINGS, replications=5))
    assert min(found["joint"], found["homogeneous"]) > 0.95


@real
def test_the_whole_path_runs_with_a_tiny_model(checkpoint: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, model=str(checkpoint), layers=(2,), layer=2)
    folder = tmp_path / "seed-0"
    folder.mkdir()
    heads.prepare("prepared", 0, settings, folder)
    for part in heads.EXPERIMENT.parts:
        heads.run(part, 0, settings, folder)
    found = heads.measure(0, settings, folder)
    words = {words for claim in heads.EXPERIMENT.register.claims for words in claim.contrasts}
    assert words == found.contrasts.keys()
    assert found.figures["precision"]["clean crm"] == 1.0
    assert found.figures["wrong_of_longer"]["clean"] == 0 < found.figures["wrong_of_longer"]["asymmetric"] < 0.5
    for labels in LABELS:  # the same steps for CRM and its controls, so that only selection and curriculum differ
        assert len({found.figures["steps"][labels][name] for name in TWO}) == 1


def made_up(seed: int, better: float) -> Measurement:
    """A seed in which every method is better than its baselines by `better`, up to noise."""
    rng = random.Random(seed)

    def near(value: float) -> float:
        return value + rng.gauss(0, 0.005)

    gains = dict.fromkeys([*HEADS, *TWO], 0.0) | {"bnrm": better, "avril": better, "ensemble": better}
    gains |= {"peer": better, "crm": 2 * better}
    real = {labels: {name: near(0.6 + gain) for name, gain in gains.items()} for labels in LABELS}
    strata = ("longer", "similar", "shorter", "balanced", "new")
    by_length = {f"{name} by length": {each: near(0.6 + gain) for each in strata} for name, gain in gains.items()}
    states = {"precision of states": {"bfloat16": 1.0}}
    precision = {f"{labels} {name}": near(0.8) for labels in LABELS for name in TWO}
    steps = {f"{labels} steps": dict.fromkeys(gains, 20.0) for labels in LABELS}
    others = {"wrong of longer": dict.fromkeys(LABELS, 0.3), "pairs": {"train": 900, "test": 140}}
    claims = {
        "annotators": {
            "joint": near(0.9 + better),
            "homogeneous": near(0.9),
            "coverage": near(0.9 + better),
            "by mean": near(2),
            "by lower bound": near(2 + better),
        },
        "tokens": {"with": near(0.5 + 2 * better), "without": near(0.5 + better)},
        "objectives": {"each": near(0.7 + better), "one": near(0.7)},
    }
    return heads.measured({**real, **by_length, **states, **steps, **others, "precision": precision}, claims)


@pytest.mark.parametrize(("better", "least", "most"), [(0.05, 10, 10), (0.0, 0, 1), (-0.05, 0, 0)])
def test_claims_hold_where_they_are_true(better: float, least: int, most: int) -> None:
    found = fresh.holding(heads.EXPERIMENT, fresh.rows(made_up(seed, better) for seed in range(10, 18)))
    assert len(found) == 10
    # At chance, each claim holds with a probability of about 0.025.
    assert least <= sum(found.values()) <= most


def test_the_page_shows_every_table(tmp_path: Path) -> None:
    page = fresh.page(heads.EXPERIMENT, fresh.rows(made_up(seed, 0.05) for seed in range(10, 18)), tmp_path)
    assert page.count("| CRM |") == 4
    assert "AUC of the fall" in page
