"""Identities of the losses of scalar reward models."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from fathom.train import losses

rewards = st.floats(-8, 8)


def vector(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def test_bradley_terry_is_log_two_for_equal_rewards() -> None:
    assert losses.bradley_terry(vector(3.0), vector(3.0)).item() == pytest.approx(math.log(2))


@given(rewards, rewards, st.floats(0, 3))
def test_a_margin_moves_the_difference(better: float, worse: float, margin: float) -> None:
    moved = losses.bradley_terry(vector(better - margin), vector(worse))
    assert losses.bradley_terry(vector(better), vector(worse), margin).item() == pytest.approx(moved.item())


@given(rewards, rewards)
def test_plackett_luce_with_two_responses_is_bradley_terry(better: float, worse: float) -> None:
    ranked = losses.plackett_luce(vector(better, worse).unsqueeze(0))
    assert ranked.item() == pytest.approx(losses.bradley_terry(vector(better), vector(worse)).item())


@given(st.lists(rewards, min_size=2, max_size=4))
def test_plackett_luce_is_a_distribution_over_rankings(given_rewards: list[float]) -> None:
    orders = torch.stack([vector(*order) for order in itertools.permutations(given_rewards)])
    assert losses.plackett_luce(orders).neg().exp().sum().item() == pytest.approx(1)


@given(st.lists(rewards, min_size=2, max_size=5))
def test_with_one_place_plackett_luce_is_the_cross_entropy_of_the_best(given_rewards: list[float]) -> None:
    row = vector(*given_rewards).unsqueeze(0)
    expected = torch.nn.functional.cross_entropy(row, torch.tensor([0]))
    assert losses.plackett_luce(row, torch.tensor([1])).item() == pytest.approx(expected.item())


@given(st.lists(rewards, min_size=2, max_size=4))
def test_filling_a_shorter_ranking_changes_neither_its_loss_nor_its_gradient(given_rewards: list[float]) -> None:
    short = vector(*given_rewards).requires_grad_()
    padded = torch.cat([short, vector(-math.inf, -math.inf)]).unsqueeze(0)
    [alone] = torch.autograd.grad(losses.plackett_luce(short.unsqueeze(0)).sum(), short)
    loss = losses.plackett_luce(padded)
    [filled] = torch.autograd.grad(loss.sum(), short)
    assert loss.item() == pytest.approx(losses.plackett_luce(short.unsqueeze(0)).item())
    assert filled.tolist() == pytest.approx(alone.tolist(), abs=1e-9)


@given(rewards, rewards, st.floats(0.05, 4))
def test_the_three_outcomes_of_a_pair_with_ties_have_probability_one(a: float, b: float, threshold: float) -> None:
    outcomes = [
        losses.rao_kupper(vector(a), vector(b), torch.tensor([False]), threshold),
        losses.rao_kupper(vector(b), vector(a), torch.tensor([False]), threshold),
        losses.rao_kupper(vector(a), vector(b), torch.tensor([True]), threshold),
    ]
    assert sum(loss.neg().exp().item() for loss in outcomes) == pytest.approx(1)


@given(rewards, rewards)
def test_without_a_threshold_there_are_no_ties_and_the_loss_is_bradley_terry(a: float, b: float) -> None:
    untied = losses.rao_kupper(vector(a), vector(b), torch.tensor([False]), 0.0)
    assert untied.item() == pytest.approx(losses.bradley_terry(vector(a), vector(b)).item())


@given(rewards, st.floats(0, 1))
def test_the_binary_loss_is_least_where_the_probability_is_the_label(reward: float, right: float) -> None:
    best = -sum(p * math.log(p) for p in (right, 1 - right) if p > 0)
    assert losses.binary(vector(reward), vector(right)).item() >= best - 1e-9


@given(st.lists(rewards, min_size=1, max_size=4))
def test_unknown_attributes_do_not_count(scores: list[float]) -> None:
    known = losses.regression(torch.zeros(1, len(scores)), torch.tensor([scores]))
    unknown = losses.regression(torch.full((1, len(scores) + 1), 0.0), torch.tensor([[*scores, math.nan]]))
    assert unknown.item() == pytest.approx(known.item())
    assert losses.regression(torch.ones(1, 2), torch.full((1, 2), math.nan)).item() == 0
