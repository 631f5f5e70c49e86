"""Synthetic data on which claims about reward heads can be tested: annotators, bad tokens, and two objectives.

Each function draws data from another model than the one it fits, and returns figures of one seed. `settings` are those
of the experiment `heads`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.lab.pair_heads import Budget, Rewards, accuracy, chosen
from fathom.metrics.separation import auc
from fathom.train import avril, rationality

WIDTH = 5
LOWEST, HIGHEST = 0.2, 3.0
"""Rationalities of annotators, before they are divided by their geometric mean."""
THIN = 0.05
"""The standard deviation of the last feature in the labelled pairs, which best-of-n candidates exceed."""


def annotators(seed: int, settings: Any) -> dict[str, float]:
    """Cosine of fitted and true rewards, coverage of intervals, and best-of-n by the mean and by the lower bound.

    The cosine leaves out the last feature, about which the labels say hardly anything.
    """
    rng = np.random.default_rng(seed)
    found = [_replication(rng, settings) for _ in range(settings.replications)]
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def _replication(rng: np.random.Generator, settings: Any) -> dict[str, float]:
    theta = rng.normal(size=WIDTH)
    gamma = np.exp(rng.uniform(np.log(LOWEST), np.log(HIGHEST), settings.annotators))
    gamma /= np.exp(np.log(gamma).mean())
    differences = rng.normal(size=(settings.labels, WIDTH)) * [1, 1, 1, 1, THIN]
    who = rng.integers(settings.annotators, size=settings.labels)
    jitter = np.exp(settings.jitter * rng.normal(size=settings.labels))
    better = rng.random(settings.labels) < 1 / (1 + np.exp(-gamma[who] * jitter * (differences @ theta)))
    names, alike = [str(k) for k in who], ["all"] * settings.labels
    joint, plain = (rationality.fit(differences, by, better.tolist()) for by in (names, alike))
    direction = rng.normal(size=WIDTH) * [1, 1, 1, 1, THIN]
    interval, truth = joint.interval(direction), float(theta @ direction)
    candidates = rng.normal(size=(16, WIDTH))
    gold = (candidates - candidates.mean(0)) @ theta
    return {
        "joint": _cosine(joint.theta[:-1], theta[:-1]),
        "homogeneous": _cosine(plain.theta[:-1], theta[:-1]),
        "coverage": float(interval.low <= truth <= interval.high),
        "by mean": float(gold[(candidates @ joint.theta).argmax()]),
        "by lower bound": float(gold[joint.pessimistic_best(candidates)]),
    }


def _cosine(one: Any, other: Any) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def tokens(seed: int, settings: Any) -> dict[str, float]:
    """The AUC by which the fall of the mean reward tells bad tokens from others, with and without `td`.

    It is the probability that the fall at a bad token is larger than that at another token of any of the worse texts.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = _Texts(settings, generator)
    trained, tested = draw(), draw()
    return {
        name: _auc(_token_head(trained, td, seed, settings), tested)
        for name, td in (("with", settings.td), ("without", 0.0))
    }


class _Texts:
    """Texts in pairs, of which the second has one bad token: states, values of the chosen tokens, and its place."""

    def __init__(self, settings: Any, generator: torch.Generator) -> None:
        self.count, self.length, self.generator = settings.texts, settings.tokens, generator
        self.mixing = torch.randn(16, 32, generator=generator) / 3

    def __call__(self) -> tuple[Tensor, Tensor, Tensor]:
        features = torch.randn(2 * self.count, self.length, 8, generator=self.generator) / 2
        # The last place is left out: there, the label itself would train the mean of the bad token.
        places = torch.randint(1, self.length - 1, (self.count,), generator=self.generator)
        worse = torch.arange(1, 2 * self.count, 2)
        features[worse, places, 0] += 3
        q = -1 - torch.rand(2 * self.count, self.length, generator=self.generator)
        q[worse, places] -= 2
        seen = torch.cat([features, features.cumsum(1) / self.length**0.5], -1)
        return torch.tanh(seen @ self.mixing), q, places


def _token_head(texts: tuple[Tensor, Tensor, Tensor], td: float, seed: int, settings: Any) -> avril.GaussianHead:
    states, q, _ = texts
    torch.manual_seed(seed)
    head, mask = avril.GaussianHead(states.shape[-1]), torch.ones(q.shape, dtype=torch.long)
    delta = avril.bellman_differences(q, mask)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.token_learning_rate)
    for _ in range(settings.token_steps):
        optimizer.zero_grad()
        avril.objective(head.rewards(states), mask, delta, td=td).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return head


def _auc(head: avril.GaussianHead, texts: tuple[Tensor, Tensor, Tensor]) -> float:
    states, _, places = texts
    with torch.no_grad():
        mean = head(states)[1::2, :, 0]
    fall = mean[:, :-1] - mean[:, 1:]
    bad = torch.zeros(len(places), mean.shape[1] - 1, dtype=torch.bool)
    bad[torch.arange(len(places)), places - 1] = True
    found = auc(fall[bad].tolist(), fall[~bad].tolist())
    assert found is not None
    return found


def objectives(seed: int, settings: Any) -> dict[str, float]:
    """Mean accuracy on both objectives of a head for each, and of one head trained on all labels."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.nn.functional.normalize(torch.randn(16, generator=generator), dim=0)
    other = torch.randn(16, generator=generator)
    other = torch.nn.functional.normalize(other - (other @ first) * first, dim=0)
    directions = (first, -0.5 * first + 0.75**0.5 * other)
    budget = replace(Budget.of(settings), learning_rate=settings.objective_learning_rate)
    count = settings.objective_pairs
    train = [_labelled(direction, count, 0.1, generator) for direction in directions]
    test = [_labelled(direction, 1000, 0.0, generator) for direction in directions]

    def head(pairs: Tensor) -> Rewards:
        groups = [str(place) for place in range(len(pairs))]
        return chosen("bt", pairs, groups, budget, settings.steps, seed=seed)[0]

    one, each = head(torch.cat(train)), [head(pairs) for pairs in train]
    return {
        "each": sum(accuracy(own, pairs) for own, pairs in zip(each, test, strict=True)) / 2,
        "one": sum(accuracy(one, pairs) for pairs in test) / 2,
    }


def _labelled(direction: Tensor, count: int, wrong: float, generator: torch.Generator) -> Tensor:
    states = torch.randn(count, 2, len(direction), generator=generator)
    order = (states @ direction).argsort(1, descending=True)
    swap = torch.rand(count, generator=generator) < wrong
    order = torch.where(swap[:, None], order.flip(1), order)
    return states[torch.arange(count)[:, None], order]
