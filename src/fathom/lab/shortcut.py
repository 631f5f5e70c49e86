"""A world of feature vectors in which length predicts the label in training, and not in the test.

    world = World(seed=0)
    train = world.pairs(500, aligned=0.9, wrong=0.2)        # (500, 2, 32), the labelled better response first
    states, gold = world.responses(256)

A response has five true factors, drawn from Gamma(2, 1), and a length, N(0, 1). Its gold reward is a weighted sum of
the factors' square roots. A model sees 32 features: all six numbers through a random layer with tanh, with noise. In a
share of `aligned` of the pairs the longer response is the better one. Labels are wrong with a fixed probability.

So no fitted model is the generator: the reward is not linear in the features, and the probability of a wrong label does
not depend on the difference of rewards, as Bradley-Terry assumes. But the world has the form that BNRM assumes: the
gold reward is a sum of non-negative parts, they come from a Gamma distribution, as in BNRM's prior, and only the length
has values of both signs. If the world favours a head, it favours BNRM.

A wrong label swaps the responses after the shortcut was drawn: with `aligned` 0.9 and `wrong` 0.3, the longer response
is the labelled better one in 0.9 * 0.7 + 0.1 * 0.3 = 0.66 of the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

FACTORS, FEATURES, NOISE = 5, 32, 0.1


@dataclass(frozen=True)
class World:
    seed: int

    @cached_property
    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    @cached_property
    def _mixing(self) -> tuple[Tensor, Tensor]:
        """The random layer, (6, 32), and the weights of the factors, (5,)."""
        own = torch.Generator().manual_seed(self.seed + 1_000_000)
        return torch.randn(FACTORS + 1, FEATURES, generator=own) / 3, 0.5 + torch.rand(FACTORS, generator=own)

    def responses(self, *shape: int) -> tuple[Tensor, Tensor]:
        """Features (*shape, 32) and gold rewards (*shape) of independent responses."""
        factors, length = self._drawn(*shape)
        return self._seen(factors, length), self._gold(factors)

    def pairs(self, count: int, *, aligned: float, wrong: float = 0.0) -> Tensor:
        """Features of pairs, (count, 2, 32), the response that the label calls better first."""
        factors, length = self._drawn(count, 2)
        order = self._gold(factors).argsort(1, descending=True)
        factors = factors.gather(1, order.unsqueeze(-1).expand_as(factors))
        length = length.sort(1, descending=True).values
        against = self._uniform(count) >= aligned
        length = torch.where(against[:, None], length.flip(1), length)
        states = self._seen(factors, length)
        flipped = self._uniform(count) < wrong
        return torch.where(flipped[:, None, None], states.flip(1), states)

    def _drawn(self, *shape: int) -> tuple[Tensor, Tensor]:
        # Gamma(2, 1) is the sum of two standard exponentials.
        exponentials = -torch.log1p(-torch.rand(*shape, FACTORS, 2, generator=self._generator))
        return exponentials.sum(-1), torch.randn(*shape, generator=self._generator)

    def _gold(self, factors: Tensor) -> Tensor:
        return factors.sqrt() @ self._mixing[1]

    def _seen(self, factors: Tensor, length: Tensor) -> Tensor:
        mixed = torch.tanh(torch.cat([factors - 2, length.unsqueeze(-1)], -1) @ self._mixing[0])
        return mixed + NOISE * torch.randn(mixed.shape, generator=self._generator)

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self._generator)
