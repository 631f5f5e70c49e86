"""Mix-GRM with a real language model: does RLVR sharpen the choice of structure on verbs that were in no training?

The claim is the polarisation of "Beyond Length Scaling" (arXiv 2603.01571); mix_grm_smollm2.yaml states it. The model,
SmolLM2-135M, knows English verbs, so the verbs that are measured need not occur in training.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.engines import smollm2
from fathom.lab import english, routing
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Figure, Measurement
from fathom.lab.routing import STAGES, Settings
from fathom.lab.world import PARTS
from fathom.report.figures import grouped_bars

SETS = {"sft": "verbs of SFT", "rlvr": "verbs of RLVR", "never": "verbs of neither stage"}
TRAINED = ("sft", "rlvr")
"""The stages after which comparisons are judged in full."""


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    routing.prepare(seed, settings, folder)


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    use_one_thread()
    routing.run(seed, settings, folder)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    stages: dict[str, Any] = {stage: json.loads((folder / f"{stage}.json").read_text("utf-8")) for stage in STAGES}
    history = [json.loads(line) for line in (folder / "model-rlvr" / "history.jsonl").read_text("utf-8").splitlines()]
    precision = json.loads((folder / "precision.json").read_text("utf-8"))
    return measured(stages, history, precision)


def measured(
    stages: Mapping[str, Any], history: Iterable[Mapping[str, Any]], precision: Mapping[str, str]
) -> Measurement:
    """A pure function of what one seed left. `history` is that of RLVR, one entry per logged step."""
    share = {stage: {name: _fits(found["choices"][name]) for name in PARTS} for stage, found in stages.items()}
    judged = {stage: _means(stages[stage]["judged"]) for stage in TRAINED}
    return Measurement(
        contrasts={
            "fitting structure on verbs of no training, RLVR - SFT": share["rlvr"]["never"] - share["sft"]["never"],
            "fitting structure on verbs of no training after SFT, less a half": share["sft"]["never"] - 0.5,
            "fitting structure on verbs of no training, SFT - before training": share["sft"]["never"]
            - share["base"]["never"],
            "fitting structure on verbs of RLVR, RLVR - SFT": share["rlvr"]["rlvr"] - share["sft"]["rlvr"],
            "accuracy on verbs of no training, RLVR - SFT": judged["rlvr"]["accurate"] - judged["sft"]["accurate"],
        },
        figures={
            "fitting": {
                stage: {name: _choice(found["choices"][name]) for name in PARTS} for stage, found in stages.items()
            },
            "judged": judged,
            "verbs": _by_verb(stages),
            "groups_with_variance": 1
            - fmean(entry["frac_reward_zero_std"] for entry in history if "frac_reward_zero_std" in entry),
            "precision": {
                "bfloat16": float(precision["dtype"] == "bfloat16"),
                "gpu": float(precision["device"] != "cpu"),
            },
        },
    )


def _fits(choices: Sequence[Mapping[str, Any]]) -> float:
    return fmean(each["fits"] for each in choices)


def _choice(choices: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean probability of the fitting structure, over all verbs and by domain, and that of either tag."""
    by_domain = {
        domain: [each for each in choices if english.domain_of(each["verb"]) == domain] for domain in english.VERBS
    }
    return {
        "all": _fits(choices),
        **{domain: _fits(each) for domain, each in by_domain.items()},
        "mass": fmean(each["mass"] for each in choices),
    }


def _means(judged: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {name: fmean(float(each[name]) for each in judged) for name in ("fits", "accurate", "readable", "faithful")}


def _by_verb(stages: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """For each verb of no training, the probability of the fitting structure at each stage."""
    verbs = sorted({each["verb"] for each in stages["sft"]["choices"]["never"]})
    return {
        verb: {
            stage: _fits([each for each in found["choices"]["never"] if each["verb"] == verb])
            for stage, found in stages.items()
        }
        for verb in verbs
    }


# The page -------------------------------------------------------------------------------------------------------------


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy that faithful rationales would have at the measured share of fitting structures."""
    return {
        "sets": SETS,
        "implied": {stage: english.accuracy_by_match(found["judged"][stage]["fits"].mean) for stage in TRAINED},
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """The probability of the fitting structure, by set of verbs and stage."""

    def bars(domain: str) -> dict[str, list[Any]]:
        cells: dict[str, list[Figure]] = {
            words: [found["fitting"][stage][name][domain] for stage in STAGES] for name, words in SETS.items()
        }
        return {words: [cell.bar for cell in row] for words, row in cells.items()}

    grouped_bars(
        {domain: bars(domain) for domain in english.VERBS},
        ("before training", "after SFT", "after RLVR"),
        folder / "mix-grm-smollm2",
        marks={domain: dict.fromkeys(SETS.values(), 0.5) for domain in english.VERBS},
        legend="no preference",
    )


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("mix",),
    prepare=prepare,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=lambda: {**routing.recipes_used(), "wheel": smollm2.WHEEL_VERSION},
)
