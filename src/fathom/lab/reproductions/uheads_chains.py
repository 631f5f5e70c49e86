"""A head on the states of a frozen small language model at steps with systematic and with random errors.

The idea is that of UHeads (arXiv 2511.06209), known from descriptions; uheads_chains.yaml states the claims. `uheads`
tests the same head on a real model and on steps that people have labelled.
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fathom.engines.local import LocalEngine
from fathom.lab import step_table
from fathom.lab.arms import use_one_thread
from fathom.lab.chains import MODULUS, Operation, Problem, operations
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.metrics.separation import auc
from fathom.report.figures import lines
from fathom.results.provenance import write_json
from fathom.rewards.uheads import STATISTICS
from fathom.train.uheads import fit_features

if TYPE_CHECKING:
    from fathom.lab.step_readings import StepReadings

WORLDS: Mapping[str, str] = {"common": "common misconception", "rare": "rare misconception"}
HEADS: Mapping[str, str] = {
    "head": "head",
    "blind": "head without states",
    "value": "head on the written value",
    "untrained": "head on an untrained model",
}
TABLE: Mapping[str, str] = {"table": "table of labels"}
SIGNALS: Mapping[str, str] = {
    "mean": "mean log-probability",
    "lowest": "lowest log-probability",
    "entropy": "entropy",
    "length": "length",
}
"""Scores that nothing is fitted for: the more probable, the more certain or the shorter step is the better one."""
FITTED: Mapping[str, str] = {**HEADS, **TABLE}
NAMES: Mapping[str, str] = {**FITTED, **SIGNALS}
SIZES = ("few", "some", "many")
"""Training sets of heads, by their number of labelled solutions."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int
    """Steps per solution."""
    misconceptions: Mapping[str, float]
    """By world, the chance that the policy adds 3 where it should multiply by 3."""
    slip: float
    """The chance of another wrong value."""
    hidden: int
    layers: int
    texts: int
    """Solutions that the language model is trained on."""
    text_steps: int
    batch: int
    learning_rate: float
    layer: int
    """The layer after which the head reads states."""
    decay: float
    labelled: Mapping[str, int]
    """Labelled solutions in each of `SIZES`."""
    test: int
    """Solutions that scores are compared on."""


# The world ------------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    operation: Operation
    before: int
    """The value of the register before the step, as written."""
    value: int
    """The value that the step writes."""
    up_to_error: bool
    """Whether all steps before it are right."""

    @property
    def right(self) -> bool:
        return self.value == self.operation(self.before)

    @property
    def shows_misconception(self) -> bool:
        """Whether the step has the right value or that of the misconception, and these differ."""
        alternatives = {self.operation(self.before), (self.before + self.operation.constant) % MODULUS}
        return self.operation.is_misconceived and len(alternatives) > 1 and self.value in alternatives

    @property
    def kind(self) -> step_table.Kind:
        return (self.before, self.operation.sign, self.operation.constant, self.value)


Solution = tuple[Problem, tuple[int, ...]]
Score = Sequence[float]
"""The scores of steps, in the order of the steps."""


def solutions(world: str, count: int, settings: Settings, seed: int, name: str) -> list[Solution]:
    """Solutions of a world's policy, each to a problem of its own."""
    rng = random.Random(f"uheads-chains/{world}/{name}/{seed}")
    found = []
    for number in range(count):
        asked = operations(settings.steps, rng)
        problem = Problem(f"{name}-{number}", asked, settings.slip, settings.misconceptions[world])
        found.append((problem, problem.sampled(rng)))
    return found


def steps_of(given: Sequence[Solution]) -> list[Step]:
    """The steps of all solutions. Each is right or wrong by itself, also after a wrong one."""
    found = []
    for problem, values in given:
        error = problem.first_error(values)
        for place, (operation, value) in enumerate(zip(problem.operations, values, strict=True)):
            found.append(Step(operation, problem.before(values, place), value, error is None or place <= error))
    return found


# The frozen model -----------------------------------------------------------------------------------------------------


def train(given: Sequence[Solution], seed: int, settings: Settings, folder: Path) -> None:
    """Save the language model before and after its training on solutions, which shows no labels."""
    import torch

    from fathom.lab import chain_models

    model = chain_models.language_model(seed, settings.hidden, settings.layers)
    chain_models.save(model, folder / "untrained")
    texts = chain_models.encoded(["".join(chain_models.steps_of(*each)) for each in given])
    training = chain_models.Training(
        steps=settings.text_steps, batch=settings.batch, learning_rate=settings.learning_rate
    )
    chain_models.train_on_texts(model, texts, training, torch.Generator().manual_seed(seed))
    chain_models.save(model, folder / "trained")


