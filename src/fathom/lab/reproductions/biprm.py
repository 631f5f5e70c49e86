"""Steps read in order and in reverse: what later steps tell about earlier ones, with one model or two readings.

The idea is that of BiPRM (arXiv 2508.01682), known from its abstract; biprm.yaml states the claims.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.data.steps import first_error
from fathom.engines.local import LocalEngine
from fathom.judges import RewardModel
from fathom.lab import evidence
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.first_errors import tuned_f1
from fathom.metrics.separation import auc
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json
from fathom.rewards.biprm import BidirectionalPRM
from fathom.rewards.process import ProcessRewardModel
from fathom.train import process, recipes
from fathom.train.recipe import ProcessRecipe, load

RECIPE = "mini_process"
FAMILY = "token_classes"
ONE, BOTH = "one", "both"
ORDERS: Mapping[str, str] = {ONE: "trained in order", BOTH: "trained on both orders"}
READINGS: Mapping[str, str] = {
    "one, in order": "in order; `process`",
    "one, both": "in order; `biprm`",
    "both, in order": "both orders; `process`",
    "both, reverse": "both orders; reverse alone",
    "both, both": "both orders; `biprm`",
}
"""The orders of training, and the judge; the reverse alone is `biprm` with forward=0."""
WHERE = ("earlier", "later")


@dataclass(frozen=True, kw_only=True)
class Settings:
    names: int
    wrong: float
    solutions: int
    """Training solutions; on both orders, the same ones in both."""
    steps: int
    """Training steps of each model."""
    batch: int
    learning_rate: float
    hidden: int
    layers: int
    held_out: int
    """Solutions that tune the threshold, and as many others that measure."""

    @property
    def sizes(self) -> evidence.Sizes:
        return evidence.Sizes(names=self.names, wrong=self.wrong)


# Training -------------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Train one model, and measure its readings."""
    path = folder / f"{part}.json"
    if path.exists():
        return
    use_one_thread()
    known = evidence.solutions(settings.solutions, settings.sizes, f"train/{seed}")
    shown = known if part == ONE else [each for item in known for each in (item, evidence.reverse(item))]
    write_jsonl(folder / f"{part}.jsonl", evidence.rows(shown))
    untrained = evidence.untrained(seed, settings.hidden, settings.layers, folder / f"{part}-untrained")
    overrides = {
        "model": untrained,
        "data": folder / f"{part}.jsonl",
        "output": folder / part,
        "seed": seed,
        "after_error": "keep",
        "head_epochs": 0,
        "trainer.max_steps": settings.steps,
        "trainer.per_device_train_batch_size": settings.batch,
        "trainer.learning_rate": settings.learning_rate,
    }
    model = process.train(
        load(recipes.path(RECIPE), ProcessRecipe, [f"{name}={value}" for name, value in overrides.items()])
    )
    write_json(path, readings(model, part, settings, seed))


def readings(model: Path, part: str, settings: Settings, seed: int) -> dict[str, Any]:
    engine = LocalEngine(model)
    judges: dict[str, RewardModel] = {
        f"{part}, in order": ProcessRewardModel(family=FAMILY, engine=engine),
        f"{part}, both": BidirectionalPRM(family=FAMILY, engine=engine),
    }
    if part == BOTH:
        judges[f"{part}, reverse"] = BidirectionalPRM(family=FAMILY, engine=engine, forward=0.0)
    sets = [evidence.solutions(settings.held_out, settings.sizes, f"{name}/{seed}") for name in ("tune", "test")]
    return {name: figures_of(*([*scored(judge, items)] for items in sets)) for name, judge in judges.items()}


Scored = tuple[Comparison, list[float]]


def scored(judge: RewardModel, solutions: Sequence[Comparison]) -> list[Scored]:
    found = []
    for item, verdict in judge.run(solutions, concurrency=256):
        [vote] = verdict.votes
        assert vote.step_scores is not None, vote.error
        found.append((item, [float(score or 0.0) for score in vote.step_scores[0]]))
    return found


def figures_of(tuning: Sequence[Scored], test: Sequence[Scored]) -> dict[str, float | None]:
    """F1 of the first wrong step at a tuned threshold, and the AUC of steps with evidence on either side."""
    return {
        "f1": tuned_f1(*([(scores, first_error(labels_of(item))) for item, scores in each] for each in (tuning, test))),
        **{where: auc_of(kind, test) for kind, where in evidence.KINDS.items() if kind != "counted"},
    }


def labels_of(item: Comparison) -> Sequence[float | None]:
    assert item.label is not None
    assert item.label.steps is not None
    return item.label.steps[0]


def auc_of(kind: str, items: Sequence[Scored]) -> float | None:
    found: dict[bool, list[float]] = {True: [], False: []}
    for item, scores in items:
        assert item.steps is not None
        for step, score, label in zip(item.steps[0], scores, labels_of(item), strict=True):
            if evidence.kind(step) == kind:
                found[label == 1].append(score)
    return auc(found[True], found[False])


# The experiment -------------------------------------------------------------------------------------------------------


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(
        {
            key: value
            for part in ORDERS
            for key, value in json.loads((folder / f"{part}.json").read_text("utf-8")).items()
        }
    )


def measured(found: Mapping[str, Mapping[str, float]]) -> Measurement:
    """A pure function of the figures of all readings."""

    def above(name: str, other: str, what: str) -> float:
        return found[name][what] - found[other][what]

    return Measurement(
        contrasts={
            "both - in order, later evidence": above("both, both", "one, in order", "later"),
            "both - in order, earlier evidence": above("both, both", "one, in order", "earlier"),
            "both - in order, F1": above("both, both", "one, in order", "f1"),
            "untrained reverse: in order - both, F1": above("one, in order", "one, both", "f1"),
            "reverse - both, later evidence": above("both, reverse", "both, both", "later"),
        },
        figures=dict(found),
    )


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"readings": READINGS, "found": found}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """AUC by where a step's evidence is, and F1."""
    panels = {
        "AUC of steps": {f"{where} evidence": [found[name][where].bar for name in READINGS] for where in WHERE},
        "F1": {"first wrong step": [found[name]["f1"].bar for name in READINGS]},
    }
    grouped_bars(panels, [name.replace("`", "") for name in READINGS.values()], folder / "biprm")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=tuple(ORDERS),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=partial(recipes.contents, RECIPE),
)
