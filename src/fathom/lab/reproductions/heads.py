"""Reward heads of many kinds on the same states of real pairs, with clean and wrong labels, and on synthetic data.

The claims are those of CRM, BNRM, AVA-p, heterogeneous annotators and heads per objective; heads.yaml states them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.engines import smollm2
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.lengths import by_length, half_for_tie
from fathom.lab.real_pairs import fold_of
from fathom.lab.reproductions import bnrm, scalar
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json

HEADS: Mapping[str, str] = {"bt": "BT", "ensemble": "ensemble of BT", "bnrm": "BNRM", "avril": "AVA-p"}
TWO: Mapping[str, str] = {"two": "two independent", "self": "self-selected", "crm": "CRM"}
"""Two heads, by who selects their pairs; the mean of both rewards counts."""
SELECT = {"two": "all", "self": "self", "crm": "peer"}
LABELS = ("clean", "symmetric", "asymmetric")


@dataclass(frozen=True, kw_only=True)
class Settings:
    longest: int
    layer: int
    splits: int
    share: float
    """The share of the pairs outside the fold on which a split trains."""
    wrong: float
    steps: int
    learning_rate: float
    decay: float
    kl: float
    members: int
    replications: int
    labels: int
    annotators: int
    jitter: float
    texts: int
    tokens: int
    td: float
    objective_pairs: int
    digest: str
    model: str = "smollm2"


# Running --------------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Compute the frozen model's states of all real pairs, once for all seeds of a run."""
    bnrm.compute_states(seed, folder, settings.model, settings.layer, settings.longest, settings.digest)


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    from fathom.lab import synthetic_claims

    use_one_thread()
    if part == "real":
        found: dict[str, Any] = real(seed, settings, folder.parent / "states" / "hh")
    else:
        found = {
            "annotators": synthetic_claims.annotators(seed, settings),
            "tokens": synthetic_claims.tokens(seed, settings),
            "objectives": synthetic_claims.objectives(seed, settings),
        }
    write_json(folder / f"{part}.json", found)


def real(seed: int, settings: Settings, folder: Path) -> dict[str, Any]:
    """Accuracy by labels and head, with clean labels also by length, and the precision of the kept pairs; means over
    splits."""
    import torch

    from fathom.lab import frozen
    from fathom.lab.pair_heads import Budget, fit, margins

    pairs = scalar.hh_pairs(settings.longest)
    states = frozen.better_first(frozen.load(folder, len(pairs)), pairs)[:, :, 0]
    test = [place for place, pair in enumerate(pairs) if scalar.fold_of_opening(pair) == fold_of(seed)]
    left = sorted(set(range(len(pairs))) - set(test))
    tested, found = states[torch.tensor(test)], []
    ratios = [scalar.longer(pairs[place]) for place in test]
    for split in range(settings.splits):
        places = random.Random(f"{seed}/{split}").sample(left, round(settings.share * len(left)))
        longer = [scalar.longer(pairs[place]) > 1 for place in places]
        of_split: dict[str, dict[str, float]] = {"precision": {}}
        for labels in LABELS:
            wrong = flipped(longer, labels, settings.wrong, random.Random(f"{seed}/{split}/{labels}"))
            train = torch.where(wrong[:, None, None], (given := states[torch.tensor(places)]).flip(1), given)
            rewards = {name: fit(name, train, Budget.of(settings), seed=seed) for name in HEADS}
            for name in TWO:
                rewards[name], kept = _two(name, train, wrong, settings, seed)
                of_split["precision"][f"{labels} {name}"] = kept
            rights = {
                name: [half_for_tie(margin) for margin in margins(each, tested).tolist()]
                for name, each in rewards.items()
            }
            of_split[labels] = {name: fmean(right) for name, right in rights.items()}
            if labels == "clean":
                overlaps = scalar.overlapping([pairs[place] for place in places], [pairs[place] for place in test])
                for name, right in rights.items():
                    of_head = by_length(zip(ratios, right, strict=True)) | {"new": bnrm.without(overlaps, right)}
                    of_split |= {f"{name} by length": of_head}
        found.append(of_split)
    return {key: {name: fmean(each[key][name] for each in found) for name in found[0][key]} for key in found[0]} | {
        "pairs": {"train": float(len(places)), "test": float(len(test))},
        "precision of states": {"bfloat16": float(scalar.precision(folder.parent) == "bfloat16")},
    }


