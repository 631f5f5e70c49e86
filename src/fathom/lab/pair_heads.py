"""Reward heads of several kinds on the same features of pairs, fitted in seconds, for experiments.

    rewards = fit("bnrm", pairs, budget, seed=0)        # pairs, (n, 2, width), the labelled better response first
    rewards(states)                                     # (...,) from states (..., width)
    chosen = choose("bnrm", pairs, groups, budget, (5, 10, 20), seed=0)     # a number of steps, by validation loss

Features are standardized on the training pairs. A head of BNRM has a hidden layer as wide as the states, as in the
authors' code, so with F factors

    BNRM:  (width + 1) width + (width + 1) 2 F + 2 F  =  (width + 1)(width + 2 F) + 2 F  weights
    BT:    (width + 1) units + units + 1              =  (width + 2) units + 1

and both have as many, up to about one percent for widths from 32 and 32 factors, if BT has width + 2 F hidden units
(`units`).
Ensembles and pairs of heads divide these units among their members. `linear` and `avril` have one layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fathom.engines.bnrm import FactorHead
from fathom.lab import frozen
from fathom.train import avril, collaborative, losses

SCALE = 0.1
"""Well below one, so that a new head gives all states nearly the same reward."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    learning_rate: float
    decay: float
    """Weight decay of AdamW."""
    steps: int = 0
    """The steps of `fit`; `choose` has its own numbers of steps."""
    batch: int | None = None
    """Pairs per step, in an order drawn anew when all were used; None takes all pairs in each step."""
    factors: int = 32
    kl: float = 1e-3
    """The weight of the KL divergence (bnrm, avril)."""
    l1: float = 1e-3
    """The weight of the sum of the first layer's absolute weights (l1)."""
    dropout: float = 0.5
    """The share of hidden units that are left out in a step (dropout)."""
    members: int = 5

    @classmethod
    def of(cls, settings: Any) -> Budget:
        """The fields that the settings of an experiment have; the others keep their defaults."""
        names = [field.name for field in fields(cls) if field.name != "steps" and hasattr(settings, field.name)]
        return cls(**{name: getattr(settings, name) for name in names})


Rewards = Callable[[Tensor], Tensor]
"""Maps states (..., width) to rewards (...)."""


class Method(NamedTuple):
    """A kind of head: how it is made, trained and read."""

    make: Callable[[int, int, Budget], Any]
    """A new head for states of a width and a number of training pairs."""
    loss: Callable[[Any, Tensor, Tensor, Budget], Tensor]
    """The loss of a head on pairs, (n, 2, width), at these places among the training pairs, (n,)."""
    rewards: Callable[[Any, Tensor], Tensor]


# Fitting --------------------------------------------------------------------------------------------------------------


def choose(
    method: str, pairs: Tensor, groups: Sequence[str], budget: Budget, steps: Sequence[int], *, seed: int
) -> int:
    """The number of steps with the lowest validation loss, in one training on four fifths of the groups.

    `groups` names the group of each pair, such as its conversation; all pairs of a group are fitted or validated.
    """
    kept, held_out = frozen.divided(groups, seed)
    found = {
        done: loss_of(rewards, pairs[held_out]) for done, rewards in _fits(method, pairs[kept], budget, steps, seed)
    }
    return min(found, key=found.__getitem__)


def chosen(
    method: str, pairs: Tensor, groups: Sequence[str], budget: Budget, steps: Sequence[int], *, seed: int
) -> tuple[Rewards, int]:
    """Fit a head to all pairs with the number of steps that `choose` finds, and return that number as well."""
    best = choose(method, pairs, groups, budget, steps, seed=seed)
    return fit(method, pairs, replace(budget, steps=best), seed=seed), best


def fit(method: str, pairs: Tensor, budget: Budget, *, seed: int) -> Rewards:
    """Fit a head to pairs (n, 2, width). Raises KeyError for an unknown method; see `METHODS`."""
    return next(rewards for _, rewards in _fits(method, pairs, budget, (budget.steps,), seed))


