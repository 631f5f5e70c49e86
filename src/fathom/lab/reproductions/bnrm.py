"""Non-negative factors against a shortcut by length, in a synthetic world and on hidden states of real pairs.

The claims are those of BNRM (arXiv 2602.10623) about shortcuts and best-of-n; a head with an L1 penalty is our control,
because a sparse head may be all that is needed. bnrm.yaml states them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.data.records import Comparison
from fathom.engines import smollm2
from fathom.engines.checkpoints import resolve
from fathom.engines.local import LocalEngine
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.lengths import by_length, half_for_tie
from fathom.lab.real_pairs import check_digest, fold_of
from fathom.lab.reproductions import scalar
from fathom.report.figures import lines
from fathom.results.provenance import write_json

HEADS: Mapping[str, str] = {
    "bt": "BT",
    "l1": "BT with L1",
    "ensemble": "ensemble of BT",
    "bnrm": "BNRM",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    sizes: Sequence[int]
    """Training pairs of the synthetic world."""
    wrong: Sequence[float]
    """Shares of wrong labels."""
    aligned: float
    """The share of training pairs whose better response is longer."""
    main_size: int
    main_wrong: float
    test: int
    candidates: Sequence[int]
    """Responses of best-of-n, in ascending order."""
    prompts: int
    steps: int
    learning_rate: float
    decay: float
    kl: float
    l1: float
    members: int
    longest: int
    """Characters of a real conversation with a response."""
    layer: int
    real_pairs: int
    digest: str
    """The digest of all pairs of HH-RLHF (`real_pairs.digest_of`)."""
    model: str = "smollm2"


# Running --------------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Compute the frozen model's states of all real pairs, once for all seeds of a run."""
    compute_states(seed, folder, settings.model, settings.layer, settings.longest, settings.digest)


def compute_states(seed: int, folder: Path, model: str, layer: int, longest: int, digest: str) -> None:
    """Write the states of HH-RLHF's pairs to a folder beside that of the seed."""
    from fathom.lab import frozen

    use_one_thread()
    check_digest(scalar.HH, scalar.all_hh(), digest)
    shared = folder.parent / "states"
    engine = LocalEngine(resolve(model), device="cpu", dtype=scalar.precision(shared))
    frozen.compute(scalar.hh_pairs(longest), engine, (layer,), shared / "hh", backwards=bool(seed % 2))


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    use_one_thread()
    found = synthetic(seed, settings) if part == "synthetic" else real(seed, settings, folder.parent / "states" / "hh")
    write_json(folder / f"{part}.json", found)


def synthetic(seed: int, settings: Settings) -> dict[str, Any]:
    """Accuracy by number of pairs and share of wrong labels, and the rewards of the best of n."""
    from fathom.lab.pair_heads import Budget, accuracy, fit
    from fathom.lab.shortcut import World

    world = World(seed)
    test = world.pairs(settings.test, aligned=0.5)
    states, gold = world.responses(settings.prompts, settings.candidates[-1])
    by_size: dict[str, dict[str, float]] = {name: {} for name in HEADS}
    chosen: dict[str, dict[str, float]] = {}
    for wrong in settings.wrong:
        for size in settings.sizes:
            pairs = world.pairs(size, aligned=settings.aligned, wrong=wrong)
            for name in HEADS:
                rewards = fit(name, pairs, Budget.of(settings), seed=seed)
                by_size[name][f"{size}/{wrong}"] = accuracy(rewards, test)
                if (size, wrong) == (settings.main_size, settings.main_wrong):
                    chosen[name] = {str(n): _best(rewards(states[:, :n]), gold[:, :n]) for n in settings.candidates}
    ideal = {str(n): float(gold[:, :n].amax(1).mean()) for n in settings.candidates}
    return {"accuracy": by_size, "gold": chosen | {"ideal": ideal}}


def _best(proxy: Any, gold: Any) -> float:
    """The mean gold reward of the responses with the highest proxy reward, both (prompts, n)."""
    return float(gold.gather(1, proxy.argmax(1, keepdim=True)).mean())


def real(seed: int, settings: Settings, folder: Path) -> dict[str, Any]:
    """Accuracy by the lengths of the responses on the pairs of the seed's fold."""
    import torch

    from fathom.lab import frozen
    from fathom.lab.pair_heads import Budget, fit, margins

    pairs = scalar.hh_pairs(settings.longest)
    states = frozen.better_first(frozen.load(folder, len(pairs)), pairs)[:, :, 0]
    test = [place for place, pair in enumerate(pairs) if scalar.fold_of_opening(pair) == fold_of(seed)]
    train = aligned(pairs, set(test), settings, seed)
    found: dict[str, Any] = {"pairs": {"train": len(train), "test": len(test)}}
    found["bfloat16"] = scalar.precision(folder.parent) == "bfloat16"
    ratios = [scalar.longer(pairs[place]) for place in test]
    overlaps = scalar.overlapping([pairs[place] for place in train], [pairs[place] for place in test])
    for name in HEADS:
        rewards = fit(name, states[torch.tensor(train)], Budget.of(settings), seed=seed)
        right = [half_for_tie(margin) for margin in margins(rewards, states[torch.tensor(test)]).tolist()]
        found[name] = by_length(zip(ratios, right, strict=True)) | {"new": without(overlaps, right)}
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
    main = f"{settings.main_size}/{settings.main_wrong}"
    accuracy = {name: synthetic["accuracy"][name][main] for name in HEADS}
    gold = {name: synthetic["gold"][name][str(settings.candidates[-1])] for name in HEADS}
    return Measurement(
        contrasts={
            "BNRM - BT, synthetic test": accuracy["bnrm"] - accuracy["bt"],
            "BNRM - ensemble, synthetic test": accuracy["bnrm"] - accuracy["ensemble"],
            "BNRM - BT with L1, synthetic test": accuracy["bnrm"] - accuracy["l1"],
            "BNRM - BT, gold reward of the best of 256": gold["bnrm"] - gold["bt"],
            "BNRM - BT, HH-RLHF, both directions of length": real["bnrm"]["balanced"] - real["bt"]["balanced"],
        },
        figures={
            "accuracy": synthetic["accuracy"],
            "gold": synthetic["gold"],
            "real": {name: real[name] for name in HEADS},
            "pairs": {name: float(count) for name, count in real["pairs"].items()},
            "bfloat16": float(real["bfloat16"]),
        },
    )


# The page -------------------------------------------------------------------------------------------------------------


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    cells = list(next(iter(found["accuracy"].values())))
    return {
        "heads": HEADS,
        "cells": cells,
        "columns": [f"{size} pairs, {float(wrong):.0%} wrong" for size, wrong in (cell.split("/") for cell in cells)],
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