def read(given: Sequence[Solution], model: Path, layer: int) -> StepReadings:
    """What a model computes at the steps of all solutions, in the order of `steps_of`."""
    import torch

    from fathom.engines.forward import Forward, batch_tokens
    from fathom.lab import chain_models, step_readings

    engine = LocalEngine(model, device="cpu")
    forward = Forward(engine.model, max_batch_tokens=batch_tokens(engine.model.device))
    asked = [chain_models.comparison(*each, str(number)) for number, each in enumerate(given)]
    found = step_readings.readings(asked, engine, forward, layer)
    return step_readings.StepReadings(*map(torch.cat, zip(*found, strict=True)))


def features(given: Sequence[Solution], of_head: StepReadings, settings: Settings, folder: Path) -> dict[str, Any]:
    """The features of each head. All have the log-probabilities of the trained model, so only states differ."""
    import torch

    own = of_head.features
    value = read(given, folder / "trained", 0).features
    untrained = read(given, folder / "untrained", settings.layer).features
    mixed = torch.cat([untrained[:, :-STATISTICS], own[:, -STATISTICS:]], 1)
    by_head = {"head": own, "blind": own, "value": value, "untrained": mixed}
    return {name: of.tolist() for name, of in by_head.items()}


# Scores ---------------------------------------------------------------------------------------------------------------


def signals(of: StepReadings) -> dict[str, Score]:
    mean, lowest, log_length = of.features[:, -STATISTICS:].T.tolist()
    return {
        "mean": mean,
        "lowest": lowest,
        "entropy": (-of.entropies).tolist(),
        "length": [-each for each in log_length],
    }


def head_scores(
    name: str, known: Sequence[tuple[Sequence[float], bool]], new: Sequence[Sequence[float]], settings: Settings
) -> Score:
    """Scores of new steps by a head that was fitted to known steps, each with whether it is right."""
    layer = 0 if name == "value" else settings.layer
    head = fit_features(known, model=name, layer=layer, decay=settings.decay, states=name != "blind")
    return [head.probability(each) for each in new]


def table_scores(known: Sequence[Step], new: Sequence[Step]) -> Score:
    """The share of right ones among known steps with the same operation and values. No model reads anything."""
    table = step_table.fitted([([step.kind], (float(step.right),)) for step in known])
    return [table[step.kind] for step in new]


# Measuring ------------------------------------------------------------------------------------------------------------


class Selection(NamedTuple):
    words: str
    group: Callable[[Step], int | None]
    """The AUC is over pairs of a right and a wrong step of the same group; steps of the group None are left out."""


SELECTIONS: Mapping[str, Selection] = {
    "steps": Selection("all steps", lambda step: 0),
    "first": Selection("first errors", lambda step: 0 if step.up_to_error else None),
    "misconceived": Selection("misconceived steps", lambda step: 0 if step.shows_misconception else None),
    "same": Selection("misconceived steps, same value", lambda step: step.value if step.shows_misconception else None),
    "slips": Selection("slips", lambda step: None if step.operation.is_misconceived else 0),
}


