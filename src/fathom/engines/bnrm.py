"""A head whose reward is a sum of non-negative factors: BNRM (arXiv 2602.10623).

    head = FactorHead(width=576, factors=64, spread=0.02)
    head(states)                    # (batch, 64): what each factor adds to the reward; sampled while training
    head.penalty(states)            # (batch,): the KL divergence from the prior

The reward of a text is theta . Phi. Theta, how much of each factor the text has, depends on its state; Phi, the worth
of each factor, is global. Both have Gamma priors and Weibull posteriors, and no entry is negative. So a response is
better only by having more of some factor, and each factor's share of a difference between responses is known.

Not guaranteed: that a factor means anything to a person, or that factors of two trainings correspond.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

EULER = 0.5772156649015329
FLOOR = 1e-6
"""The smallest mean of a posterior: at 0, where the ReLU is off, the divergence would be infinite."""


class FactorHead(nn.Module):
    """Maps states (batch, width) to contributions (batch, factors) >= 0, whose sum is the reward.

    While training, contributions are one sample of theta times one of Phi; otherwise the products of their means, as in
    the authors' evaluation. Their bias is left out, because only differences of rewards are used.
    """

    def __init__(self, width: int, factors: int, spread: float) -> None:
        super().__init__()
        self.hidden, self.posterior = nn.Linear(width, width), nn.Linear(width, 2 * factors)
        for layer in (self.hidden, self.posterior):
            nn.init.normal_(layer.weight, std=spread)
            nn.init.zeros_(layer.bias)
        # Raw shape and mean of each factor's worth: at first all factors count the same.
        self.worth = nn.Parameter(torch.stack([torch.zeros(factors), torch.ones(factors)], -1))

    def forward(self, states: Tensor) -> Tensor:
        value = sample if self.training else mean
        of_text, of_worth = (value(shape, scale) for shape, scale in self._posteriors(states))
        return of_text * of_worth

    def penalty(self, states: Tensor) -> Tensor:
        """KL(q(theta) || Gamma(1, 1)) + KL(q(Phi) || Gamma(1, 1)) of each text, summed over factors, in nats."""
        of_text, of_worth = (weibull_gamma_kl(shape, scale).sum(-1) for shape, scale in self._posteriors(states))
        return of_text + of_worth

    def _posteriors(self, states: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Shape and scale of theta, (batch, factors), and of Phi, (factors,)."""
        raw = self.posterior(functional.silu(self.hidden(states)))
        return weibull(raw.unflatten(-1, (-1, 2))), weibull(self.worth)


def weibull(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Shape k = softplus(.) + 1 and scale of Weibull distributions with mean ReLU(.), from raw values (..., 2)."""
    shape = functional.softplus(raw[..., 0]) + 1
    wanted = functional.relu(raw[..., 1]).clamp(min=FLOOR)
    return shape, wanted / torch.lgamma(1 + 1 / shape).exp()


def mean(shape: Tensor, scale: Tensor) -> Tensor:
    """scale Gamma(1 + 1 / shape)."""
    return scale * torch.lgamma(1 + 1 / shape).exp()


def sample(shape: Tensor, scale: Tensor) -> Tensor:
    """One draw each, scale (-log(1 - u))^(1 / shape) for uniform u: differentiable in both parameters."""
    exponential = -torch.log1p(-torch.rand_like(shape))
    return scale * exponential.clamp(min=1e-12) ** (1 / shape)


def weibull_gamma_kl(shape: Tensor, scale: Tensor, a: float = 1.0, b: float = 1.0) -> Tensor:
    """KL(Weibull(shape k, scale s) || Gamma(shape a, rate b)) in nats.

    With x = s e^(1/k) for a standard exponential e, E log e = -g (Euler's constant), so E log x = log s - g / k, and
    E x = s Gamma(1 + 1/k). The entropy of the Weibull distribution is g (1 - 1/k) + log(s / k) + 1. With
    -E log p(x) = -a log b + log Gamma(a) - (a - 1) E log x + b E x,

        KL = g a / k - a log s + log k + b s Gamma(1 + 1/k) - g - 1 - a log b + log Gamma(a)
    """
    expected = EULER * a / shape - a * scale.log() + shape.log() + b * mean(shape, scale)
    return expected - EULER - 1 - a * math.log(b) + math.lgamma(a)
