"""Domain weights by look-ahead (DreamPRM) against uniform weights, with domains of planted label noise.

Three domains of chains of arithmetic (`fathom.lab.chains`) differ only in the share of step labels that are replaced by
random ones. A small network learns from all three, with the loss of `fathom train process`, and a small trusted set
sets their weights (`fathom.train.look_ahead`). dreamprm.yaml states the claims.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, get_args

from fathom.lab import arms
from fathom.lab.chains import CONSTANTS, MODULUS, SIGNS, Problem, problems
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.first_errors import THRESHOLDS, f1
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json

Arm = Literal[
    "uniform",
    "look-ahead, mean of steps",
    "look-ahead, lowest step",
    "look-ahead, step labels",
    "look-ahead, step labels shuffled",
    "clean domain alone",
    "trusted set alone",
]
ARMS: tuple[Arm, ...] = get_args(Arm)
LOOKING: tuple[Arm, ...] = ARMS[1:5]
NOISE = (0.0, 0.4, 0.9)
"""The share of step labels of each domain that are replaced by random ones."""
RIGHT = 0.87
"""The share of right steps among the labelled ones, about that of the policy's solutions."""
DOMAINS = tuple(f"{share:.0%} random" for share in NOISE)
FEATURES = 2 * MODULUS + len(SIGNS) * len(CONSTANTS)


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int
    """Steps per solution."""
    solutions: int
    """Solutions of each domain."""
    trusted: int
    """Solutions of the trusted set."""
    held_out: int
    """Solutions that tune the threshold, and as many others that measure F1."""
    hidden: int
    """Units of the network's layer."""
    warm_up: int
    """Updates before the weights change."""
    updates: int
    """Updates of the network in every arm."""
    batch: int
    """Solutions per update of each domain, and of the trusted set."""
    learning_rate: float
    """Of Adam."""
    look_ahead: float
    """The step of the look-ahead."""
    weight_rate: float
    """The step of the weights."""


class Data(NamedTuple):
    """Solutions as tensors."""

    features: Any
    """(solutions, steps, features)"""
    labels: Any
    """(solutions, steps): 1 right, 0 wrong, -100 none."""
    right: Any
    """(solutions,): whether the answer is right."""
    errors: tuple[int | None, ...]
    """The first wrong step of each."""


# Data -----------------------------------------------------------------------------------------------------------------


def data(count: int, *, seed: int, steps: int, name: str, noise: float = 0.0) -> Data:
    """Solutions of the policy, one per problem, with labels up to the first wrong step, of which a share is random."""
    import torch

    rng = random.Random(f"dreamprm/{name}/{seed}")
    chains = problems(count, seed=seed, steps=steps, name=name)
    solved = [(chain, chain.sampled(rng)) for chain in chains]
    errors = tuple(chain.first_error(values) for chain, values in solved)
    return Data(
        torch.tensor([[features(chain, values, step) for step in range(steps)] for chain, values in solved]),
        torch.tensor([noisy(error, steps, noise, rng) for error in errors]),
        torch.tensor([float(chain.final(values) == chain.answer) for chain, values in solved]),
        errors,
    )


def features(problem: Problem, values: Sequence[int], step: int) -> list[float]:
    """The register's value before the step, the operation and the written value, each one-hot."""
    operation = problem.operations[step]
    before = problem.before(values, step)
    number = SIGNS.index(operation.sign) * len(CONSTANTS) + CONSTANTS.index(operation.constant)
    places = (before, MODULUS + values[step], 2 * MODULUS + number)
    return [float(place in places) for place in range(FEATURES)]


def noisy(error: int | None, steps: int, noise: float, rng: random.Random) -> list[float]:
    """The labels of a solution up to the first wrong step; a share of them is replaced by random ones.

    The random ones are right as often as all labels, so that noise does not show in how many steps are called right.
    """
    from fathom.train.process import NO_LABEL

    known = steps if error is None else error + 1
    labels = [float(rng.random() < RIGHT if rng.random() < noise else step != error) for step in range(known)]
    return [*labels, *[float(NO_LABEL)] * (steps - known)]


# Training -------------------------------------------------------------------------------------------------------------


class Trained(NamedTuple):
    network: Any
    weights: list[float]
    """Of the domains, the mean over the second half of the updates."""


