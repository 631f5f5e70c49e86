"""Two reward models that select each other's training pairs, against wrong labels: CRM (arXiv 2505.10597).

    log = fit((first, second), pairs, noise=0.3, seed=0)        # pairs, (n, 2, width), labelled better first
    log[-1].kept                                                # the pairs that each model was trained on last

Each model ranks the pairs of a batch by its own loss, and hands those with the lowest loss, a share of 1 - noise, to
the other model, which takes the step (co-teaching, arXiv 1804.06872). A model alone would confirm its own errors; two
that were initialized differently make different ones. The curriculum adds pairs from easy to hard, by the mean margin
of both models: the second epoch has the easier half or somewhat more, the last one all. Sorted batches within an
epoch, as the paper words it, would end each epoch with the hardest pairs, most of which have wrong labels.

`fathom train reward` with `members: 2` and `noise` trains two heads on one backbone so, without the curriculum.

Not guaranteed: that a pair left out is wrong. Hard pairs are left out as well, and the true share of wrong labels must
be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from math import ceil
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from fathom.train import losses

Select = Literal["peer", "self", "all"]
"""Who selects a model's pairs: the other model, the model itself, or nobody."""
Rewards = Callable[[Tensor], Tensor]
"""Maps states (..., width) to rewards (...)."""


class Epoch(NamedTuple):
    kept: tuple[Tensor, Tensor]
    """The indices of the pairs on which each model took its steps."""

    def precision(self, wrong: Tensor) -> tuple[float, float]:
        """The share of each model's pairs whose label is right; `wrong`, (n,), marks the pairs whose label is not."""
        first, second = (1.0 - float(wrong[places].float().mean()) for places in self.kept)
        return first, second


def fit(
    models: tuple[nn.Module, nn.Module],
    pairs: Tensor,
    *,
    noise: float,
    seed: int,
    select: Select = "peer",
    curriculum: bool = True,
    epochs: int = 10,
    warmup: int = 3,
    batch_size: int = 64,
    learning_rate: float = 1e-2,
    weight_decay: float = 0.01,
    steps: int | None = None,
) -> list[Epoch]:
    """Train both models in place on `pairs`, (n, 2, width), the labelled better response first.

    `models` map states (..., width) to rewards (..., 1). `noise`: the assumed share of wrong labels, 0 to below 1. The
    share left out grows from 0 to `noise` over the first `warmup` epochs. Training ends after `steps` steps if these
    are fewer than the epochs have (`steps_of`). Returns what was kept in each epoch, of which the last may be cut off.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizers = [
        torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay) for model in models
    ]
    left = steps_of(len(pairs), batch_size, epochs, curriculum=curriculum) if steps is None else steps
    log = []
    for epoch in range(epochs):
        left_out = noise * min(1.0, epoch / warmup if warmup else 1.0)
        kept: tuple[list[Tensor], list[Tensor]] = ([], [])
        count = _easiest(len(pairs), epoch, epochs, curriculum)
        batches = islice(_batches(models, pairs, batch_size, generator, count), left)
        for places in batches:
            left -= 1
            loss = [_loss(model, pairs[places]) for model in models]
            chosen = selected(torch.stack(loss).detach(), left_out, select)
            for which, optimizer in enumerate(optimizers):
                optimizer.zero_grad()
                loss[which][chosen[which]].mean().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                kept[which].append(places[chosen[which]])
        if kept[0]:
            log.append(Epoch((torch.cat(kept[0]), torch.cat(kept[1]))))
    return log


def steps_of(pairs: int, batch_size: int, epochs: int, *, curriculum: bool = True) -> int:
    """The steps that `fit` takes. With a curriculum these are fewer, because most epochs leave pairs out."""
    return sum(ceil(_easiest(pairs, epoch, epochs, curriculum) / batch_size) for epoch in range(epochs))


def _easiest(pairs: int, epoch: int, epochs: int, curriculum: bool) -> int:
    """How many of the pairs an epoch has."""
    return round(pairs * (1 + epoch / max(1, epochs - 1)) / 2) if curriculum and epoch else pairs


def selected(loss: Tensor, left_out: float, select: Select) -> list[Tensor]:
    """For each of two models, the places of the pairs that it is trained on, given both losses, (2, n)."""
    count = max(1, round(loss.shape[1] * (1 - left_out)))
    if select == "all":
        return [torch.arange(loss.shape[1])] * 2
    lowest = [each.argsort(stable=True)[:count] for each in loss]
    return lowest[::-1] if select == "peer" else lowest


def weights(loss: Tensor, left_out: float) -> Tensor:
    """The weight of each pair for each of two models that select for each other, given both losses, both (2, n).

    Pairs that are left out have the weight 0; all weights of a model have the mean 1.
    """
    found = torch.zeros_like(loss)
    for row, places in zip(found, selected(loss, left_out, "peer"), strict=True):
        row[places] = len(row) / len(places)
    return found


def _batches(
    models: Sequence[nn.Module], pairs: Tensor, size: int, generator: torch.Generator, count: int
) -> Iterator[Tensor]:
    """The `count` easiest pairs in random order."""
    order = torch.randperm(len(pairs), generator=generator)
    with torch.no_grad():
        margins = torch.stack([_margins(model, pairs) for model in models]).mean(0)
    easy = torch.zeros(len(pairs), dtype=torch.bool)
    easy[margins.argsort(descending=True, stable=True)[:count]] = True
    order = order[easy[order]]
    yield from (order[start : start + size] for start in range(0, len(order), size))


def _margins(model: nn.Module, pairs: Tensor) -> Tensor:
    rewards: Tensor = model(pairs)[..., 0]
    return rewards[:, 0] - rewards[:, 1]


def _loss(model: nn.Module, pairs: Tensor) -> Tensor:
    rewards: Tensor = model(pairs)[..., 0]
    return losses.bradley_terry(rewards[:, 0], rewards[:, 1])


def mean_of(models: Sequence[nn.Module]) -> Rewards:
    """The mean reward of several models."""

    def rewards(states: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.stack([model(states)[..., 0] for model in models]).mean(0)

    return rewards
