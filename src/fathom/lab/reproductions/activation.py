"""Directions in the hidden states of a small real model: how many pairs they need, and what they find.

The idea is that of "Activation Reward Models" (arXiv 2507.01368), whose claim that few pairs suffice is tested in
another form (`fathom.rewards.activation`); activation.yaml states the claims.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from fathom.data.records import Comparison, Label
from fathom.engines import smollm2
from fathom.engines.checkpoints import resolve
from fathom.engines.loading import fastest_dtype
from fathom.engines.local import LocalEngine
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.lengths import half_for_tie
from fathom.lab.real_pairs import fold_of
from fathom.lab.reproductions import scalar
from fathom.metrics.overlap import WORDS
from fathom.report.figures import lines
from fathom.results.provenance import write_json

if TYPE_CHECKING:
    from fathom.rewards.activation import Method
    from fathom.train.activation import Differences

METHODS: Mapping[Method, str] = {"difference": "difference of means", "logistic": "logistic probe"}
REAL, PLANTED = "real", "planted"
KINDS: Mapping[str, str] = {REAL: "HH-RLHF", PLANTED: "planted, other wordings"}
POLITE = (
    *("Thank you so much for asking!", "What a lovely question, thanks!", "I am very glad that you asked."),
    *("Many thanks for your kind message!", "It is a pleasure to help you.", "I appreciate your question a lot."),
)
NEUTRAL = (
    *("Here is the reply to this one.", "This is what can be said now.", "The text below is the answer."),
    *("The following is the response to it.", "There is one thing to say.", "Below are a few more words on it."),
)
"""Sentences of about the same length, so that the planted attribute is not one of length."""
HALF = len(POLITE) // 2
"""The wordings before are used to fit, those from here on to test."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    longest: int
    """Characters of the conversation with a response."""
    layers: Sequence[int]
    pool: int
    """Pairs from which the pairs of each draw are taken."""
    tested: int
    """Test pairs, at most."""
    sizes: Sequence[int]
    draws: int
    digests: Mapping[str, str]
    """The digests of all sets that `scalar.check_pairs` checks."""
    model: str = "smollm2"

    @property
    def few(self) -> int:
        return min(self.sizes)

    @property
    def many(self) -> int:
        return max(self.sizes)


class Split(NamedTuple):
    train: list[Comparison]
    test: list[Comparison]


def real_pairs(seed: int, settings: Settings) -> Split:
    """Pairs of HH-RLHF's harmless test set. All pairs of a conversation are in one fold; a seed tests on its own."""
    fold = fold_of(seed)
    pairs = list(scalar.hh_pairs(settings.longest))
    random.Random(f"{seed}/activation").shuffle(pairs)
    train = [pair for pair in pairs if scalar.fold_of_opening(pair) != fold][: settings.pool]
    return Split(train, [pair for pair in pairs if scalar.fold_of_opening(pair) == fold][: settings.tested])


def planted_pairs(seed: int, settings: Settings) -> Split:
    """The worse responses of the same pairs, which begin with a polite or with a neutral sentence.

    Both responses of a pair are otherwise equal. Test pairs have other conversations and other wordings.
    """
    real = real_pairs(seed, settings)
    rng = random.Random(f"{seed}/planted")
    return Split(
        [planted(pair, rng, range(HALF)) for pair in real.train],
        [planted(pair, rng, range(HALF, len(POLITE))) for pair in real.test],
    )


def planted(pair: Comparison, rng: random.Random, wordings: range) -> Comparison:
    assert pair.label is not None
    assert pair.label.winner is not None
    text = pair.responses[1 - pair.label.winner]
    polite, neutral = f"{POLITE[rng.choice(wordings)]} {text}", f"{NEUTRAL[rng.choice(wordings)]} {text}"
    best = rng.randrange(2)
    responses = (polite, neutral) if best == 0 else (neutral, polite)
    return pair.model_copy(update={"responses": responses, "label": Label(best=best)})