def train(arm: Arm, domains: Sequence[Data], trusted: Data, settings: Settings, seed: int) -> Trained:
    """Train a network. All arms begin with the same weights, and draw the same batches."""
    import torch

    torch.manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Linear(FEATURES, settings.hidden), torch.nn.GELU(), torch.nn.Linear(settings.hidden, 2)
    )
    draw = torch.Generator().manual_seed(seed)
    if arm == "look-ahead, step labels shuffled":
        trusted = trusted._replace(labels=trusted.labels[torch.randperm(len(trusted.labels))])
    weights = torch.tensor([float(len(domains)), *[0.0] * (len(domains) - 1)])
    if arm != "clean domain alone":
        weights = torch.ones(len(domains))
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    kept = []
    for number in range(settings.updates):
        batches = [_batch(each, settings.batch, draw) for each in (*domains, trusted)]
        gradients = torch.stack([_gradient(step_loss(network, each), network) for each in batches[:-1]])
        if arm in LOOKING and number >= settings.warm_up:
            weights = looked_ahead(network, gradients, batches[-1], weights, settings, arm)
        update = weights @ gradients
        if arm == "trusted set alone":
            update = _gradient(trusted_loss(network, batches[-1], arm), network)
        _set_gradient(network, update / len(domains))
        optimizer.step()
        kept.append(weights)
    second_half = torch.stack(kept[len(kept) // 2 :])
    return Trained(network, second_half.mean(0).tolist())


def looked_ahead(network: Any, gradients: Any, trusted: Data, weights: Any, settings: Settings, arm: Arm) -> Any:
    """The weights after one step on the trusted set's loss at the parameters that these weights lead to."""
    from torch.nn.utils import parameters_to_vector, vector_to_parameters

    from fathom.train.look_ahead import updated, weight_gradient

    here = parameters_to_vector(network.parameters()).detach()
    vector_to_parameters(here - settings.look_ahead * (weights @ gradients), network.parameters())
    meta = _gradient(trusted_loss(network, trusted, arm), network)
    vector_to_parameters(here, network.parameters())
    return updated(weights, weight_gradient(gradients, meta, settings.look_ahead), settings.weight_rate)


def step_loss(network: Any, batch: Data) -> Any:
    """The loss of `fathom train process`."""
    from fathom.train.process import StepLoss

    loss: Any = StepLoss(None)(SimpleNamespace(logits=network(batch.features)), batch.labels)
    return loss


def trusted_loss(network: Any, batch: Data, arm: Arm) -> Any:
    """The loss of the trusted set: by its step labels, or by outcomes alone."""
    import torch

    from fathom.train.look_ahead import outcome_loss

    if arm not in ("look-ahead, mean of steps", "look-ahead, lowest step"):
        return step_loss(network, batch)
    log_odds = network(batch.features).diff(dim=-1).squeeze(-1)
    known = torch.ones_like(log_odds, dtype=torch.bool)
    return outcome_loss(log_odds, known, batch.right, "mean" if arm.endswith("mean of steps") else "min")


def _batch(of: Data, size: int, draw: Any) -> Data:
    import torch

    chosen = torch.randint(len(of.right), (size,), generator=draw)
    return Data(of.features[chosen], of.labels[chosen], of.right[chosen], ())


def _gradient(loss: Any, network: Any) -> Any:
    """The gradient as one vector."""
    import torch

    return torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(network.parameters()))])


def _set_gradient(network: Any, gradient: Any) -> None:
    begin = 0
    for place in network.parameters():
        place.grad = gradient[begin : begin + place.numel()].view_as(place)
        begin += place.numel()


# Measuring ------------------------------------------------------------------------------------------------------------


def scores(network: Any, of: Data) -> list[list[float]]:
    import torch

    with torch.no_grad():
        found: list[list[float]] = network(of.features).softmax(-1)[..., 1].tolist()
    return found


def measured_arm(trained: Trained, tuning: Data, test: Data) -> dict[str, Any]:
    tuned, given = (list(zip(scores(trained.network, of), of.errors, strict=True)) for of in (tuning, test))
    best = max(THRESHOLDS, key=lambda threshold: f1(tuned, threshold))
    return {
        "f1": f1(given, 0.5),
        "tuned": f1(given, best),
        "threshold": best,
        "weights": dict(zip(DOMAINS, trained.weights, strict=True)),
    }


# The experiment -------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    path = out / f"{part}.json"
    if path.exists():
        return
    arms.use_one_thread()

    def make(count: int, name: str, noise: float = 0.0) -> Data:
        return data(count, seed=seed, steps=settings.steps, name=name, noise=noise)

    domains = [make(settings.solutions, name, noise) for name, noise in zip(DOMAINS, NOISE, strict=True)]
    trusted = make(settings.trusted, "trusted")
    tuning, test = make(settings.held_out, "tune"), make(settings.held_out, "test")
    found = {arm: measured_arm(train(arm, domains, trusted, settings, seed), tuning, test) for arm in ARMS}
    write_json(path, found)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(json.loads((folder / "all.json").read_text(encoding="utf-8")))


def measured(found: Mapping[str, Mapping[str, Any]]) -> Measurement:
    """The contrasts of one seed. F1 is at the tuned threshold."""
    by_labels: Arm = "look-ahead, step labels"
    pairs: list[tuple[Arm, Arm]] = [(arm, "uniform") for arm in LOOKING]
    pairs += [(by_labels, "trusted set alone"), (by_labels, "look-ahead, step labels shuffled")]
    clean, *_, noisiest = DOMAINS
    return Measurement(
        contrasts={
            **{f"{one} - {other}": found[one]["tuned"] - found[other]["tuned"] for one, other in pairs},
            **{
                f"weight by {arm.removeprefix('look-ahead, ')}, {clean} - {noisiest}": found[arm]["weights"][clean]
                - found[arm]["weights"][noisiest]
                for arm in LOOKING
            },
        },
        figures=found,
    )


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"cells": {arm: found[arm] for arm in ARMS}, "domains": DOMAINS, "looking": LOOKING}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """F1 by arm."""
    panel = {str(arm): [found[arm]["tuned"].bar, found[arm]["f1"].bar] for arm in ARMS}
    grouped_bars({"F1": panel}, ("at the tuned threshold", "at one half"), folder / "dreamprm")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("all",),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
