"""Reward heads of several kinds on the same features of pairs, fitted in seconds, for experiments.

    rewards = fit("bnrm", pairs, budget, seed=0)        # pairs, (n, 2, width), the labelled better response first
    rewards(states)                                     # (...,) from states (..., width)

Features are standardized on the training pairs. All heads but the one of `avril` have two layers, and all have the same
number of steps, each on all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fathom.engines.bnrm import FactorHead
from fathom.train import avril, collaborative, losses

SPREAD = 0.1


@dataclass(frozen=True, kw_only=True)
class Budget:
    steps: int
    learning_rate: float
    decay: float
    """Weight decay of AdamW."""
    hidden: int = 32
    factors: int = 32
    kl: float = 1e-3
    """The weight of the KL divergence (bnrm, avril)."""
    l1: float = 1e-3
    """The weight of the mean absolute weight, times the number of weights of the first layer (l1)."""
    members: int = 5

    @classmethod
    def of(cls, settings: Any) -> Budget:
        """The fields that the settings of an experiment have; the others keep their defaults."""
        names = [field.name for field in fields(cls) if hasattr(settings, field.name)]
        return cls(**{name: getattr(settings, name) for name in names})


Rewards = Callable[[Tensor], Tensor]
"""Maps states (..., width) to rewards (...)."""
Penalty = Callable[[Any, Tensor], Tensor]


def fit(method: str, pairs: Tensor, budget: Budget, *, seed: int) -> Rewards:
    """Fit a head to pairs (n, 2, width). Raises KeyError for an unknown method; see `METHODS`."""
    middle, scale = pairs.mean((0, 1)), pairs.std((0, 1)) + 1e-6
    torch.manual_seed(seed)
    fitted = METHODS[method]((pairs - middle) / scale, budget, seed)

    def rewards(states: Tensor) -> Tensor:
        with torch.no_grad():
            return fitted((states - middle) / scale)

    return rewards


def layers(width: int, budget: Budget) -> nn.Module:
    """A new head of two layers with a SiLU between them."""
    first, last = nn.Linear(width, budget.hidden), nn.Linear(budget.hidden, 1)
    for layer in (first, last):
        nn.init.normal_(layer.weight, std=SPREAD)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.SiLU(), last)


def _train(head: Any, pairs: Tensor, budget: Budget, loss: Callable[[Tensor], Tensor]) -> None:
    optimizer = torch.optim.AdamW(head.parameters(), lr=budget.learning_rate, weight_decay=budget.decay)
    for _ in range(budget.steps):
        optimizer.zero_grad()
        loss(pairs).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _bradley_terry(rewards: Tensor, weights: Tensor | float = 1.0) -> Tensor:
    """The mean loss of rewards (pairs, 2)."""
    return (losses.bradley_terry(rewards[:, 0], rewards[:, 1]) * weights).mean()


def _plain(pairs: Tensor, budget: Budget, seed: int, *, l1: bool = False, bootstrap: bool = False) -> Rewards:
    head = layers(pairs.shape[-1], budget)
    weights = torch.distributions.Exponential(1.0).sample((len(pairs),)) if bootstrap else 1.0

    def loss(pairs: Tensor) -> Tensor:
        found = _bradley_terry(head(pairs)[..., 0], weights)
        return found + budget.l1 * next(head.parameters()).abs().sum() if l1 else found

    _train(head, pairs, budget, loss)
    return lambda states: head(states)[..., 0]


def _ensemble(pairs: Tensor, budget: Budget, seed: int) -> Rewards:
    """The mean of heads that weigh each pair by their own exponential number (the Bayesian bootstrap)."""
    members = [_plain(pairs, budget, seed, bootstrap=True) for _ in range(budget.members)]
    return lambda states: torch.stack([member(states) for member in members]).mean(0)


def _bnrm(pairs: Tensor, budget: Budget, seed: int) -> Rewards:
    head = FactorHead(pairs.shape[-1], budget.factors, SPREAD)

    def loss(pairs: Tensor) -> Tensor:
        return _bradley_terry(head(pairs).sum(-1)) + budget.kl * head.penalty(pairs).mean()

    _train(head, pairs, budget, loss)
    head.eval()
    return lambda states: head(states).sum(-1)


def _avril(pairs: Tensor, budget: Budget, seed: int) -> Rewards:
    """Without Bellman differences: each text has one state only, that of its last token."""
    head = avril.GaussianHead(pairs.shape[-1], SPREAD)
    mask = torch.ones(2 * len(pairs), 1, dtype=torch.long)

    def loss(pairs: Tensor) -> Tensor:
        return avril.objective(head.rewards(pairs.flatten(0, 1).unsqueeze(1)), mask, kl=budget.kl).mean()

    _train(head, pairs, budget, loss)
    return lambda states: head(states)[..., 0]


def collaborating(
    pairs: Tensor, budget: Budget, seed: int, *, noise: float, batch_size: int = 64, **options: Any
) -> tuple[Rewards, list[collaborative.Epoch]]:
    """The mean of two heads that select pairs for each other, with as many steps as others, and what they kept."""
    both = layers(pairs.shape[-1], budget), layers(pairs.shape[-1], budget)
    epochs = max(2, round(budget.steps * batch_size / len(pairs)))
    log = collaborative.fit(
        both,
        pairs,
        noise=noise,
        seed=seed,
        epochs=epochs,
        warmup=max(1, epochs // 3),
        batch_size=batch_size,
        learning_rate=budget.learning_rate,
        weight_decay=budget.decay,
        **options,
    )
    return collaborative.mean_of(both), log


METHODS: Mapping[str, Callable[[Tensor, Budget, int], Rewards]] = {
    "bt": _plain,
    "l1": partial(_plain, l1=True),
    "ensemble": _ensemble,
    "bnrm": _bnrm,
    "avril": _avril,
}


def accuracy(rewards: Rewards, pairs: Tensor) -> float:
    """The share of pairs, (n, 2, width), whose first response has the higher reward. A tie counts half."""
    return float(((margins(rewards, pairs).sign() + 1) / 2).mean())


def margins(rewards: Rewards, pairs: Tensor) -> Tensor:
    found = rewards(pairs)
    return found[:, 0] - found[:, 1]
