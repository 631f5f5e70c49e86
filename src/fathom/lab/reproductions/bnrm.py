"""Non-negative factors against a shortcut by length, in a synthetic world and on hidden states of real pairs.

The claims are those of BNRM (arXiv 2602.10623) about shortcuts and best-of-n; heads with an L1 penalty or dropout are
our controls, because a sparse head or noise in training may be all that is needed. bnrm.yaml states the claims.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.data.records import Comparison
from fathom.engines import smollm2
from fathom.engines.checkpoints import resolve
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.lengths import by_length, half_for_tie
from fathom.lab.real_pairs import check_digest, fold_of
from fathom.lab.reproductions import scalar
from fathom.metrics.overlap import WORDS
from fathom.report.figures import lines
from fathom.results.provenance import write_json

HEADS: Mapping[str, str] = {
    "bt": "BT",
    "l1": "BT with L1",
    "dropout": "BT with dropout",
    "ensemble": "ensemble of BT",
    "bnrm": "BNRM",
    "bnrm without divergence": "BNRM without divergence",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    sizes: Sequence[int]
    """Training pairs of the synthetic world."""
    wrong: Sequence[float]
    """Shares of wrong labels."""
    aligned: float
    """The share of training pairs whose better response is longer: by the gold reward in the synthetic world, and by
    the label on real pairs."""
    main_size: int
    main_wrong: float
    test: int
    candidates: Sequence[int]
    """Responses of best-of-n, in ascending order."""
    prompts: int
    steps: Sequence[int]
    """Numbers of steps among which each head's is chosen by validation loss."""
    learning_rate: float
    real_learning_rate: float
    decay: float
    kl: float
    l1: float
    dropout: float
    factors: int
    members: int
    longest: int
    """Characters of a real conversation with a response."""
    layers: Sequence[int]
    """The layers whose states are kept: those of `scalar`, so that its folder of states can be used here."""
    layer: int
    real_pairs: int
    digest: str
    """The digest of all pairs of HH-RLHF (`real_pairs.digest_of`)."""
    model: str = "smollm2"


# Running --------------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Compute the frozen model's states of all real pairs, once for all seeds of a run."""
    compute_states(seed, folder, settings.model, settings.layers, settings.longest, settings.digest)


def compute_states(seed: int, folder: Path, model: str, layers: Sequence[int], longest: int, digest: str) -> None:
    """Write the states of HH-RLHF's pairs to a folder beside that of the seed, unless they are there already."""
    from fathom.lab import frozen

    use_one_thread()
    check_digest(scalar.HH, scalar.all_hh(), digest)
    shared = folder.parent / "states"
    engine = LocalEngine(resolve(model), device="cpu", dtype=scalar.precision(shared))
    frozen.compute(scalar.hh_pairs(longest), engine, layers, shared / "hh", backwards=bool(seed % 2))


def load_states(folder: Path, pairs: Sequence[Comparison], layers: Sequence[int], layer: int) -> Any:
    """The states of one layer, (pairs, 2, width), the better response first.

    Raises FathomError if the folder has the states of other layers or of other pairs.
    """
    from fathom.lab import frozen

    states = frozen.load(folder, len(pairs))
    if (stored := (len(states), states.shape[2])) != (len(pairs), len(layers)):
        raise FathomError(
            f"{folder} has the states of {stored[0]} pairs after {stored[1]} layers; expected {len(pairs)} pairs and "
            f"the layers {list(layers)}: remove the folder, so that they are computed again"
        )
    return frozen.better_first(states, pairs)[:, :, list(layers).index(layer)]


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    use_one_thread()
    found = synthetic(seed, settings) if part == "synthetic" else real(seed, settings, folder.parent / "states" / "hh")
    write_json(folder / f"{part}.json", found)


def synthetic(seed: int, settings: Settings) -> dict[str, Any]:
    """Accuracy and chosen steps by training set, and the rewards of the best of n."""
    from fathom.lab.pair_heads import Budget, accuracy, chosen
    from fathom.lab.shortcut import World

    world = World(seed)
    test = world.pairs(settings.test, aligned=0.5)
    states, gold = world.responses(settings.prompts, settings.candidates[-1])
    found: dict[str, dict[str, dict[str, float]]] = {
        each: {name: {} for name in HEADS} for each in ("accuracy", "steps", "gold")
    }
    for cell, (size, wrong, aligned) in training_sets(settings).items():
        pairs = world.pairs(size, aligned=aligned, wrong=wrong)
        for name in HEADS:
            # No two synthetic pairs belong together, so each is a group.
            rewards, steps = chosen(
                name, pairs, [str(place) for place in range(size)], Budget.of(settings), settings.steps, seed=seed
            )
            found["accuracy"][name][cell] = accuracy(rewards, test)
            found["steps"][name][cell] = steps
            if cell == main_set(settings):
                found["gold"][name] = {str(n): _best(rewards(states[:, :n]), gold[:, :n]) for n in settings.candidates}
    found["gold"]["ideal"] = {str(n): float(gold[:, :n].amax(1).mean()) for n in settings.candidates}
    return found


def training_sets(settings: Settings) -> dict[str, tuple[int, float, float]]:
    """By name: the number of pairs, the share of wrong labels, and the share whose better response is longer."""
    with_shortcut = {
        _named(size, wrong): (size, wrong, settings.aligned) for wrong in settings.wrong for size in settings.sizes
    }
    return with_shortcut | {without_shortcut(settings): (settings.main_size, settings.main_wrong, 0.5)}


def _named(size: int, wrong: float) -> str:
    return f"{size} pairs, {wrong:.0%} wrong"


