"""Fits a direction in the hidden states of a frozen language model to a few labelled pairs, without training the model.

    found = await read(pairs, engine, layers=(15, 21, 27), pool="mean")      # differences of states
    chosen = choose(found, "difference", seed=0)                             # the layer, on these pairs alone
    direction(found.values[:, chosen.layer], "difference", chosen.decay)     # (width,), length 1

Three methods, for pairs with states h of the better and the worse response:

- `difference`: the mean of h_better - h_worse, the usual steering vector.
- `logistic`: the w that minimizes mean log(1 + exp(-<w, h_better - h_worse>)) + decay/2 |w|^2, the Bradley-Terry model
  on states. Differences are first divided by their mean length, so that `decay` has the same effect in every layer.
- `annotators`: the same, with a rationality for each annotator that is fitted as well (`fathom.train.rationality`), so
  that labels of people who often contradict the others count less.

The layer and the decay are chosen by cross-validation on the training pairs: the mean of the margins of left-out
pairs divided by their standard deviation. With few pairs this is steadier than accuracy, which takes few values.

Not guaranteed: that a direction means what the pairs were chosen for. If the better response is usually the longer one,
it may be a direction of length.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fathom.data.records import Comparison
from fathom.engines import Engine, EngineError, StatesRequest
from fathom.engines.checkpoints import adapter_base, resolve_checkpoint
from fathom.errors import FathomError, require
from fathom.rewards import conversation
from fathom.rewards.activation import Method, Pool
from fathom.train import rationality, targets

Array = NDArray[np.float64]
FOLDS = 5
PROBE = (0.01, 0.1, 1.0)
DECAYS: dict[Method, tuple[float, ...]] = {"difference": (0.0,), "logistic": PROBE, "annotators": PROBE}
LAYERS = 10
"""How many layers are tried by default."""
TOGETHER = 256
"""Responses that are read at the same time."""


class Differences(NamedTuple):
    """The state of the better minus that of the worse response of each pair: (pairs, layers, width)."""

    values: Array
    groups: tuple[str, ...]
    """The prompt of each pair."""
    left_out: tuple[str, ...] = ()
    """Why each pair that the model cannot read was left out, such as an empty response."""
    annotators: tuple[str, ...] = ()
    """Who labelled each pair; empty if unknown."""

    def take(self, places: Sequence[int]) -> Differences:
        groups, annotators = ([names[place] for place in places if names] for names in (self.groups, self.annotators))
        return Differences(self.values[list(places)], tuple(groups), annotators=tuple(annotators))


class Choice(NamedTuple):
    layer: int
    """The place of the layer among those of the states."""
    decay: float
    separation: float
    """The mean margin of left-out pairs, in their standard deviations."""


# States ---------------------------------------------------------------------------------------------------------------


def depth(model: str) -> int:
    """The number of layers of a checkpoint."""
    folder = resolve_checkpoint(model)
    name = adapter_base(Path(folder)) or folder
    config = require("transformers", "local").AutoConfig.from_pretrained(name)
    return int(config.get_text_config().num_hidden_layers)


def spaced_layers(depth: int, count: int = LAYERS) -> tuple[int, ...]:
    """Up to `count` layers at equal distances; the last one is among them, the embedding (0) is not."""
    count = min(count, depth)
    return tuple(round(depth * (place + 1) / count) for place in range(count))


async def read(
    items: Sequence[Comparison], engine: Engine, *, layers: Sequence[int], pool: Pool, annotator: str | None = None
) -> Differences:
    """The differences of all pairs that the labels order. `annotator`: the column that names who labelled a comparison.

    Raises FathomError if there is no pair, or for a comparison without that column.
    """
    pairs = [
        (item, better, worse)
        for item in items
        if item.label is not None
        for better, worse, gap in targets.pairs(item.label, len(item.responses))
        if gap > 0
    ]
    if not pairs:
        raise FathomError(f"none of {len(items)} comparisons has a label that orders two responses; give such labels")
    limit = asyncio.Semaphore(TOGETHER)

    async def vectors(item: Comparison, place: int) -> Array | EngineError:
        async with limit:
            try:
                found = await engine.states(
                    StatesRequest(conversation(item), item.responses[place], tuple(layers), pool)
                )
            except EngineError as error:
                return error
        return np.array(found.vectors)

    async def difference(item: Comparison, better: int, worse: int) -> Array | EngineError:
        ours, theirs = await asyncio.gather(vectors(item, better), vectors(item, worse))
        if isinstance(ours, EngineError):
            return ours
        return theirs if isinstance(theirs, EngineError) else ours - theirs

    found = await asyncio.gather(*(difference(*pair) for pair in pairs))
    kept = [(each, item) for each, (item, _, _) in zip(found, pairs, strict=True) if not isinstance(each, EngineError)]
    left_out = tuple(str(each) for each in found if isinstance(each, EngineError))
    if not kept:
        raise FathomError(f"the model can read none of {len(pairs)} pairs; the first reason: {left_out[0]}")
    return Differences(
        np.stack([each for each, _ in kept]),
        tuple(item.prompt_text for _, item in kept),
        left_out,
        () if annotator is None else tuple(_annotator(item, annotator) for _, item in kept),
    )


def _annotator(item: Comparison, column: str) -> str:
    given = item.metadata.get(column)
    if given in (None, "") or isinstance(given, list | dict):
        columns = ", ".join(map(str, item.metadata)) or "none"
        raise FathomError(
            f"comparison {item.id!r}: the column {column!r} is {given!r}, expected the name of one annotator; the "
            f"columns are {columns}"
        )
    return str(given)


# Directions -----------------------------------------------------------------------------------------------------------


def direction(differences: Array, method: Method, decay: float = 0.0, annotators: Sequence[str] = ()) -> Array:
    """The direction (width,) of length 1 that separates pairs with these differences (pairs, width).

    `annotators`: who labelled each pair, for that method. Raises FathomError if all differences are 0 or cancel out.
    """
    if method == "annotators":
        found = joint(differences, annotators, decay).theta
    else:
        found = differences.mean(0) if method == "difference" else _logistic(differences, decay)
    length = np.linalg.norm(found)
    if not length > 0:
        raise FathomError(
            f"{len(differences)} pairs give no direction: the mean difference of their states is 0; expected pairs of "
            "different responses, the better ones with something in common"
        )
    return np.asarray(found / length)


def joint(differences: Array, annotators: Sequence[str], decay: float) -> rationality.Fitted:
    """The reward, and the rationality of each annotator, who prefers the first of two responses with these differences,
    (pairs, width)."""
    better = [True] * len(differences)
    return rationality.fit(_scaled(differences), annotators, better, ridge=decay * len(differences))


def _scaled(differences: Array) -> Array:
    return differences / max(float(np.linalg.norm(differences, axis=1).mean()), 1e-30)


def _logistic(differences: Array, decay: float) -> Array:
    """The weights of least regularized loss. They are in the span of the differences, so only n numbers are fitted."""
    from scipy.optimize import minimize

    scaled = _scaled(differences)
    left, sizes, basis = np.linalg.svd(scaled, full_matrices=False)
    inputs = left * sizes

    def loss(weights: Array) -> tuple[float, Array]:
        margins = inputs @ weights
        slopes = -1 / (1 + np.exp(np.clip(margins, -500, 500)))
        value = np.logaddexp(0, -margins).mean() + decay / 2 * weights @ weights
        return float(value), inputs.T @ slopes / len(inputs) + decay * weights

    fitted = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B")
    return np.asarray(fitted.x @ basis)


def choose(found: Differences, method: Method, *, seed: int) -> Choice:
    """The layer and the decay that separate left-out pairs best. All pairs of a prompt are in one fold.

    Raises FathomError for pairs of fewer than two prompts.
    """
    folds = list(_folds(found.groups, seed))
    choices = []
    for layer, decay in product(range(found.values.shape[1]), DECAYS[method]):
        margins = np.concatenate([_margins(found, layer, kept, out, method, decay) for kept, out in folds])
        choices.append(Choice(layer, decay, float(margins.mean() / max(float(margins.std()), 1e-30))))
    return max(choices, key=lambda choice: choice.separation)


def _margins(
    found: Differences, layer: int, kept: list[int], left_out: list[int], method: Method, decay: float
) -> Array:
    """The margins of left-out pairs, relative to those of the fitted pairs: each fold has a scale of its own."""
    fitted, values = found.take(kept), found.values[:, layer]
    axis = direction(fitted.values[:, layer], method, decay, fitted.annotators)
    scale = max(float(np.abs(values[kept] @ axis).mean()), 1e-30)
    return np.asarray(values[left_out] @ axis / scale)


def _folds(groups: Sequence[str], seed: int) -> Iterator[tuple[list[int], list[int]]]:
    names = sorted(set(groups))
    if len(names) < 2:
        raise FathomError("all pairs have one prompt, so no layer can be chosen; expected pairs of 2 or more prompts")
    random.Random(f"{seed}/folds").shuffle(names)
    count = min(FOLDS, len(names))
    fold = {name: place % count for place, name in enumerate(names)}
    for number in range(count):
        kept = [place for place, group in enumerate(groups) if fold[group] != number]
        yield kept, [place for place, group in enumerate(groups) if fold[group] == number]


def accuracy(differences: Array, found: Array) -> float:
    """The share of pairs (pairs, width) whose better response is further along a direction. A tie counts half."""
    margins = differences @ found
    return float((margins > 0).mean() + (margins == 0).mean() / 2)


def fitted(found: Differences, method: Method, *, seed: int) -> tuple[Array, Choice]:
    """The direction of the chosen layer, fitted to all pairs."""
    chosen = choose(found, method, seed=seed)
    return direction(found.values[:, chosen.layer], method, chosen.decay, found.annotators), chosen


# The few-shot curve ---------------------------------------------------------------------------------------------------


class Point(NamedTuple):
    """The test accuracies of directions that were fitted to `pairs` pairs each."""

    pairs: int
    accuracies: tuple[float, ...]
    layers: tuple[int, ...]
    """The place of the layer that each draw chose."""


def curve(
    train: Differences, test: Differences, sizes: Sequence[int], method: Method, *, draws: int, seed: int
) -> list[Point]:
    """Test accuracy against the number of pairs; each draw takes other training pairs, and chooses its own layer.

    Draws overlap, because they come from the same pairs. Raises FathomError for more pairs than there are.
    """
    count = len(train.values)
    if sizes and max(sizes) > count:
        raise FathomError(f"the curve needs {max(sizes)} pairs; there are {count}; lower --curve")
    points = []
    for size in sizes:
        results: list[tuple[float, int]] = []
        for draw in range(draws):
            places = random.Random(f"{seed}/{size}/{draw}").sample(range(count), size)
            found, chosen = fitted(train.take(places), method, seed=seed + draw)
            results.append((accuracy(test.values[:, chosen.layer], found), chosen.layer))
        points.append(Point(size, tuple(each for each, _ in results), tuple(layer for _, layer in results)))
    return points