def _fits(method: str, pairs: Tensor, budget: Budget, steps: Sequence[int], seed: int) -> Iterator[tuple[int, Rewards]]:
    """One training, and the rewards after each number of steps; they are valid until the next ones are asked for."""
    middle, scale = pairs.mean((0, 1)), pairs.std((0, 1)) + 1e-6
    pairs = (pairs - middle) / scale
    torch.manual_seed(seed)
    made = METHODS[method]
    head = made.make(pairs.shape[-1], len(pairs), budget)
    optimizer = torch.optim.AdamW(head.parameters(), lr=budget.learning_rate, weight_decay=budget.decay)
    batches = _batches(len(pairs), budget.batch, torch.Generator().manual_seed(seed))

    def rewards(states: Tensor) -> Tensor:
        head.eval()
        with torch.no_grad():
            return made.rewards(head, (states - middle) / scale)

    for step in range(1, max(steps) + 1):
        places = next(batches)
        head.train()
        optimizer.zero_grad()
        made.loss(head, pairs[places], places, budget).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step in steps:
            yield step, rewards


def _batches(count: int, size: int | None, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        order = torch.arange(count) if size is None else torch.randperm(count, generator=generator)
        yield from torch.split(order, size or count)


# Kinds of heads -------------------------------------------------------------------------------------------------------


def units(width: int, budget: Budget) -> int:
    """The hidden units with which BT has as many weights as BNRM; see the derivation above."""
    return width + 2 * budget.factors


def layers(width: int, hidden: int, *, dropout: float = 0.0) -> nn.Module:
    """A new head of two layers with a SiLU between them."""
    first, last = nn.Linear(width, hidden), nn.Linear(hidden, 1)
    for layer in (first, last):
        nn.init.normal_(layer.weight, std=spread(layer.in_features))
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.SiLU(), nn.Dropout(dropout), last)


def spread(inputs: int) -> float:
    """The initial standard deviation of weights with which standardized inputs give outputs of size `SCALE`."""
    return SCALE / math.sqrt(inputs)


def _last(head: Any, states: Tensor) -> Tensor:
    rewards: Tensor = head(states)[..., 0]
    return rewards


def _bradley_terry(rewards: Tensor, weights: Tensor | float = 1.0) -> Tensor:
    """The mean loss of rewards (pairs, 2)."""
    return (losses.bradley_terry(rewards[:, 0], rewards[:, 1]) * weights).mean()


def _plain(head: Any, pairs: Tensor, places: Tensor, budget: Budget) -> Tensor:
    return _bradley_terry(_last(head, pairs))


def _with_l1(head: Any, pairs: Tensor, places: Tensor, budget: Budget) -> Tensor:
    first: Tensor = next(head.parameters())
    return _bradley_terry(_last(head, pairs)) + budget.l1 * first.abs().sum()


