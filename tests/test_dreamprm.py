"""Weights of domains by one step of look-ahead, and the experiment that compares them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from fathom.lab.reproductions import dreamprm  # noqa: E402
from fathom.train.look_ahead import outcome_loss, updated, weight_gradient  # noqa: E402


def test_the_gradient_by_weights_is_that_of_the_loss_after_the_step() -> None:
    """Against automatic differentiation through the step, on quadratic losses."""
    torch.manual_seed(0)
    targets, trusted = torch.randn(3, 5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    here, rate = torch.randn(5, dtype=torch.float64), 0.1
    gradients = 2 * (here - targets)
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    there = here - rate * weights @ gradients
    (expected,) = torch.autograd.grad((there - trusted).square().sum(), weights)
    found = weight_gradient(gradients, 2 * (there.detach() - trusted), rate)
    assert torch.allclose(found, expected)


def test_weights_stay_positive_with_mean_one_and_grow_where_the_loss_falls() -> None:
    weights = updated(torch.ones(3), torch.tensor([-1.0, 0.0, 2.0]), rate=0.5)
    assert weights.sum() == pytest.approx(3)
    assert weights[0] > weights[1] > weights[2] > 0
    assert torch.allclose(updated(weights, torch.full((3,), 7.0), 0.5), weights), "a common change has no effect"


def test_the_outcome_loss_reads_known_steps_only() -> None:
    log_odds, known = torch.tensor([[2.0, -4.0, 99.0]]), torch.tensor([[True, True, False]])
    right = torch.tensor([0.0])
    assert outcome_loss(log_odds, known, right) == pytest.approx(torch.sigmoid(torch.tensor(-1.0)).item() ** 2)
    lowest = outcome_loss(log_odds, known, right, "min")
    assert lowest == pytest.approx(torch.sigmoid(torch.tensor(-4.0)).item() ** 2)


def test_random_labels_are_right_as_often_as_others_and_none_follow_an_error() -> None:
    rng = random.Random(0)
    assert dreamprm.noisy(2, 5, 0.0, rng) == [1.0, 1.0, 0.0, -100.0, -100.0]
    labels = [label for _ in range(400) for label in dreamprm.noisy(None, 5, 1.0, rng)]
    assert sum(labels) / len(labels) == pytest.approx(dreamprm.RIGHT, abs=0.04)


def test_a_small_seed_measures_every_registered_contrast(tmp_path: Path) -> None:
    changed = {"solutions": 20, "trusted": 10, "held_out": 20, "updates": 4, "warm_up": 1, "batch": 4}
    small = replace(dreamprm.EXPERIMENT, overrides=changed)
    small.run("all", 0, small.settings, tmp_path)
    measured = small.measure(0, small.settings, tmp_path)
    registered = {name for claim in small.register.claims for name in claim.contrasts}
    assert registered <= set(measured.contrasts)
    for arm in dreamprm.LOOKING:
        assert sum(measured.figures[arm]["weights"].values()) == pytest.approx(3, abs=1e-4)