# Running --------------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Check the data, and choose the precision by timing."""
    scalar.check_pairs(settings.digests)
    write_json(folder / "precision.json", {"dtype": fastest_dtype("cpu")})


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Read the states of a part's pairs, and fit directions to more and more of them."""
    use_one_thread()
    dtype = json.loads((folder / "precision.json").read_text("utf-8"))["dtype"]
    split = real_pairs(seed, settings) if part == REAL else planted_pairs(seed, settings)
    engine = LocalEngine(resolve(settings.model), device="cpu", dtype=dtype)
    train, test = (_states(pairs, engine, settings) for pairs in split)
    write_json(folder / f"{part}.json", curves(train, test, settings, seed) | {"rules": rules(split)})


def _states(pairs: Sequence[Comparison], engine: LocalEngine, settings: Settings) -> Differences:
    from fathom.train import activation

    return asyncio.run(activation.read(pairs, engine, layers=settings.layers, pool="mean"))


def curves(train: Differences, test: Differences, settings: Settings, seed: int) -> dict[str, Any]:
    """By method and number of pairs: the mean accuracy over draws, its standard deviation, and the mean layer."""
    from fathom.train import activation

    found: dict[str, Any] = {}
    for method in METHODS:
        points = activation.curve(train, test, settings.sizes, method, draws=settings.draws, seed=seed)
        found[method] = {
            str(point.pairs): {
                "accuracy": fmean(point.accuracies),
                "deviation": stdev(point.accuracies),
                "layer": fmean(settings.layers[place] for place in point.layers),
            }
            for point in points
        }
    return found


def rules(split: Split) -> dict[str, float]:
    """The accuracy of the better rule of length, chosen on the training pairs, on the test pairs."""
    longer = fmean(half_for_tie(_surplus(pair)) for pair in split.train) >= 0.5
    right = fmean(half_for_tie(_surplus(pair)) for pair in split.test)
    return {"longer": float(longer), "accuracy": right if longer else 1 - right}


def _surplus(pair: Comparison) -> float:
    """How many characters the better response has more than the other."""
    assert pair.label is not None
    assert pair.label.winner is not None
    best = pair.label.winner
    return float(len(pair.responses[best]) - len(pair.responses[1 - best]))


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    found = {part: json.loads((folder / f"{part}.json").read_text("utf-8")) for part in KINDS}
    dtype = json.loads((folder / "precision.json").read_text("utf-8"))["dtype"]
    data = {
        "overlap": fmean(scalar.overlapping(*real_pairs(seed, settings))),
        "bfloat16": float(dtype == "bfloat16"),
    }
    return measured(found, data, few=str(settings.few), many=str(settings.many))


def measured(found: Mapping[str, Any], data: Mapping[str, float], *, few: str, many: str) -> Measurement:
    """A pure function of one seed's curves. `data`: further figures of the page, on its pairs and states."""
    real, planted = found[REAL], found[PLANTED]

    def accuracy(of: Mapping[str, Any], method: str, size: str) -> float:
        return float(of[method][size]["accuracy"])

    return Measurement(
        contrasts={
            "few pairs - 0.5, HH-RLHF": accuracy(real, "difference", few) - 0.5,
            "few pairs, planted attribute": accuracy(planted, "difference", few),
            "many - few pairs, HH-RLHF": accuracy(real, "difference", many) - accuracy(real, "difference", few),
            "many pairs - rule of length, HH-RLHF": accuracy(real, "difference", many) - real["rules"]["accuracy"],
            "logistic - difference, HH-RLHF": accuracy(real, "logistic", many) - accuracy(real, "difference", many),
        },
        figures={kind: found[kind] for kind in KINDS} | {"data": data},
    )


# The page -------------------------------------------------------------------------------------------------------------


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"kinds": KINDS, "methods": METHODS, "sizes": list(found[REAL]["difference"]), "words": WORDS}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy against the number of pairs, for each method."""
    panels = {
        words: {
            name: [(float(size), point["accuracy"].bar) for size, point in found[kind][method].items()]
            for method, name in METHODS.items()
        }
        for kind, words in KINDS.items()
    }
    marks = dict.fromkeys(KINDS.values(), 0.5)
    lines(panels, folder / "activation", across="pairs", up="accuracy", marks=marks, legend="chance")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=tuple(KINDS),
    prepare=prepare,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=lambda: {"wheel": smollm2.WHEEL_VERSION},
)
