"""The endogenous reward in a world with a known reward: exact values, learned models, and the arithmetic."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason='needs pip install "fathom-rm[local]"')

import fresh
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions import endogenous as experiment
from fathom.lab.reproductions.endogenous import World

SETTINGS = experiment.EXPERIMENT.settings
SMALL = replace(SETTINGS, horizons=(4,), main_horizon=4, samples=(100, 20000), steps=150, pairs=400)


def world(horizon: int = 3, tokens: int = 3, alpha: float = 1.0) -> World:
    return World(np.random.default_rng(0).normal(size=(horizon, tokens, tokens)), alpha)


def every_text(horizon: int, tokens: int) -> Any:
    return np.array(list(itertools.product(range(tokens), repeat=horizon)))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_teacher_writes_a_text_in_proportion_to_the_exponential_of_its_return(alpha: float) -> None:
    """In a world without chance, the optimum with entropy regularization is exactly this distribution."""
    here = world(alpha=alpha)
    q, v = here.values()
    texts = every_text(3, 3)
    logprobs = experiment.gathered((q - v[:-1, :, None]) / alpha, texts).sum(1)
    weights = here.returns(texts) / alpha
    assert logprobs == pytest.approx(weights - np.logaddexp.reduce(weights))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_teachers_logits_give_back_the_reward_of_every_token(alpha: float) -> None:
    here = world(alpha=alpha)
    texts = every_text(3, 3)
    found = experiment.endogenous(here.values()[0] / alpha, texts, alpha)
    assert np.abs(found - experiment.gathered(here.rewards, texts)).max() < 1e-9


def test_a_shift_of_the_logits_of_a_state_moves_tokens_and_no_comparison() -> None:
    here, texts = world(), every_text(3, 3)
    logits = here.values()[0]
    shifted = logits + np.random.default_rng(1).normal(size=(3, 3, 1))
    plain, moved = (experiment.endogenous(each, texts, 1.0) for each in (logits, shifted))
    assert np.abs(plain - moved).max() > 0.1
    difference = plain.sum(1) - moved.sum(1)
    assert difference == pytest.approx(difference[0])


def test_dynamic_programming_finds_the_best_text() -> None:
    here, texts = world(), every_text(3, 3)
    assert experiment.best(here.rewards).tolist() == [texts[here.returns(texts).argmax()].tolist()]


def test_more_texts_give_better_preferences_within_the_bound(tmp_path: Path) -> None:
    experiment.run("world", 0, SMALL, tmp_path)
    found = experiment.measure(0, SMALL, tmp_path)
    words = {words for claim in experiment.EXPERIMENT.register.claims for words in claim.contrasts}
    assert words == found.contrasts.keys()
    assert min(found.contrasts.values()) > 0
    few, many = found.figures["horizons"]["4"]["of"].values()
    assert few["agreement"] < many["agreement"]
    assert all(model["distance"] < model["bound"] for model in (few, many))


def made_up(seed: int, gain: float) -> Measurement:
    rng = random.Random(seed)

    def model(step: int) -> dict[str, float]:
        noise = rng.gauss(0, 0.001)
        return {
            "agreement": 0.8 + gain * step + noise,
            "distance": 0.5 - gain,
            "bound": 0.5,
            "sums": 0.7 + gain + noise,
            "tokens": 0.7,
            "imitated": 5.0,
            "optimized": 5.0 + gain + noise,
        }

    each = {
        "error": 1e-5 * (1 - gain),
        "teacher": 5.5,
        "optimum": 11.0,
        "models": {str(count): model(step) for step, count in enumerate(SETTINGS.samples)},
    }
    return experiment.measured({str(horizon): each for horizon in SETTINGS.horizons}, SETTINGS)


@pytest.mark.parametrize(("gain", "holds"), [(0.05, True), (-0.05, False)])
def test_claims_hold_where_they_are_true(gain: float, holds: bool) -> None:
    found = fresh.holding(experiment.EXPERIMENT, fresh.rows(made_up(seed, gain) for seed in range(10, 18)))
    assert set(found.values()) == {holds}
    assert len(found) == 5


def test_the_page_shows_every_horizon(tmp_path: Path) -> None:
    page = fresh.page(experiment.EXPERIMENT, fresh.rows(made_up(seed, 0.05) for seed in range(10, 18)), tmp_path)
    assert all(page.count(f"\n| {horizon} | ") >= 6 for horizon in SETTINGS.horizons)
