"""A head on a frozen real model's states at steps, beside log-probabilities, entropy and the length of steps.

The idea is that of UHeads (arXiv 2511.06209), known from descriptions; uheads.yaml states the claims.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fathom.data.reading import read
from fathom.data.records import Comparison
from fathom.engines import smollm2
from fathom.engines.checkpoints import resolve
from fathom.errors import FathomError
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.real_pairs import data_folder
from fathom.metrics.separation import auc
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json
from fathom.train.uheads import fit_features

if TYPE_CHECKING:
    from fathom.lab.step_readings import StepReadings

PROCESSBENCH, MR_GSM8K = "ProcessBench", "MR-GSM8K"
FILES: Mapping[str, str] = {
    PROCESSBENCH: "processbench/gsm8k.jsonl.gz",
    MR_GSM8K: "mr_gsm8k/gpt4-grading__GPT3_5_eval_results.jsonl.gz",
}
HEADS: Mapping[str, str] = {
    "head": "head",
    "blind": "head without states",
}
SIGNALS: Mapping[str, str] = {
    "length": "length",
    "mean": "mean log-probability",
    "lowest": "lowest log-probability",
    "entropy": "entropy",
}
"""Scores that nothing is fitted for: the shorter, the more probable or the more certain step is the better one."""
SCORES: Mapping[str, str] = {**HEADS, **SIGNALS}
FOLDS = 5
GROUPS = 32
"""Groups of problems, over which the variance is estimated."""
DECILES = 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    layer: int
    decays: Sequence[float]
    digests: Mapping[str, str]
    """Of the solutions of each set."""
    model: str = "smollm2"


class Step(NamedTuple):
    """A labelled step, and what the model computed at it."""

    problem: str
    right: bool
    features: list[float]
    entropy: float

    def signal(self, name: str) -> float:
        mean, lowest, log_length = self.features[-3:]
        return {"length": -log_length, "mean": mean, "lowest": lowest, "entropy": -self.entropy}[name]


# Data -----------------------------------------------------------------------------------------------------------------


def solutions(name: str, settings: Settings) -> list[Comparison]:
    """The solutions of a set. Raises FathomError if FATHOM_DATA holds others than the registered ones."""
    found = list(read(data_folder() / FILES[name]))
    digest = hashlib.sha256(json.dumps([[each.prompt_text, each.responses] for each in found]).encode()).hexdigest()
    if digest[:16] != settings.digests[name]:
        raise FathomError(f"{FILES[name]}: the digest is {digest[:16]}; the register has {settings.digests[name]}")
    return found


def steps_of(given: Sequence[Comparison], read: Sequence[StepReadings]) -> list[Step]:
    """The labelled steps. Solutions with the same prompt have the same problem."""
    found = []
    for item, readings in zip(given, read, strict=True):
        assert item.label is not None
        assert item.label.steps is not None
        columns = zip(item.label.steps[0], readings.features.tolist(), readings.entropies.tolist(), strict=True)
        found += [
            Step(item.prompt_text, label >= 0.5, of, entropy) for label, of, entropy in columns if label is not None
        ]
    return found


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Compute the readings of all solutions, once for all seeds."""
    from fathom.engines.local import LocalEngine
    from fathom.lab import step_readings

    use_one_thread()
    given = {name: solutions(name, settings) for name in FILES}
    if all(step_readings.is_complete(_readings(folder, name), len(each)) for name, each in given.items()):
        return
    engine = LocalEngine(resolve(settings.model), device="cpu", dtype="bfloat16")
    for name, each in given.items():
        step_readings.compute(each, engine, settings.layer, _readings(folder, name), backwards=seed % 2 == 1)


def _readings(folder: Path, name: str) -> Path:
    return folder.parent / "readings" / FILES[name].partition("/")[0]


# Heads ----------------------------------------------------------------------------------------------------------------


Score = Callable[[Step], float]


def fitted(steps: Sequence[Step], settings: Settings, seed: str, *, states: bool) -> Score:
    """A head whose decay is chosen on a quarter of the problems, and which is then fitted to all of them."""
    held_out = dealt(steps, 4, f"{seed}/decay")[0]
    kept = [step for step in steps if step.problem not in held_out]
    validated = [step for step in steps if step.problem in held_out]

    def quality(decay: float) -> float:
        score = _fitted(kept, settings, decay, states)
        return area(validated, list(map(score, validated)))

    return _fitted(steps, settings, max(settings.decays, key=quality), states)


def _fitted(steps: Sequence[Step], settings: Settings, decay: float, states: bool) -> Score:
    rows = [(step.features, step.right) for step in steps]
    head = fit_features(rows, model=settings.model, layer=settings.layer, decay=decay, states=states)
    return lambda step: head.probability(step.features)


def dealt(steps: Sequence[Step], folds: int, seed: str) -> list[set[str]]:
    """The problems, dealt to folds at random."""
    problems = sorted({step.problem for step in steps})
    random.Random(seed).shuffle(problems)
    return [set(problems[fold::folds]) for fold in range(folds)]


def out_of_fold(steps: Sequence[Step], settings: Settings, seed: int, *, states: bool) -> list[float]:
    """The score of each step by a head that was fitted to other problems."""
    scores = [0.0] * len(steps)
    for number, fold in enumerate(dealt(steps, FOLDS, f"uheads/{seed}")):
        others = [step for step in steps if step.problem not in fold]
        score = fitted(others, settings, f"{seed}/{number}", states=states)
        for place, step in enumerate(steps):
            if step.problem in fold:
                scores[place] = score(step)
    return scores


# Measuring ------------------------------------------------------------------------------------------------------------


