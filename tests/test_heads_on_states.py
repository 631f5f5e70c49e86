"""Training on states of a frozen model: two models against wrong labels, annotators, rewards of tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason='needs pip install "fathom-rm[local]"')

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import Tensor, nn
from torch.nn import functional

from fathom.errors import FathomError
from fathom.train import avril, collaborative, rationality

# Two models -----------------------------------------------------------------------------------------------------------


def pairs(count: int, wrong: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pairs whose first feature decides, and which labels are wrong."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(count, 2, 10, generator=generator)
    order = states[..., 0].argsort(1, descending=True)
    flipped = torch.rand(count, generator=generator) < wrong
    order = torch.where(flipped[:, None], order.flip(1), order)
    return states[torch.arange(count)[:, None], order], flipped


def models(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    first, second = (nn.Sequential(nn.Linear(10, 32), nn.SiLU(), nn.Linear(32, 1)) for _ in range(2))
    return first, second


def accuracy(rewards: Any) -> float:
    test, _ = pairs(2000, 0.0, seed=1)
    found = rewards(test)
    return float((found[:, 0] > found[:, 1]).float().mean())


def test_a_model_gets_the_pairs_that_the_other_one_finds_easiest() -> None:
    loss = torch.tensor([[0.1, 0.9, 0.5, 0.3], [0.8, 0.2, 0.1, 0.7]])
    first, second = collaborative.selected(loss, 0.5, "peer")
    assert (first.tolist(), second.tolist()) == ([2, 1], [0, 3])
    first, second = collaborative.selected(loss, 0.5, "self")
    assert (first.tolist(), second.tolist()) == ([0, 3], [2, 1])
    assert [len(each) for each in collaborative.selected(loss, 0.5, "all")] == [4, 4]


def test_wrong_labels_are_left_out_and_accuracy_gains() -> None:
    data, wrong = pairs(1000, 0.35)
    peers, alone = models(), models()
    log = collaborative.fit(peers, data, noise=0.35, seed=0, curriculum=False)
    collaborative.fit(alone, data, noise=0.35, seed=0, select="all")
    assert log[0].precision(wrong) == pytest.approx((1 - float(wrong.float().mean()),) * 2)
    assert min(log[-1].precision(wrong)) > 0.8
    assert accuracy(collaborative.mean_of(peers)) > accuracy(collaborative.mean_of(alone)) + 0.03


def test_the_curriculum_begins_with_the_pairs_of_largest_margin() -> None:
    data, wrong = pairs(400, 0.3)
    trained = models()
    log = collaborative.fit(trained, data, noise=0.0, seed=0, epochs=5)
    assert [len(epoch.kept[0]) for epoch in log] == [400, 250, 300, 350, 400]
    assert log[1].precision(wrong)[0] > log[0].precision(wrong)[0] + 0.1
    plain = collaborative.fit(models(), data, noise=0.0, seed=0, epochs=5, curriculum=False)
    assert [len(epoch.kept[0]) for epoch in plain] == [400] * 5


# Annotators -----------------------------------------------------------------------------------------------------------

THETA = np.array([1.0, -0.5, 0.0, 0.8, 0.3])


def labels(count: int, seed: int, gamma: tuple[float, ...] = (0.25, 1.0, 4.0)) -> tuple[Any, list[str], list[bool]]:
    rng = np.random.default_rng(seed)
    differences, who = rng.normal(size=(count, len(THETA))), rng.integers(len(gamma), size=count)
    better = rng.random(count) < 1 / (1 + np.exp(-np.array(gamma)[who] * (differences @ THETA)))
    return differences, [f"a{k}" for k in who], better.tolist()


def test_rationalities_and_the_reward_are_found_with_honest_intervals() -> None:
    fitted = [rationality.fit(*labels(600, seed)) for seed in range(60)]
    difference = np.array([0.5, 1.0, -1.0, 0.2, 0.4])
    truth = float(THETA @ difference)
    intervals = [each.interval(difference) for each in fitted]
    covered = sum(each.low <= truth <= each.high for each in intervals)
    assert covered >= 50  # of 60 at 95 %: 57 expected, standard deviation 1.7
    assert float(np.mean([each.mean for each in intervals])) == pytest.approx(truth, abs=0.1)
    found = np.mean([[math.log(each.rationality[name]) for name in ("a0", "a1", "a2")] for each in fitted], 0)
    assert found == pytest.approx(np.log([0.25, 1.0, 4.0]), abs=0.15)


def test_only_one_scale_is_identified_so_the_mean_logarithm_is_zero() -> None:
    fitted = rationality.fit(*labels(400, 0))
    assert sum(map(math.log, fitted.rationality.values())) == pytest.approx(0, abs=1e-6)


def test_one_annotator_is_ordinary_logistic_regression() -> None:
    differences, who, better = labels(400, 0, gamma=(1.0,))
    fitted = rationality.fit(differences, who, better)
    assert fitted.rationality == {"a0": pytest.approx(1.0)}
    probabilities = 1 / (1 + np.exp(-differences @ fitted.theta))
    score = differences.T @ (np.array(better) - probabilities)
    assert np.abs(score).max() < 1e-2  # the gradient of the likelihood


def test_an_annotator_without_a_contradiction_has_a_large_but_finite_rationality() -> None:
    differences, who, _ = labels(200, 0, gamma=(1.0, 1.0))
    noisy = np.random.default_rng(0).random(200) < 0.3
    better = [
        bool(d @ THETA > 0) ^ bool(flip and name == "a0") for d, name, flip in zip(differences, who, noisy, strict=True)
    ]
    found = rationality.fit(differences, who, better).rationality
    assert 10 < found["a1"] / found["a0"] < math.inf


def test_the_pessimistic_choice_avoids_a_direction_that_few_labels_cover() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(400, 5)) * [1, 1, 1, 1, 0.02]
    better = rng.random(400) < 1 / (1 + np.exp(-differences @ THETA))
    fitted = rationality.fit(differences, ["a"] * 400, better.tolist())
    sure, unsure = np.array([0.5, 0, 0, 0, 0]), np.array([0.6, 0, 0, 0, 8.0 * np.sign(fitted.theta[4])])
    candidates = np.stack([sure, unsure, -sure])
    assert int((candidates @ fitted.theta).argmax()) == 1
    assert fitted.pessimistic_best(candidates) == 0


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(FathomError, match="6 labels for 5 features and 2 annotators"):
        rationality.fit(np.ones((6, 5)), ["a", "b"] * 3, [True] * 6)
    with pytest.raises(FathomError, match="6 differences, 5 annotators and 6 labels"):
        rationality.fit(np.ones((6, 2)), ["a"] * 5, [True] * 6)


# Rewards of tokens ----------------------------------------------------------------------------------------------------


@given(mean=st.floats(-2, 2), log_std=st.floats(-1, 1))
def test_the_divergence_from_the_prior_is_that_of_quadrature(mean: float, log_std: float) -> None:
    std = math.exp(log_std)

    def integrand(x: float) -> float:
        log_q = -(((x - mean) / std) ** 2) / 2 - math.log(std)
        return math.exp(log_q) / math.sqrt(2 * math.pi) * (log_q + x**2 / 2)

    expected, _ = quad(integrand, mean - 12 * std, mean + 12 * std, limit=200)
    found = avril.divergence(avril.Gaussian(torch.tensor(mean).double(), torch.tensor(log_std).double()))
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_bellman_differences_telescope_without_a_discount() -> None:
    q, mask = torch.randn(3, 5), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    torch.testing.assert_close(avril.bellman_differences(q, mask).sum(1), q[:, 0])
    discounted = avril.bellman_differences(q, mask, 0.9)
    assert float(discounted[1, 2]) == pytest.approx(float(q[1, 2]))
    assert float(discounted[1, 0]) == pytest.approx(float(q[1, 0] - 0.9 * q[1, 1]))
    assert discounted[1, 3:].tolist() == [0, 0]


def test_without_penalties_the_objective_is_bradley_terry_on_the_last_tokens() -> None:
    torch.manual_seed(0)
    rewards = avril.Gaussian(torch.randn(4, 6), torch.randn(4, 6))
    mask = (torch.arange(6) < torch.tensor([[6], [2], [3], [5]])).long()
    final = rewards.mean[torch.arange(4), torch.tensor([5, 1, 2, 4])]
    expected = -functional.logsigmoid(torch.stack([final[0] - final[1], final[2] - final[3]]))
    torch.testing.assert_close(avril.objective(rewards, mask, kl=0.0), expected)
    padded = avril.Gaussian(*(torch.where(mask.bool(), each, 99.0) for each in rewards))
    delta = torch.randn(4, 6)
    options: Any = {"kl": 0.1, "td": 0.2}
    torch.testing.assert_close(
        avril.objective(padded, mask, delta, **options), avril.objective(rewards, mask, delta, **options)
    )


def test_a_text_of_which_no_token_is_left_is_refused() -> None:
    rewards = avril.Gaussian(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(FathomError, match="text 1 of 2 has no token in the mask"):
        avril.objective(rewards, torch.tensor([[1, 1, 0], [0, 0, 0]]))


def test_the_values_of_a_policy_are_the_log_softmax_of_its_scaled_probabilities() -> None:
    logprobs = torch.log(torch.tensor([0.7, 0.2, 0.1]))
    expected = torch.tensor([1.4, 0.4, 0.2]).log_softmax(-1)
    torch.testing.assert_close(avril.q_values(logprobs, alpha=2.0), expected)


def test_the_head_learns_which_end_is_better() -> None:
    torch.manual_seed(0)
    head, states = avril.GaussianHead(6), torch.randn(200, 4, 6)
    places = states[:, -1, 0].view(-1, 2).argsort(1, descending=True) + torch.arange(0, 200, 2)[:, None]
    states, mask = states[places.flatten()], torch.ones(200, 4, dtype=torch.long)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        avril.objective(head.rewards(states), mask).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    final = head(states)[:, -1, 0].view(-1, 2)
    assert float((final[:, 0] > final[:, 1]).float().mean()) > 0.95
