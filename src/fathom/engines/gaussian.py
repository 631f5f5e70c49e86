"""A head that gives every token a normal distribution of its reward: AVA (arXiv 2411.09341).

    head = GaussianHead(width=576)
    head(states)                        # (..., 2): mean and standard deviation, from states (..., width)
    rewards = head.rewards(states)      # Gaussian: mean and log_std of each token
    divergence(rewards)                 # KL from the prior N(0, 1), of each token

The reward of a text is that of its last token, whose state has seen all others; `fathom.train.avril` states how it is
learned from preferences.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Gaussian(NamedTuple):
    """The reward of each token, both of shape (texts, length)."""

    mean: Tensor
    log_std: Tensor


class GaussianHead(nn.Module):
    """Maps states (..., width) to the mean and the standard deviation of each token's reward, (..., 2)."""

    def __init__(self, width: int, spread: float = 0.02) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)
        nn.init.normal_(self.layer.weight, std=spread)
        nn.init.zeros_(self.layer.bias)

    def forward(self, states: Tensor) -> Tensor:
        rewards = self.rewards(states)
        return torch.stack([rewards.mean, rewards.log_std.exp()], -1)

    def rewards(self, states: Tensor) -> Gaussian:
        mean, log_std = self.layer(states).unbind(-1)
        return Gaussian(mean, log_std.clamp(-5, 2))  # a density without bounds is unstable in the first steps


def divergence(rewards: Gaussian) -> Tensor:
    """KL(N(mean, std^2) || N(0, 1)) = (std^2 + mean^2 - 1) / 2 - log std of each token, in nats."""
    return ((2 * rewards.log_std).exp() + rewards.mean.square() - 1) / 2 - rewards.log_std


def text_means(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of values (texts, length) over the tokens of each text; `mask` is 1 for these."""
    return values.where(mask.bool(), 0.0).sum(1) / mask.sum(1)
