"""The endogenous reward of a language model in a token world whose true reward is known.

The claims are those of EndoRM (arXiv 2506.23235), and ours that rewards of single tokens are not identified;
endogenous.yaml states them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fathom.engines import Likelihood
from fathom.engines.usage import NO_USAGE
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.report.figures import lines
from fathom.results.provenance import write_json
from fathom.rewards.endogenous import token_rewards

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Settings:
    tokens: int
    horizons: Sequence[int]
    main_horizon: int
    samples: Sequence[int]
    """Numbers of texts on which a model is trained, in ascending order."""
    alpha: float
    hidden: int
    steps: int
    learning_rate: float
    pairs: int


# The world ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """`rewards[h, s, a]`: the reward of token a at place h after token s; at place 0, s is 0."""

    rewards: Floats
    alpha: float

    def values(self) -> tuple[Floats, Floats]:
        """Q, of the shape of `rewards`, and V, (horizon + 1, tokens), of the entropy-regularized optimum."""
        horizon, tokens, _ = self.rewards.shape
        q, v = np.zeros_like(self.rewards), np.zeros((horizon + 1, tokens))
        for h in reversed(range(horizon)):
            q[h] = self.rewards[h] + v[h + 1]  # the token is the next state
            v[h] = self.alpha * np.logaddexp.reduce(q[h] / self.alpha, axis=-1)
        return q, v

    def returns(self, texts: Ints) -> Floats:
        """The true return of each text, (n, horizon)."""
        found: Floats = gathered(self.rewards, texts).sum(1)
        return found


def gathered(table: Floats, texts: Ints) -> Floats:
    """The entry of each token of each text, (n, horizon), in a table (horizon, state, token)."""
    before = np.hstack([np.zeros((len(texts), 1), dtype=np.intp), texts[:, :-1]])
    return table[np.arange(texts.shape[1]), before, texts]


def sampled(log_policy: Floats, count: int, rng: np.random.Generator) -> Ints:
    """Texts of a policy, (count, horizon), from log-probabilities (horizon, state, token)."""
    horizon = len(log_policy)
    texts = np.zeros((count, horizon), dtype=np.intp)
    state = np.zeros(count, dtype=np.intp)
    for h in range(horizon):
        cumulative = np.exp(log_policy[h, state]).cumsum(1)
        texts[:, h] = state = (rng.random((count, 1)) > cumulative[:, :-1]).sum(1)
    return texts


def best(table: Floats) -> Ints:
    """The text, (1, horizon), with the highest sum of a table's entries."""
    horizon, tokens, _ = table.shape
    value = np.zeros(tokens)
    choices = []
    for h in reversed(range(horizon)):
        total = table[h] + value
        choices.append(total.argmax(1))
        value = total.max(1)
    text, state = [], 0
    for choice in reversed(choices):
        state = int(choice[state])
        text.append(state)
    return np.array([text])


def learned(texts: Ints, tokens: int, settings: Settings, seed: int) -> Floats:
    """The logits of a network of two layers that was trained on texts, (horizon, state, token)."""
    import torch

    horizon = texts.shape[1]
    counts = np.zeros((horizon, tokens, tokens))
    before = np.hstack([np.zeros((len(texts), 1), dtype=np.intp), texts[:, :-1]])
    np.add.at(counts, (np.broadcast_to(np.arange(horizon), texts.shape), before, texts), 1)
    weights = torch.tensor(counts / len(texts)).view(-1, tokens)
    torch.manual_seed(seed)
    states = torch.eye(horizon * tokens, dtype=torch.float64)
    network = torch.nn.Sequential(
        torch.nn.Linear(horizon * tokens, settings.hidden), torch.nn.Tanh(), torch.nn.Linear(settings.hidden, tokens)
    ).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        (-(weights * network(states).log_softmax(-1)).sum()).backward()
        optimizer.step()
    with torch.no_grad():
        found: Floats = network(states).view(horizon, tokens, tokens).numpy()
    return found


# Endogenous rewards ---------------------------------------------------------------------------------------------------