class _Ensemble(nn.Module):
    """Heads that weigh each training pair by their own exponential number (the Bayesian bootstrap)."""

    def __init__(self, width: int, count: int, budget: Budget) -> None:
        super().__init__()
        hidden = max(1, units(width, budget) // budget.members)
        self.members = nn.ModuleList(layers(width, hidden) for _ in range(budget.members))
        self.weights = torch.distributions.Exponential(1.0).sample((budget.members, count))

    def forward(self, states: Tensor) -> Tensor:
        """The mean reward of all members."""
        return torch.stack([_last(member, states) for member in self.members]).mean(0)

    def loss(self, pairs: Tensor, places: Tensor) -> Tensor:
        """The sum over members; no weight is shared, so each is trained as it would be alone."""
        return torch.stack(
            [
                _bradley_terry(_last(member, pairs), weights[places])
                for member, weights in zip(self.members, self.weights, strict=True)
            ]
        ).sum()


def _factors(head: Any, pairs: Tensor, places: Tensor, budget: Budget) -> Tensor:
    found = _bradley_terry(head(pairs).sum(-1))
    return found + budget.kl * head.penalty(pairs).mean() if budget.kl else found


def _avril(head: Any, pairs: Tensor, places: Tensor, budget: Budget) -> Tensor:
    """Without Bellman differences: each text has one state only, that of its last token."""
    mask = torch.ones(2 * len(pairs), 1, dtype=torch.long)
    return avril.objective(head.rewards(pairs.flatten(0, 1).unsqueeze(1)), mask, kl=budget.kl).mean()


def _linear(width: int, count: int, budget: Budget) -> nn.Module:
    layer = nn.Linear(width, 1)
    nn.init.normal_(layer.weight, std=spread(width))
    nn.init.zeros_(layer.bias)
    return layer


_BT = Method(lambda width, count, budget: layers(width, units(width, budget)), _plain, _last)
_BNRM = Method(
    lambda width, count, budget: FactorHead(width, budget.factors, spread(width)),
    _factors,
    lambda head, states: head(states).sum(-1),
)
METHODS: Mapping[str, Method] = {
    "bt": _BT,
    "linear": _BT._replace(make=_linear),
    "l1": _BT._replace(loss=_with_l1),
    "dropout": _BT._replace(
        make=lambda width, count, budget: layers(width, units(width, budget), dropout=budget.dropout)
    ),
    "ensemble": Method(
        _Ensemble,
        lambda head, pairs, places, budget: head.loss(pairs, places),
        lambda head, states: head(states),
    ),
    "bnrm": _BNRM,
    "bnrm without divergence": _BNRM._replace(
        loss=lambda head, pairs, places, budget: _factors(head, pairs, places, replace(budget, kl=0.0))
    ),
    "avril": Method(lambda width, count, budget: avril.GaussianHead(width, spread(width)), _avril, _last),
}


def collaborating(
    pairs: Tensor, budget: Budget, seed: int, *, noise: float, curriculum: bool = True, **options: Any
) -> tuple[Rewards, list[collaborative.Epoch]]:
    """The mean of two heads that select pairs for each other, after `budget.steps` steps, and what they kept.

    A curriculum has more epochs than training without it, because these have fewer batches. The other
    options are those of `collaborative.fit`.
    """
    assert budget.batch is not None, "heads that select pairs from batches need a size of batches"
    middle, scale = pairs.mean((0, 1)), pairs.std((0, 1)) + 1e-6
    torch.manual_seed(seed)
    hidden = units(pairs.shape[-1], budget) // 2
    both = layers(pairs.shape[-1], hidden), layers(pairs.shape[-1], hidden)
    epochs = 1
    while collaborative.steps_of(len(pairs), budget.batch, epochs, curriculum=curriculum) < budget.steps:
        epochs += 1
    log = collaborative.fit(
        both,
        (pairs - middle) / scale,
        noise=noise,
        seed=seed,
        curriculum=curriculum,
        epochs=epochs,
        warmup=max(1, epochs // 3),
        batch_size=budget.batch,
        learning_rate=budget.learning_rate,
        weight_decay=budget.decay,
        steps=budget.steps,
        **options,
    )
    mean = collaborative.mean_of(both)
    return lambda states: mean((states - middle) / scale), log


# Measuring ------------------------------------------------------------------------------------------------------------


def accuracy(rewards: Rewards, pairs: Tensor) -> float:
    """The share of pairs, (n, 2, width), whose first response has the higher reward. A tie counts half."""
    return float(((margins(rewards, pairs).sign() + 1) / 2).mean())


def loss_of(rewards: Rewards, pairs: Tensor) -> float:
    """The mean Bradley-Terry loss of pairs (n, 2, width), nats per pair."""
    return float(_bradley_terry(rewards(pairs)))


def margins(rewards: Rewards, pairs: Tensor) -> Tensor:
    found = rewards(pairs)
    return found[:, 0] - found[:, 1]