def area(steps: Sequence[Step], scores: Sequence[float]) -> float:
    """The AUC of right and wrong steps; one half if one kind is missing."""
    kinds = [[score for step, score in zip(steps, scores, strict=True) if step.right is kind] for kind in (True, False)]
    found = auc(*kinds)
    return 0.5 if found is None else found


def area_within_length(steps: Sequence[Step], scores: Sequence[float]) -> float:
    """The AUC over pairs of steps in the same decile of lengths."""
    order = sorted(range(len(steps)), key=lambda place: steps[place].features[-1])
    weighted = total = 0.0
    for decile in range(DECILES):
        places = order[decile * len(order) // DECILES : (decile + 1) * len(order) // DECILES]
        right = sum(steps[place].right for place in places)
        weight = right * (len(places) - right)
        weighted += weight * area([steps[place] for place in places], [scores[place] for place in places])
        total += weight
    return weighted / total if total else 0.5


def group_of(problem: str) -> int:
    return int(hashlib.sha256(problem.encode()).hexdigest(), 16) % GROUPS


def by_group(steps: Sequence[Step], scores: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Jackknife pseudo-values of a difference of AUCs, by group of problems.

    With G groups, the pseudo-value of a group is G times the difference on all steps minus G - 1 times that without
    the group. Their mean estimates the difference, and their variance divided by G the variance of that mean.
    """
    groups = [group_of(step.problem) for step in steps]
    present = sorted(set(groups))

    def difference(without: int | None) -> float:
        kept = [place for place, group in enumerate(groups) if group != without]
        of = [steps[place] for place in kept]
        return area(of, [scores[place] for place in kept]) - area(of, [others[place] for place in kept])

    whole = difference(None)
    return {f"g{group:02}": len(present) * whole - (len(present) - 1) * difference(group) for group in present}


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    path = folder / f"{part}.json"
    if path.exists():
        return
    from fathom.lab import step_readings

    sets = {}
    for name in FILES:
        given = solutions(name, settings)
        sets[name] = steps_of(given, step_readings.load(_readings(folder, name), len(given)))
    write_json(path, figures_of(sets, settings, seed) | {"cost": cost(folder, settings)})


def cost(folder: Path, settings: Settings) -> dict[str, float]:
    """CPU seconds per solution of the readings."""
    from fathom.lab import step_readings

    counts = {name: len(solutions(name, settings)) for name in FILES}
    spent = sum(step_readings.seconds(_readings(folder, name), count) for name, count in counts.items())
    return {"seconds": spent / sum(counts.values())}


def figures_of(sets: Mapping[str, Sequence[Step]], settings: Settings, seed: int) -> dict[str, Any]:
    """The AUCs of all scores on both sets, and the pseudo-values of the differences that claims are about."""
    known = sets[PROCESSBENCH]
    unseen = {step.problem for step in known}
    other = [step for step in sets[MR_GSM8K] if step.problem not in unseen]
    drawn = random.Random(f"uheads/bag/{seed}")
    problems = sorted(unseen)
    bag = set(drawn.sample(problems, round(0.8 * len(problems))))
    found: dict[str, dict[str, list[float]]] = {PROCESSBENCH: {}, MR_GSM8K: {}}
    for name in HEADS:
        found[PROCESSBENCH][name] = out_of_fold(known, settings, seed, states=name == "head")
        part = [step for step in known if step.problem in bag]
        found[MR_GSM8K][name] = list(map(fitted(part, settings, f"{seed}/all", states=name == "head"), other))
    for name in SIGNALS:
        found[PROCESSBENCH][name] = [step.signal(name) for step in known]
        found[MR_GSM8K][name] = [step.signal(name) for step in other]
    steps = {PROCESSBENCH: known, MR_GSM8K: other}
    return {
        "auc": {of: {name: area(steps[of], scores) for name, scores in by.items()} for of, by in found.items()},
        "within": {
            of: {name: area_within_length(steps[of], scores) for name, scores in by.items()} for of, by in found.items()
        },
        "groups": {
            words: by_group(steps[of], found[of][one], found[of][two]) for words, (of, one, two) in CONTRASTS.items()
        },
        "steps": {of: float(len(each)) for of, each in steps.items()},
        "wrong": {of: float(sum(not step.right for step in each)) for of, each in steps.items()},
    }


CONTRASTS: Mapping[str, tuple[str, str, str]] = {
    "head - mean log-probability": (PROCESSBENCH, "head", "mean"),
    "head - entropy": (PROCESSBENCH, "head", "entropy"),
    "head - length": (PROCESSBENCH, "head", "length"),
    "head - head without states": (PROCESSBENCH, "head", "blind"),
    "head - length, MR-GSM8K": (MR_GSM8K, "head", "length"),
    "head - mean log-probability, MR-GSM8K": (MR_GSM8K, "head", "mean"),
}
"""The set, and the two scores whose AUCs are compared."""


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(json.loads((folder / "real.json").read_text("utf-8")))


def measured(found: Mapping[str, Any]) -> Measurement:
    """A pure function of one seed's figures."""
    contrasts = {words: found["auc"][of][one] - found["auc"][of][two] for words, (of, one, two) in CONTRASTS.items()}
    figures = {name: found[name] for name in ("auc", "within", "steps", "wrong", "cost")}
    return Measurement(contrasts=contrasts, figures=figures, by_cluster=found["groups"])


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"scores": SCORES, "sets": tuple(FILES)}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """AUC by score on both sets, over all steps and over steps of similar length."""
    panels = {
        f"AUC, {of}": {
            words: [found[what][of][name].bar for name in SCORES]
            for what, words in (("auc", "all steps"), ("within", "similar length"))
        }
        for of in FILES
    }
    grouped_bars(panels, list(SCORES.values()), folder / "uheads")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("real",),
    prepare=prepare,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=lambda: {"wheel": smollm2.WHEEL_VERSION},
)
