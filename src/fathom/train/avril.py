"""A reward distribution for every token, learned from preferences: AVA-p (arXiv 2411.09341), on a frozen model.

    head = GaussianHead(width=576)
    loss = objective(head(states), mask, delta, td=0.1)          # states of tokens, (texts, length, width)

The reward of token t is N(mean_t, std_t^2), given the states up to it. Bayesian inverse reinforcement learning wants a
reward that is near its prior N(0, 1), that explains the policy's values by the Bellman equation, and, for preferences,
that is higher at the end of the better text:

    -log sigmoid(mean_w - mean_l)  +  kl * KL(N(mean, std^2) || N(0, 1))  -  td * log N(delta_t; mean_t, std_t^2)
    delta_t = Q_t - discount * Q_(t+1)

Q_t is the value of the token that was chosen. The paper takes it from the language model that it trains at the same
time, as the log-softmax of alpha times the token *probabilities* (`q_values`). Here the language model is frozen, so
the likelihood of its tokens is constant and is left out. With it goes the term that lowers the likelihood of the worse
text, which has no lower bound.

Not guaranteed: that the mean of a token is the credit of that token. Only the last one is compared with labels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.train import losses


class Gaussian(NamedTuple):
    """The reward of each token, both of shape (texts, length)."""

    mean: Tensor
    log_std: Tensor


class GaussianHead(nn.Module):
    """Maps states (..., width) to the mean and the logarithm of the standard deviation of each token's reward."""

    def __init__(self, width: int, spread: float = 0.02) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)
        nn.init.normal_(self.layer.weight, std=spread)
        nn.init.zeros_(self.layer.bias)

    def forward(self, states: Tensor) -> Gaussian:
        mean, log_std = self.layer(states).unbind(-1)
        return Gaussian(mean, log_std.clamp(-5, 2))  # a density without bounds is unstable in the first steps


def objective(
    rewards: Gaussian, mask: Tensor, delta: Tensor | None = None, *, kl: float = 0.01, td: float = 0.0
) -> Tensor:
    """The loss of pairs, (pairs,), from the rewards of 2 x pairs texts: the better one at even places, the other next.

    `mask`, (texts, length), is 1 for the tokens of a text. `delta`, of the same shape, are the Bellman differences,
    needed for `td` > 0.
    """
    last = (mask * torch.arange(mask.shape[1])).argmax(1)
    final = rewards.mean[torch.arange(len(mask)), last].view(-1, 2)
    penalty = kl * divergence(rewards)
    if td and delta is not None:
        penalty = penalty - td * log_density(rewards, delta)
    of_text = torch.where(mask.bool(), penalty, 0.0).sum(1) / mask.sum(1)
    return losses.bradley_terry(final[:, 0], final[:, 1]) + of_text.view(-1, 2).mean(1)


def divergence(rewards: Gaussian) -> Tensor:
    """KL(N(mean, std^2) || N(0, 1)) = (std^2 + mean^2 - 1) / 2 - log std of each token, in nats."""
    return ((2 * rewards.log_std).exp() + rewards.mean.square() - 1) / 2 - rewards.log_std


def log_density(rewards: Gaussian, values: Tensor) -> Tensor:
    """log N(value; mean, std^2) of each token."""
    standardized = (values - rewards.mean) / rewards.log_std.exp()
    return -standardized.square() / 2 - rewards.log_std - math.log(2 * math.pi) / 2


def q_values(logprobs: Tensor, alpha: float = 1.0) -> Tensor:
    """Q of every token, log softmax(alpha * probability), from log-probabilities (..., vocabulary)."""
    return functional.log_softmax(alpha * logprobs.exp(), -1)


def bellman_differences(q: Tensor, mask: Tensor, discount: float = 1.0) -> Tensor:
    """delta_t = Q_t - discount * Q_(t+1) of the chosen tokens, (texts, length); the value after the last token is 0."""
    following = functional.pad(q * mask, (0, 1))[:, 1:]
    return (q - discount * following) * mask