def main_set(settings: Settings) -> str:
    return _named(settings.main_size, settings.main_wrong)


def without_shortcut(settings: Settings) -> str:
    return f"{main_set(settings)}, no shortcut"


def _best(proxy: Any, gold: Any) -> float:
    """The mean gold reward of the responses with the highest proxy reward, both (prompts, n)."""
    return float(gold.gather(1, proxy.argmax(1, keepdim=True)).mean())


def real(seed: int, settings: Settings, folder: Path) -> dict[str, Any]:
    """Accuracy by the lengths of the responses on the pairs of the seed's fold, and the chosen steps."""
    import torch

    from fathom.lab.pair_heads import Budget, chosen, margins

    pairs = scalar.hh_pairs(settings.longest)
    states = load_states(folder, pairs, settings.layers, settings.layer)
    test = [place for place, pair in enumerate(pairs) if scalar.fold_of_opening(pair) == fold_of(seed)]
    train = aligned(pairs, set(test), settings, seed)
    groups = [scalar.opening(pairs[place]) for place in train]
    budget = replace(Budget.of(settings), learning_rate=settings.real_learning_rate)
    found: dict[str, Any] = {"pairs": {"train": len(train), "test": len(test)}, "steps": {}}
    found["bfloat16"] = scalar.precision(folder.parent) == "bfloat16"
    ratios = [scalar.longer(pairs[place]) for place in test]
    overlaps = scalar.overlapping([pairs[place] for place in train], [pairs[place] for place in test])
    for name in HEADS:
        rewards, steps = chosen(name, states[torch.tensor(train)], groups, budget, settings.steps, seed=seed)
        right = [half_for_tie(margin) for margin in margins(rewards, states[torch.tensor(test)]).tolist()]
        found[name] = by_length(zip(ratios, right, strict=True)) | {"new": without(overlaps, right)}
        found["steps"][name] = steps
    return found


def without(overlaps: Sequence[bool], right: Sequence[float]) -> float:
    """The accuracy on pairs that do not overlap with training; one half if all do."""
    new = [of_pair for overlap, of_pair in zip(overlaps, right, strict=True) if not overlap]
    return fmean(new) if new else 0.5


def aligned(pairs: Sequence[Comparison], without: set[int], settings: Settings, seed: int) -> list[int]:
    """Training pairs of which the registered share has a longer better response; fewer of both if one runs out."""
    import random

    left = [place for place in range(len(pairs)) if place not in without]
    random.Random(f"{seed}/aligned").shuffle(left)
    longer = [place for place in left if scalar.longer(pairs[place]) > 1]
    shorter = [place for place in left if scalar.longer(pairs[place]) < 1]
    share = settings.aligned
    count = int(min(settings.real_pairs, len(longer) / share, len(shorter) / (1 - share) if share < 1 else 1e9))
    return longer[: round(count * share)] + shorter[: round(count * (1 - share))]


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    synthetic, real = (json.loads((folder / f"{part}.json").read_text("utf-8")) for part in ("synthetic", "real"))
    return measured(synthetic, real, settings)


def measured(synthetic: Mapping[str, Any], real: Mapping[str, Any], settings: Settings) -> Measurement:
    """A pure function of what the parts of a seed wrote."""
    accuracy = {name: synthetic["accuracy"][name][main_set(settings)] for name in HEADS}
    plain = {name: synthetic["accuracy"][name][without_shortcut(settings)] for name in HEADS}
    gold = {name: synthetic["gold"][name][str(settings.candidates[-1])] for name in HEADS}
    return Measurement(
        contrasts={
            "BNRM - BT, synthetic test": accuracy["bnrm"] - accuracy["bt"],
            "BNRM - ensemble, synthetic test": accuracy["bnrm"] - accuracy["ensemble"],
            "BNRM - BT with L1, synthetic test": accuracy["bnrm"] - accuracy["l1"],
            "BNRM - BT, trained with - without the shortcut": (accuracy["bnrm"] - accuracy["bt"])
            - (plain["bnrm"] - plain["bt"]),
            "BNRM - BT, gold reward of the best of 256": gold["bnrm"] - gold["bt"],
            "BNRM - BT, HH-RLHF, both directions of length": real["bnrm"]["balanced"] - real["bt"]["balanced"],
        },
        figures={
            "accuracy": synthetic["accuracy"],
            "gold": synthetic["gold"],
            "real": {name: real[name] for name in HEADS},
            "steps": {
                name: {
                    "synthetic": float(synthetic["steps"][name][main_set(settings)]),
                    "real": float(real["steps"][name]),
                }
                for name in HEADS
            },
            "pairs": {name: float(count) for name, count in real["pairs"].items()},
            "bfloat16": float(real["bfloat16"]),
        },
    )


# The page -------------------------------------------------------------------------------------------------------------


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "heads": HEADS,
        "words": WORDS,
        "columns": list(next(iter(found["accuracy"].values()))),
        "main": main_set(EXPERIMENT.settings),
        "no_shortcut": without_shortcut(EXPERIMENT.settings),
        "candidates": list(found["gold"]["ideal"]),
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Gold reward against the number of candidates."""
    names = {**HEADS, "ideal": "highest gold reward"}
    curves = {
        words: [(float(n), value.bar) for n, value in found["gold"][name].items()] for name, words in names.items()
    }
    lines({"best of n": curves}, folder / "bnrm", across="candidates", up="gold reward of the chosen response")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("synthetic", "real"),
    prepare=prepare,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=lambda: {"wheel": smollm2.WHEEL_VERSION},
)