def flipped(longer: Sequence[bool], labels: str, share: float, draw: random.Random) -> Any:
    """Which pairs get a wrong label, a tensor (n,): none, some, or some of those whose better response is longer."""
    import torch

    among = [place for place, is_longer in enumerate(longer) if labels == "symmetric" or is_longer]
    count = 0 if labels == "clean" else min(len(among), round(share * len(longer)))
    wrong = torch.zeros(len(longer), dtype=torch.bool)
    wrong[torch.tensor(draw.sample(among, count), dtype=torch.long)] = True
    return wrong


def _two(name: str, train: Any, wrong: Any, settings: Settings, seed: int) -> tuple[Any, float]:
    """The mean of two heads, and the precision of the pairs that they kept in the last epoch."""
    import torch

    from fathom.lab.pair_heads import Budget, collaborating

    middle, scale = train.mean((0, 1)), train.std((0, 1)) + 1e-6
    torch.manual_seed(seed)
    share = float(wrong.float().mean())
    rewards, log = collaborating(
        (train - middle) / scale, Budget.of(settings), seed, noise=share, select=SELECT[name], curriculum=name == "crm"
    )
    return lambda states: rewards((states - middle) / scale), fmean(log[-1].precision(wrong))


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    real, claims = (json.loads((folder / f"{part}.json").read_text("utf-8")) for part in ("real", "claims"))
    return measured(real, claims)


def measured(real: Mapping[str, Mapping[str, float]], claims: Mapping[str, Mapping[str, float]]) -> Measurement:
    """A pure function of what the parts of a seed wrote."""
    clean, symmetric, asymmetric = (real[labels] for labels in LABELS)
    annotators, tokens, objectives = claims["annotators"], claims["tokens"], claims["objectives"]
    return Measurement(
        contrasts={
            "BNRM - BT, clean": clean["bnrm"] - clean["bt"],
            "AVA-p - BT, clean": clean["avril"] - clean["bt"],
            "ensemble - BT, clean": clean["ensemble"] - clean["bt"],
            "CRM - BT, symmetric": symmetric["crm"] - symmetric["bt"],
            "CRM - BT, asymmetric": asymmetric["crm"] - asymmetric["bt"],
            "CRM - two independent, symmetric": symmetric["crm"] - symmetric["two"],
            "CRM - self-selected, symmetric": symmetric["crm"] - symmetric["self"],
            "cosine with the true reward, joint - homogeneous": annotators["joint"] - annotators["homogeneous"],
            "coverage - 0.9": annotators["coverage"] - 0.9,
            "AUC of the bad token - 0.5": tokens["with"] - 0.5,
            "AUC of the bad token, with - without Bellman differences": tokens["with"] - tokens["without"],
            "head per objective - one head": objectives["each"] - objectives["one"],
        },
        figures={
            "accuracy": {labels: real[labels] for labels in LABELS},
            "by_length": {name: real[f"{name} by length"] for name in (*HEADS, *TWO)},
            "bfloat16": real["precision of states"]["bfloat16"],
            "precision": real["precision"],
            "pairs": real["pairs"],
            **claims,
        },
    )


# The page -------------------------------------------------------------------------------------------------------------


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"heads": {**HEADS, **TWO}, "two_heads": TWO, "labels": LABELS}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy by head, for each kind of labels."""
    bars = {
        words: [found["accuracy"][labels][name].bar for labels in LABELS] for name, words in {**HEADS, **TWO}.items()
    }
    grouped_bars({"accuracy on HH-RLHF": bars}, [f"{labels} labels" for labels in LABELS], folder / "heads")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("real", "claims"),
    prepare=prepare,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=lambda: {"wheel": smollm2.WHEEL_VERSION},
)
