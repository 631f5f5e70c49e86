"""Reward heads of many kinds on the same states of real pairs, with clean and wrong labels, and on synthetic data.

The claims are those of CRM, BNRM, AVA-p, heterogeneous annotators and heads per objective; heads.yaml states them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from fathom.metrics.overlap import WORDS
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json

HEADS: Mapping[str, str] = {
    "bt": "BT",
    "linear": "linear BT",
    "ensemble": "ensemble of BT",
    "bnrm": "BNRM",
    "avril": "AVA-p",
}
TWO: Mapping[str, str] = {
    "two": "two independent",
    "self": "self-selected",
    "peer": "CRM without curriculum",
    "crm": "CRM",
}
"""Two heads, by who selects their pairs; the mean of both rewards counts."""
SELECT = {"two": "all", "self": "self", "peer": "peer", "crm": "peer"}
LABELS = ("clean", "symmetric", "asymmetric")


@dataclass(frozen=True, kw_only=True)
class Settings:
    longest: int
    layers: Sequence[int]
    """The layers whose states are kept: those of `scalar`, so that its folder of states can be used here."""
    layer: int
    splits: int
    share: float
    """The share of the pairs outside the fold on which a split trains."""
    wrong: Mapping[str, float]
    """The share of the training labels that are made wrong, by kind of labels."""
    steps: Sequence[int]
    """Numbers of steps among which each head's is chosen by validation loss."""
    two_steps: Sequence[int]
    """The same for two heads: one number for all of `TWO`."""
    batch: int
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
    token_steps: int
    token_learning_rate: float
    objective_pairs: int
    objective_learning_rate: float
    digest: str
    model: str = "smollm2"


# Running --------------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Compute the frozen model's states of all real pairs, once for all seeds of a run."""
    bnrm.compute_states(seed, folder, settings.model, settings.layers, settings.longest, settings.digest)


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
    """Accuracy and chosen steps by labels and head, with clean labels also accuracy by length, and the precision of the
    kept pairs; means over splits."""
    import torch

    pairs = scalar.hh_pairs(settings.longest)
    states = bnrm.load_states(folder, pairs, settings.layers, settings.layer)
    test = [place for place, pair in enumerate(pairs) if scalar.fold_of_opening(pair) == fold_of(seed)]
    left = sorted(set(range(len(pairs))) - set(test))
    tested, found = states[torch.tensor(test)], []
    ratios = [scalar.longer(pairs[place]) for place in test]
    for split in range(settings.splits):
        places = random.Random(f"{seed}/{split}").sample(left, round(settings.share * len(left)))
        groups = [scalar.opening(pairs[place]) for place in places]
        longer = [scalar.longer(pairs[place]) > 1 for place in places]
        of_split: dict[str, dict[str, float]] = {"precision": {}, "wrong of longer": {}}
        for labels in LABELS:
            wrong = flipped(longer, labels, settings.wrong[labels], random.Random(f"{seed}/{split}/{labels}"))
            train = torch.where(wrong[:, None, None], (given := states[torch.tensor(places)]).flip(1), given)
            rewards, steps, kept = _fitted(train, groups, wrong, settings, seed)
            of_split["precision"] |= {f"{labels} {name}": share for name, share in kept.items()}
            of_split["wrong of longer"][labels] = fmean(wrong[torch.tensor(longer)].tolist())
            of_split[f"{labels} steps"] = {name: float(count) for name, count in steps.items()}
            rights = {
                name: [half_for_tie(margin) for margin in _margins(each, tested)] for name, each in rewards.items()
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


def _margins(rewards: Any, states: Any) -> list[float]:
    from fathom.lab.pair_heads import margins

    found: list[float] = margins(rewards, states).tolist()
    return found


def flipped(longer: Sequence[bool], labels: str, share: float, draw: random.Random) -> Any:
    """Which pairs get a wrong label, a tensor (n,): a share of all, in `asymmetric` of those whose better response is
    longer only, as many as there are."""
    import torch

    among = [place for place, is_longer in enumerate(longer) if labels != "asymmetric" or is_longer]
    count = min(len(among), round(share * len(longer)))
    wrong = torch.zeros(len(longer), dtype=torch.bool)
    wrong[torch.tensor(draw.sample(among, count), dtype=torch.long)] = True
    return wrong


def _fitted(
    train: Any, groups: Sequence[str], wrong: Any, settings: Settings, seed: int
) -> tuple[dict[str, Any], dict[str, int], dict[str, float]]:
    """By head: its rewards and its steps; by kind of two heads: the precision of the pairs kept in the last epoch."""
    from fathom.lab.frozen import divided
    from fathom.lab.pair_heads import Budget, chosen, collaborating, loss_of

    rewards, steps, kept = {}, {}, {}
    budget, noise = Budget.of(settings), float(wrong.float().mean())
    for name in HEADS:
        rewards[name], steps[name] = chosen(name, train, groups, budget, settings.steps, seed=seed)

    def two(name: str, pairs: Any, count: int) -> tuple[Any, Any]:
        return collaborating(
            pairs, replace(budget, steps=count), seed, noise=noise, select=SELECT[name], curriculum=name == "crm"
        )

    # One number of steps for all: the differences between them are to be those of selection and curriculum.
    fitted, held_out = divided(groups, seed)
    loss = {
        count: fmean(loss_of(two(name, train[fitted], count)[0], train[held_out]) for name in TWO)
        for count in settings.two_steps
    }
    best = min(loss, key=loss.__getitem__)
    for name in TWO:
        rewards[name], log = two(name, train, best)
        steps[name], kept[name] = best, fmean(log[-1].precision(wrong))
    return rewards, steps, kept


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
            "AVA-p - linear BT, clean": clean["avril"] - clean["linear"],
            "ensemble - BT, clean": clean["ensemble"] - clean["bt"],
            "CRM - BT, symmetric": symmetric["crm"] - symmetric["bt"],
            "CRM - BT, asymmetric": asymmetric["crm"] - asymmetric["bt"],
            "CRM without curriculum - two independent, symmetric": symmetric["peer"] - symmetric["two"],
            "CRM without curriculum - self-selected, symmetric": symmetric["peer"] - symmetric["self"],
            "CRM, with - without curriculum, symmetric": symmetric["crm"] - symmetric["peer"],
            "cosine with the true reward, joint - homogeneous": annotators["joint"] - annotators["homogeneous"],
            "coverage - 0.9": annotators["coverage"] - 0.9,
            "reward of the best, by the lower bound - by the mean": annotators["by lower bound"]
            - annotators["by mean"],
            "AUC of the bad token - 0.5": tokens["with"] - 0.5,
            "AUC of the bad token, with - without Bellman differences": tokens["with"] - tokens["without"],
            "head per objective - one head": objectives["each"] - objectives["one"],
        },
        figures={
            "accuracy": {labels: real[labels] for labels in LABELS},
            "by_length": {name: real[f"{name} by length"] for name in (*HEADS, *TWO)},
            "bfloat16": real["precision of states"]["bfloat16"],
            "precision": real["precision"],
            "steps": {labels: real[f"{labels} steps"] for labels in LABELS},
            "wrong_of_longer": real["wrong of longer"],
            "pairs": real["pairs"],
            **claims,
        },
    )


# The page -------------------------------------------------------------------------------------------------------------


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"heads": {**HEADS, **TWO}, "two_heads": TWO, "labels": LABELS, "words": WORDS}


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
