"""Reward heads on the states of a frozen language model: computed once and kept, then fitted in seconds.

    compute(pairs, engine, (15, 21), folder)            # resumes; may run in two processes
    states = load(folder, len(pairs))                   # (pairs, 2, layers, width)
    chosen = choose(Head(kind="mlp"), train, groups, grid, seed=0)
    head = fit(Head(kind="mlp"), train[:, :, chosen.layer], chosen, grid, seed=0)
    head(states[:, :, chosen.layer])                    # rewards, (pairs, 2)

A state is that of a response's last token. Layer, weight decay and number of steps are chosen on training pairs alone,
by the loss on a fifth of their groups, and every kind of head has the same choice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from fathom.data.atomic import atomic_write
from fathom.data.records import Comparison
from fathom.engines import StatesRequest
from fathom.engines.headed import make_head
from fathom.engines.heads import Head
from fathom.engines.local import LocalEngine
from fathom.rewards import conversation
from fathom.train import losses

CHUNK = 50
"""Pairs per file of states."""
SPREAD = 0.02


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is chosen on training pairs, and what is fixed."""

    decays: Sequence[float]
    """Weight decays of AdamW."""
    steps: Sequence[int]
    """Numbers of steps, each with all pairs, in ascending order."""
    learning_rate: float


class Choice(NamedTuple):
    layer: int
    """The place of the layer among those of the states."""
    decay: float
    steps: int
    loss: float
    """The validation loss, nats per pair."""


Rewards = Callable[[Tensor], Tensor]
"""Maps states (..., width) to rewards (...)."""


# States ---------------------------------------------------------------------------------------------------------------


def compute(
    pairs: Sequence[Comparison], engine: LocalEngine, layers: Sequence[int], folder: Path, *, backwards: bool = False
) -> None:
    """Write the states of both responses of each pair, a file per chunk, unless it is there already.

    Two processes share the work if one of them goes backwards: each skips what the other has finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chunks = range((len(pairs) + CHUNK - 1) // CHUNK)
    for chunk in reversed(chunks) if backwards else chunks:
        if not (path := _path(folder, chunk)).exists():
            states = asyncio.run(_states(pairs[chunk * CHUNK : (chunk + 1) * CHUNK], engine, tuple(layers)))
            with atomic_write(path) as sink:
                sink.write(save({"states": states}))


async def _states(pairs: Sequence[Comparison], engine: LocalEngine, layers: tuple[int, ...]) -> Tensor:
    requests = [
        StatesRequest(conversation(pair), response, layers=layers) for pair in pairs for response in pair.responses
    ]
    found = await asyncio.gather(*map(engine.states, requests))
    return torch.stack([torch.tensor(each.vectors) for each in found]).view(len(pairs), 2, len(layers), -1)


def load(folder: Path, count: int) -> Tensor:
    """The states of `count` pairs: (pairs, 2, layers, width), in the order of each pair's responses."""
    chunks = range((count + CHUNK - 1) // CHUNK)
    return torch.cat([load_file(_path(folder, chunk))["states"] for chunk in chunks])


def _path(folder: Path, chunk: int) -> Path:
    return folder / f"states-{chunk:03}.safetensors"


# Heads ----------------------------------------------------------------------------------------------------------------


def choose(head: Head, states: Tensor, groups: Sequence[str], grid: Grid, *, seed: int) -> Choice:
    """The choice with the lowest validation loss. `states`, (pairs, 2, layers, width), have the better response first.

    All pairs of a group, such as a prompt, are either fitted or validated.
    """
    kept, held_out = divided(groups, seed)
    found = []
    for layer, decay in product(range(states.shape[2]), grid.decays):
        fitted, validated = states[kept, :, layer], states[held_out, :, layer]
        for steps, rewards in _fits(head, fitted, decay, grid, seed):
            found.append(Choice(layer, decay, steps, _loss(rewards(validated)).item()))
    return min(found, key=lambda choice: choice.loss)


def fit(head: Head, states: Tensor, choice: Choice, grid: Grid, *, seed: int) -> Rewards:
    """Fit a head to all pairs, (pairs, 2, width), the better response first."""
    return next(rewards for steps, rewards in _fits(head, states, choice.decay, grid, seed) if steps == choice.steps)


def _fits(head: Head, states: Tensor, decay: float, grid: Grid, seed: int) -> Iterator[tuple[int, Rewards]]:
    """One training, and the head after each number of steps; it is valid until the next one is asked for."""
    middle, scale = states.mean((0, 1)), states.std((0, 1)) + 1e-6
    torch.manual_seed(seed)
    layers = make_head(head, states.shape[-1], spread=SPREAD)
    optimizer = torch.optim.AdamW(layers.parameters(), lr=grid.learning_rate, weight_decay=decay)

    def rewards(states: Tensor) -> Tensor:
        found: Tensor = layers((states - middle) / scale)[..., 0]
        return found

    for step in range(1, grid.steps[-1] + 1):
        optimizer.zero_grad()
        _loss(rewards(states)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step in grid.steps:
            with torch.no_grad():
                yield step, rewards


def _loss(rewards: Tensor) -> Tensor:
    return losses.bradley_terry(rewards[:, 0], rewards[:, 1]).mean()


def divided(groups: Sequence[str], seed: int) -> tuple[list[int], list[int]]:
    """The places of the items that are fitted, and of those of a fifth of the groups, at least one, that validate."""
    names = sorted(set(groups))
    held_out = set(random.Random(f"{seed}/validation").sample(names, max(1, len(names) // 5)))
    places: tuple[list[int], list[int]] = [], []
    for place, group in enumerate(groups):
        places[group in held_out].append(place)
    return places


def better_first(states: Tensor, pairs: Sequence[Comparison]) -> Tensor:
    """The states of labelled pairs with those of the better response first."""
    order = torch.tensor([[best, 1 - best] for best in map(best_of, pairs)])
    return states[torch.arange(len(pairs))[:, None], order]


def best_of(pair: Comparison) -> int:
    best: Any = pair.label and pair.label.winner
    assert best is not None, f"pair {pair.id} has no winner"
    return int(best)