def area(steps: Sequence[Step], scores: Score, group: Callable[[Step], int | None]) -> float:
    """The AUC over pairs of a right and a wrong step of the same group; one half if there are none."""
    groups: dict[int, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for step, score in zip(steps, scores, strict=True):
        if (found := group(step)) is not None:
            groups[found][not step.right].append(score)
    areas = [(auc(*each), len(each[0]) * len(each[1])) for each in groups.values()]
    pairs = sum(weight for _, weight in areas)
    return sum(weight * of for of, weight in areas if of is not None) / pairs if pairs else 0.5


def areas(steps: Sequence[Step], scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    """By score and selection."""
    return {
        name: {key: area(steps, each, selection.group) for key, selection in SELECTIONS.items()}
        for name, each in scores.items()
    }


def counts(steps: Sequence[Step]) -> dict[str, dict[str, float]]:
    """The number of steps, and of wrong ones, by selection."""
    chosen = {
        key: [step for step in steps if selection.group(step) is not None] for key, selection in SELECTIONS.items()
    }
    return {
        key: {"steps": float(len(each)), "wrong": float(sum(not step.right for step in each))}
        for key, each in chosen.items()
    }


@contextmanager
def timed(spent: dict[str, float], name: str) -> Iterator[None]:
    """Note the CPU seconds of a block under a name."""
    begun = time.process_time()
    yield
    spent[name] = time.process_time() - begun


def figures_of(world: str, seed: int, settings: Settings, folder: Path) -> dict[str, Any]:
    """The AUCs of all scores on the test solutions, and the CPU seconds that each part took."""
    spent: dict[str, float] = {}
    names = {"texts": settings.texts, "labelled": max(settings.labelled.values()), "test": settings.test}
    given = {name: solutions(world, count, settings, seed, name) for name, count in names.items()}
    with timed(spent, "model"):
        train(given["texts"], seed, settings, folder)
    with timed(spent, "labelled"):
        known = read(given["labelled"], folder / "trained", settings.layer)
    with timed(spent, "test"):
        new = read(given["test"], folder / "trained", settings.layer)
    of_known = features(given["labelled"], known, settings, folder)
    of_new = features(given["test"], new, settings, folder)
    labels, steps = steps_of(given["labelled"]), steps_of(given["test"])
    fitted = {}
    for size, count in settings.labelled.items():
        part = labels[: count * settings.steps]
        scores: dict[str, Score] = {}
        for name in HEADS:
            rows = [(values, step.right) for values, step in zip(of_known[name], part, strict=False)]
            with timed(spent, name):
                scores[name] = head_scores(name, rows, of_new[name], settings)
        with timed(spent, "table"):
            scores["table"] = table_scores(part, steps)
        fitted[size] = areas(steps, scores)
    return {
        "fitted": fitted,
        "signals": areas(steps, signals(new)),
        "counts": counts(steps),
        "labelled": {size: float(count) for size, count in settings.labelled.items()},
        "cost": spent,
    }


# The experiment -------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    path = out / f"{part}.json"
    if path.exists():
        return
    use_one_thread()
    write_json(path, figures_of(part, seed, settings, out / part))


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured({world: json.loads((folder / f"{world}.json").read_text("utf-8")) for world in WORLDS})


CONTRASTS: Sequence[tuple[str, str, str, str, str]] = (
    ("common", "many", "steps", "head", "mean"),
    ("common", "many", "steps", "head", "entropy"),
    ("common", "many", "first", "head", "mean"),
    ("common", "many", "first", "head", "entropy"),
    ("common", "many", "misconceived", "head", "mean"),
    ("common", "many", "misconceived", "head", "entropy"),
    ("common", "many", "misconceived", "head", "length"),
    ("common", "many", "misconceived", "head", "value"),
    ("common", "many", "same", "head", "value"),
    ("common", "many", "same", "head", "length"),
    ("common", "many", "same", "head", "untrained"),
    ("common", "many", "same", "table", "head"),
    ("common", "few", "steps", "blind", "head"),
)
"""World, number of labelled solutions, selection, and the two scores whose AUCs are compared."""
SMALL_GAINS: Sequence[tuple[str, str]] = (("common", "slips"), ("rare", "misconceived"))
"""Worlds and selections in which the head is expected to add hardly anything to the mean log-probability."""
SMALL = 0.01


def measured(found: Mapping[str, Any]) -> Measurement:
    """A pure function of what a seed found in both worlds."""
    contrasts = {}
    for world, size, key, one, other in CONTRASTS:
        of = {**found[world]["signals"], **found[world]["fitted"][size]}
        where = "few labels, " if size == "few" else ""
        contrasts[f"{where}{SELECTIONS[key].words}, {NAMES[one]} - {NAMES[other]}"] = of[one][key] - of[other][key]
    for world, key in SMALL_GAINS:
        gain = found[world]["fitted"]["many"]["head"][key] - found[world]["signals"]["mean"][key]
        words = f"{WORLDS[world]}, {SELECTIONS[key].words}, {SMALL} - (head - mean log-probability)"
        contrasts[words] = SMALL - gain
    return Measurement(contrasts=contrasts, figures=dict(found))


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    scores = {world: {**found[world]["fitted"]["many"], **found[world]["signals"]} for world in WORLDS}
    selections = {key: selection.words for key, selection in SELECTIONS.items()}
    return {"worlds": WORLDS, "names": NAMES, "scores": scores, "selections": selections, "found": found}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """AUC by the number of labelled solutions, for scores that are fitted, where the misconception is common."""
    of, labelled = found["common"]["fitted"], found["common"]["labelled"]
    panels = {
        SELECTIONS[key].words: {
            words: [(labelled[size].mean, of[size][name][key].bar) for size in SIZES] for name, words in FITTED.items()
        }
        for key in ("steps", "misconceived", "same")
    }
    marks = {SELECTIONS[key].words: each.mean for key, each in found["common"]["signals"]["mean"].items()}
    path = folder / "uheads-chains"
    lines(panels, path, across="labelled solutions", up="AUC", marks=marks, legend=SIGNALS["mean"])


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=tuple(WORLDS),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
