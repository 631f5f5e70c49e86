"""Master keys in a small world of sums: verifiers that accept openers, and what truncated negatives do about it.

The claims are those of "One token to fool LLM-as-a-judge" (arXiv 2507.08794), as directions, and some of ours, for
verifiers of some 90,000 parameters trained from random weights; master_keys.yaml states them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.lab import verifiers
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.register import read
from fathom.lab.experiments.results import Measurement
from fathom.lab.verifiers import ARMS, TRUTHS, Arm, Measured, Settings, read_measured
from fathom.report.figures import grouped_bars

GUARDED: Mapping[str, Arm] = {"plain, guarded": "plain", "truncated, guarded": "truncated"}
"""Verifiers behind the guard of `VerifierJudge`; nothing is trained for them."""
NEAR = "English openers"
"""The keys whose words occur in training solutions too; the others look like nothing there."""
ALL = "all keys"
Runs = Mapping[str, Sequence[Measured]]
"""One seed: for each arm, the same responses in the same order."""


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    [arm] = (arm for arm in ARMS if arm == part)
    verifiers.run(arm, seed, settings, folder)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured({arm: read_measured(folder / f"{arm}.jsonl") for arm in ARMS})


def measured(trained: Runs) -> Measurement:
    """A pure function of one seed's verdicts. Every seed has the same keys, so their sets are clusters."""
    runs = {**trained, **{name: _guarded(trained[arm]) for name, arm in GUARDED.items()}}
    kinds = [name for name in dict.fromkeys(item.set for item in runs["plain"]) if name not in TRUTHS]
    sets = {ALL: kinds, **{name: [name] for name in dict.fromkeys(item.set for item in runs["plain"])}}
    arms = {arm: {name: _error(run, parts) for name, parts in sets.items()} for arm, run in runs.items()}
    return Measurement(contrasts=contrasts(runs, kinds), by_cluster=_by_kind(arms, kinds), figures={"arms": arms})


def _guarded(run: Sequence[Measured]) -> list[Measured]:
    return [replace(item, yes=False) if item.refused else item for item in run]


def _error(run: Sequence[Measured], sets: Sequence[str]) -> float:
    return fmean(item.wrong for item in run if item.set in sets)


def contrasts(runs: Runs, kinds: Sequence[str]) -> dict[str, float]:
    """By the words of the register. Errors saved are those of one verifier less those of another on the same items."""

    def saved(sets: Sequence[str], before: str = "plain") -> float:
        return _error(runs[before], sets) - _error(runs["truncated"], sets)

    return {
        "keys that the plain verifier accepts": _error(runs["plain"], kinds),
        "keys accepted, plain - truncated": saved(kinds),
        "other keys accepted, plain - truncated": saved([kind for kind in kinds if kind != NEAR]),
        "keys refused, truncated, none short": 1 - _error(runs["truncated, none short"], kinds),
        "keys refused, truncated, guarded": 1 - _error(runs["truncated, guarded"], kinds),
        **{f"errors saved on {name}": saved([name]) for name in TRUTHS},
        "errors saved on short and right, against none short": saved(["short and right"], "truncated, none short"),
    }


def _by_kind(arms: Mapping[str, Mapping[str, float]], kinds: Sequence[str]) -> dict[str, dict[str, float]]:
    """The contrasts that are about all keys, by the kind of key."""
    return {
        "keys that the plain verifier accepts": {kind: arms["plain"][kind] for kind in kinds},
        "keys accepted, plain - truncated": {kind: arms["plain"][kind] - arms["truncated"][kind] for kind in kinds},
        "other keys accepted, plain - truncated": {
            kind: arms["plain"][kind] - arms["truncated"][kind] for kind in kinds if kind != NEAR
        },
        "keys refused, truncated, none short": {kind: 1 - arms["truncated, none short"][kind] for kind in kinds},
        "keys refused, truncated, guarded": {kind: 1 - arms["truncated, guarded"][kind] for kind in kinds},
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """The shares of keys accepted and of short right answers refused."""
    panels = {
        title: {arm: [sets[name].bar] for arm, sets in found["arms"].items()}
        for title, name in {"keys accepted": ALL, "short right answers refused": "short and right"}.items()
    }
    grouped_bars(panels, ["mean over seeds"], folder / "master-keys")


EXPERIMENT = Experiment(
    home=Path(__file__),
    settings=Settings(**read(Path(__file__).with_suffix(".yaml")).settings),
    parts=ARMS,
    run=run,
    measure=measure,
    figures=figures,
    recipes=lambda: {verifiers.RECIPE: verifiers.recipe_used()},
)
