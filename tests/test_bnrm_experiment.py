"""The experiment on factors against a length shortcut: its world, its heads, its pairs, and its arithmetic."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch

import fresh
from fathom.errors import FathomError
from fathom.lab import frozen, pair_heads
from fathom.lab.experiments.results import Measurement
from fathom.lab.pair_heads import Budget
from fathom.lab.real_pairs import fold_of
from fathom.lab.reproductions import bnrm, scalar
from fathom.lab.shortcut import World

SETTINGS = bnrm.EXPERIMENT.settings
BUDGET = Budget(steps=60, learning_rate=0.02, decay=0.01, members=2, batch=64)
SMALL = replace(
    SETTINGS,
    sizes=(60,),
    wrong=(0.3,),
    main_size=60,
    test=100,
    candidates=(1, 8),
    prompts=20,
    steps=(2, 5),
    longest=250,
)
real = pytest.mark.skipif(not os.environ.get("FATHOM_DATA"), reason="FATHOM_DATA names no folder with evaluation data")


def test_length_agrees_with_labels_in_the_given_share_only() -> None:
    world = World(3)
    states, gold = world.responses(4000)
    states, gold = states - states.mean(0), gold - gold.mean()
    probe = torch.linalg.lstsq(states, gold[:, None]).solution[:, 0]
    assert 1 - float((states @ probe - gold).var() / gold.var()) > 0.5  # the features tell the gold reward
    found = {}
    for aligned in (0.9, 0.5):
        first, second = World(3).pairs(4000, aligned=aligned), World(3).pairs(4000, aligned=1 - aligned)
        found[aligned] = float((first - second).abs().sum())
    assert found[0.5] == 0 < found[0.9]


def test_wrong_labels_swap_pairs() -> None:
    right, wrong = World(1).pairs(2000, aligned=0.9), World(1).pairs(2000, aligned=0.9, wrong=0.3)
    swapped = (right != wrong).any(-1).any(-1)
    assert float(swapped.float().mean()) == pytest.approx(0.3, abs=0.05)
    assert torch.equal(right[swapped].flip(1), wrong[swapped])


@pytest.mark.parametrize("method", list(pair_heads.METHODS))
def test_every_head_learns_the_gold_reward_without_a_shortcut(method: str) -> None:
    world = World(2)
    train, test = world.pairs(400, aligned=0.5), world.pairs(1000, aligned=0.5)
    assert pair_heads.accuracy(pair_heads.fit(method, train, BUDGET, seed=0), test) > 0.8


def test_collaborating_heads_learn_too() -> None:
    world = World(2)
    train, test = world.pairs(400, aligned=0.5, wrong=0.2), world.pairs(1000, aligned=0.5)
    rewards, log = pair_heads.collaborating(train, BUDGET, 0, noise=0.2)
    assert pair_heads.accuracy(rewards, test) > 0.75
    assert len(log[-1].precision(torch.zeros(400, dtype=torch.bool))) == 2


@pytest.mark.parametrize("width", [32, 576])
def test_all_heads_but_linear_ones_have_nearly_the_same_number_of_weights(width: int) -> None:
    budget = Budget(learning_rate=0.1, decay=0.0)
    sizes = {
        name: sum(weight.numel() for weight in method.make(width, 10, budget).parameters())
        for name, method in pair_heads.METHODS.items()
    }
    assert {sizes.pop(name) for name in ("linear", "avril")} == {width + 1, 2 * width + 2}
    assert max(sizes.values()) < 1.02 * min(sizes.values())


def test_the_chosen_number_of_steps_is_where_a_run_has_the_lowest_validation_loss() -> None:
    pairs, groups = World(2).pairs(200, aligned=0.5, wrong=0.4), [str(place) for place in range(200)]
    steps = (1, 5, 200)
    chosen = pair_heads.choose("bt", pairs, groups, BUDGET, steps, seed=0)
    kept, held_out = frozen.divided(groups, 0)
    loss = {
        count: pair_heads.loss_of(
            pair_heads.fit("bt", pairs[kept], replace(BUDGET, steps=count), seed=0), pairs[held_out]
        )
        for count in steps
    }
    assert chosen == min(loss, key=loss.__getitem__)
    assert chosen < 200  # with so many wrong labels, the longest training is overfitted


@pytest.mark.parametrize("curriculum", [True, False])
def test_collaborating_heads_take_the_steps_that_they_are_given(curriculum: bool) -> None:
    pairs = World(2).pairs(100, aligned=0.5)
    for steps in (3, 11):
        _, log = pair_heads.collaborating(
            pairs, replace(BUDGET, batch=10, steps=steps), 0, noise=0.0, curriculum=curriculum
        )
        assert sum(-(-len(epoch.kept[0]) // 10) for epoch in log) == steps


def test_dropout_and_sampling_are_in_training_only() -> None:
    pairs = World(2).pairs(50, aligned=0.5)
    for method in ("dropout", "bnrm"):
        rewards = pair_heads.fit(method, pairs, BUDGET, seed=0)
        assert torch.equal(rewards(pairs), rewards(pairs))


def test_the_best_of_more_candidates_is_at_most_the_ideal() -> None:
    found = bnrm.synthetic(0, SMALL)
    assert set(found["gold"]) == {*bnrm.HEADS, "ideal"}
    assert all(steps in (2, 5) for of_head in found["steps"].values() for steps in of_head.values())
    for name in bnrm.HEADS:
        assert all(value <= found["gold"]["ideal"][n] + 1e-6 for n, value in found["gold"][name].items())
        assert found["gold"][name]["1"] == pytest.approx(found["gold"]["ideal"]["1"])


@real
def test_training_pairs_have_the_registered_share_of_longer_responses_and_none_of_the_test() -> None:
    pairs = scalar.hh_pairs(SETTINGS.longest)
    test = {place for place, pair in enumerate(pairs) if scalar.fold_of_opening(pair) == fold_of(10)}
    train = bnrm.aligned(pairs, test, SETTINGS, 10)
    assert len(train) == SETTINGS.real_pairs
    assert not test & set(train)
    assert sum(scalar.longer(pairs[place]) > 1 for place in train) == round(0.9 * SETTINGS.real_pairs)


@real
def test_the_whole_path_runs_with_a_tiny_model(checkpoint: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, model=str(checkpoint), layers=(1, 2), layer=2, real_pairs=40)
    folder = tmp_path / "seed-0"
    folder.mkdir()
    bnrm.prepare("prepared", 0, settings, folder)
    for part in bnrm.EXPERIMENT.parts:
        bnrm.run(part, 0, settings, folder)
    found = bnrm.measure(0, settings, folder)
    words = {words for claim in bnrm.EXPERIMENT.register.claims for words in claim.contrasts}
    assert words == found.contrasts.keys()
    with pytest.raises(FathomError, match=r"after 2 layers; expected .* the layers \[2\]"):
        bnrm.load_states(tmp_path / "states" / "hh", scalar.hh_pairs(settings.longest), (2,), 2)


def made_up(seed: int, better: float) -> Measurement:
    """A seed in which BNRM is better than every other head by `better`, up to noise."""
    rng = random.Random(seed)

    def near(value: float) -> float:
        return value + rng.gauss(0, 0.01)

    gains: dict[str, float] = dict.fromkeys(bnrm.HEADS, 0.0) | {"bnrm": better}
    sets, plain = list(bnrm.training_sets(SETTINGS)), bnrm.without_shortcut(SETTINGS)
    synthetic: dict[str, Any] = {
        "accuracy": {
            name: {each: near(0.7 + (0 if each == plain else gain)) for each in sets} for name, gain in gains.items()
        },
        "steps": {name: dict.fromkeys(sets, 20) for name in gains},
        "gold": {
            name: {str(n): near(7 + gain) for n in SETTINGS.candidates} for name, gain in (gains | {"ideal": 1}).items()
        },
    }
    strata = ("longer", "similar", "shorter", "balanced", "new")
    real = {name: {each: near(0.6 + gain) for each in strata} for name, gain in gains.items()}
    return bnrm.measured(
        synthetic,
        {
            **real,
            "pairs": {"train": 400, "test": 140},
            "steps": dict.fromkeys(gains, 10),
            "bfloat16": True,
        },
        SETTINGS,
    )


@pytest.mark.parametrize(("better", "holds"), [(0.1, True), (0.0, False), (-0.1, False)])
def test_claims_hold_where_they_are_true(better: float, holds: bool) -> None:
    found = fresh.holding(bnrm.EXPERIMENT, fresh.rows(made_up(seed, better) for seed in range(10, 18)))
    assert set(found.values()) == {holds}
    assert len(found) == 6


def test_the_page_shows_every_table(tmp_path: Path) -> None:
    page = fresh.page(bnrm.EXPERIMENT, fresh.rows(made_up(seed, 0.1) for seed in range(10, 18)), tmp_path)
    assert page.count("| BNRM |") == 4