def endogenous(logits: Floats, texts: Ints, alpha: float) -> Floats:
    """The endogenous reward of each token of each text, (n, horizon), as the judge `endogenous` computes it."""
    soft = np.logaddexp.reduce(logits, axis=-1)
    logprobs = gathered(logits - soft[..., None], texts)
    before = np.hstack([np.zeros((len(texts), 1), dtype=np.intp), texts[:, :-1]])
    values = np.hstack([soft[np.arange(texts.shape[1]), before], np.zeros((len(texts), 1))])
    return np.array(
        [
            token_rewards(Likelihood(("",) * len(row), tuple(row), tuple(value), NO_USAGE), alpha=alpha)
            for row, value in zip(logprobs.tolist(), values.tolist(), strict=True)
        ]
    )


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    use_one_thread()
    write_json(folder / f"{part}.json", {str(horizon): study(seed, horizon, settings) for horizon in settings.horizons})


def study(seed: int, horizon: int, settings: Settings) -> dict[str, Any]:
    rng = np.random.default_rng([seed, horizon])
    world = World(rng.normal(size=(horizon, settings.tokens, settings.tokens)), settings.alpha)
    q, v = world.values()
    teacher = (q - v[:-1, :, None]) / settings.alpha
    texts = rng.integers(settings.tokens, size=(2 * settings.pairs, horizon))
    exact = endogenous(q / settings.alpha, texts, settings.alpha)
    models = {
        str(count): _model(world, teacher, sampled(teacher, count, rng), texts, settings, seed, rng)
        for count in settings.samples
    }
    return {
        "error": float(np.abs(exact - gathered(world.rewards, texts)).max()),
        "teacher": float(world.returns(sampled(teacher, 4000, rng)).mean()),
        "optimum": float(world.returns(best(world.rewards))[0]),
        "models": models,
    }


def _model(
    world: World, teacher: Floats, data: Ints, texts: Ints, settings: Settings, seed: int, rng: np.random.Generator
) -> dict[str, float]:
    """What the endogenous reward of a model trained on `data` says of `texts`, and what optimizing it gives."""
    logits = learned(data, settings.tokens, settings, seed)
    policy = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    tokens = endogenous(logits, texts, settings.alpha)
    true = world.returns(texts)
    differences = [each.reshape(-1, 2) @ [1, -1] for each in (true, tokens.sum(1))]
    first, second = (1 / (1 + np.exp(-each)) for each in differences)
    reached = np.abs(policy - teacher)
    reached[0, 1:] = 0  # before the first token there is one state only
    return {
        "agreement": float((np.sign(differences[0]) == np.sign(differences[1])).mean()),
        "distance": float(np.abs(first - second).mean()),
        "bound": float(settings.alpha * len(policy) / 2 * reached.max()),
        "sums": float(np.corrcoef(true, tokens.sum(1))[0, 1]),
        "tokens": float(np.corrcoef(gathered(world.rewards, texts).ravel(), tokens.ravel())[0, 1]),
        "imitated": float(world.returns(sampled(policy, 4000, rng)).mean()),
        "optimized": float(world.returns(best(policy))[0]),
    }


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(json.loads((folder / "world.json").read_text("utf-8")), settings)


def measured(found: Mapping[str, Any], settings: Settings) -> Measurement:
    """A pure function of what a seed wrote."""
    main = found[str(settings.main_horizon)]
    few, many = (main["models"][str(count)] for count in (settings.samples[0], settings.samples[-1]))
    return Measurement(
        contrasts={
            "-log10 of the largest error - 5": -log10(max(1e-16, *(each["error"] for each in found.values()))) - 5,
            "bound - distance": many["bound"] - many["distance"],
            "agreement, 100,000 - 1,000 texts": many["agreement"] - few["agreement"],
            "true return, optimized - imitated": many["optimized"] - many["imitated"],
            "correlation, of sums - of tokens": many["sums"] - many["tokens"],
        },
        figures={"horizons": {horizon: {"of": each["models"], **_ends(each)} for horizon, each in found.items()}},
    )


def _ends(each: Mapping[str, float]) -> dict[str, float]:
    return {"teacher": each["teacher"], "optimum": each["optimum"]}


# The page -------------------------------------------------------------------------------------------------------------


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Agreement of preferences against the number of texts."""
    curves = {
        f"{horizon} tokens": [(float(count), model["agreement"].bar) for count, model in each["of"].items()]
        for horizon, each in found["horizons"].items()
    }
    lines({"agreement of preferences": curves}, folder / "endogenous", across="training texts", up="agreement")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("world",),
    run=run,
    measure=measure,
    figures=figures,
)
