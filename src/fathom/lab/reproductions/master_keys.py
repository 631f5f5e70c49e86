"""Master keys in a small world of sums: verifiers that accept openers, and what several kinds of negatives do about it.

The claims are those of "One token to fool LLM-as-a-judge" (arXiv 2507.08794), as directions, and some of ours, for
verifiers of some 150,000 parameters; master_keys.yaml states them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.judges import find_degeneracy
from fathom.lab import verifiers
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Figure, Measurement, figure
from fathom.lab.verifiers import ARMS, TRUTHS, UNANSWERED, UNFINISHED, Measured, Settings, key_kinds, read_measured
from fathom.probes.keys import keys
from fathom.report.figures import grouped_bars
from fathom.train import recipes

GUARDED: Mapping[str, str] = {f"{arm}, guarded": arm for arm in ("plain", "truncated", "cut anywhere")}
"""Verifiers behind the guard of `VerifierJudge`; nothing is trained for them."""
NONE_SHORT = "truncated, none short"
NEAR = "English openers"
"""The keys in the language of the training data. The other kinds share no word with it."""
MARGIN = 0.02
"""Accepted keys up to this share count as next to none, and additional errors up to this share as no cost."""
ALL, SHOWN, UNSEEN = "all keys", "keys shown to one arm", "keys shown to no arm"
Runs = Mapping[str, Sequence[Measured]]
"""One seed: for each arm, the same responses in the same order."""


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    verifiers.run(part, seed, settings, folder)


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    verifiers.prepare(part, seed, settings, folder)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured({arm: read_measured(folder / f"{arm}.jsonl") for arm in ARMS})


def measured(trained: Runs) -> Measurement:
    """A pure function of one seed's verdicts. Every seed has the same keys, so their kinds are clusters."""
    runs = {**trained, **{name: _guarded(trained[arm]) for name, arm in GUARDED.items()}}
    arms = {arm: _errors(run) for arm, run in runs.items()}
    kinds = key_kinds(runs["plain"])
    return Measurement(contrasts=contrasts(arms, kinds), by_cluster=_by_kind(arms, kinds), figures={"arms": arms})


def _guarded(run: Sequence[Measured]) -> list[Measured]:
    return [replace(item, yes=False) if item.refused else item for item in run]


def _errors(run: Sequence[Measured]) -> dict[str, float]:
    """The share of wrong verdicts in each set, and over keys."""
    kinds = key_kinds(run)
    items = {name: [item for item in run if item.set == name] for name in (*TRUTHS, *UNANSWERED, *kinds)}
    tried = [item for kind in kinds for item in items[kind]]
    items |= {ALL: tried, SHOWN: [item for item in tried if item.shown]}
    items |= {UNSEEN: [item for item in tried if not item.shown]}
    return {name: fmean(item.wrong for item in found) for name, found in items.items()}


def contrasts(arms: Mapping[str, Mapping[str, float]], kinds: Sequence[str]) -> dict[str, float]:
    """By the words of the register. Errors saved are those of the plain verifier less those of another."""
    plain, paper, cut = arms["plain"], arms["truncated"], arms["cut anywhere"]
    far = [kind for kind in kinds if kind != NEAR]

    def saved(errors: Mapping[str, float], names: Sequence[str]) -> float:
        return fmean(plain[name] - errors[name] for name in names)

    return {
        "keys that the plain verifier accepts": plain[ALL],
        "keys accepted, plain - truncated": plain[ALL] - paper[ALL],
        "keys of no training language accepted, plain - truncated": saved(paper, far),
        **{f"keys refused, {arm}": 1 - arms[arm][ALL] for arm in ("truncated", "cut anywhere", "truncated, guarded")},
        **{f"errors saved on {name}, truncated": plain[name] - paper[name] for name in TRUTHS},
        **{f"errors saved on {name}, cut anywhere": plain[name] - cut[name] for name in TRUTHS},
        "long without an answer refused, cut anywhere - truncated": paper[UNFINISHED] - cut[UNFINISHED],
        "keys shown to no arm refused, cut anywhere, keys shown": 1 - arms["cut anywhere, keys shown"][UNSEEN],
        "errors on short and right, none short - truncated": arms[NONE_SHORT]["short and right"]
        - paper["short and right"],
    }


def _by_kind(arms: Mapping[str, Mapping[str, float]], kinds: Sequence[str]) -> dict[str, dict[str, float]]:
    """The contrasts over all keys, by kind of key."""
    plain, paper = arms["plain"], arms["truncated"]
    saved = {kind: plain[kind] - paper[kind] for kind in kinds}
    return {
        "keys that the plain verifier accepts": {kind: plain[kind] for kind in kinds},
        "keys accepted, plain - truncated": saved,
        "keys of no training language accepted, plain - truncated": {k: v for k, v in saved.items() if k != NEAR},
        **{
            f"keys refused, {arm}": {kind: 1 - arms[arm][kind] for kind in kinds}
            for arm in ("truncated", "cut anywhere", "truncated, guarded")
        },
    }


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    """Beside the errors: how far an arm tells keys from answers, what the guard does, and who meets the claims.

    `meeting` has, for each arm but the plain one, the number of seeds on which it meets the paper's claim: first by
    ordinary solutions, as in the paper, then by short and long ones too.
    """
    arms = found["arms"]
    ordinary = [name for name in TRUTHS if name.startswith("ordinary")]
    return {
        "meeting": {
            arm: [_meeting(sets, arms["plain"], names) for names in (ordinary, list(TRUTHS))]
            for arm, sets in arms.items()
            if arm != "plain"
        },
        "apart": {arm: _differences(_right(sets["short and right"]), sets[ALL]) for arm, sets in arms.items()},
        "without_short": {
            "keys refused": _right(arms[NONE_SHORT][ALL]),
            **{f"errors saved on {name}": _differences(arms["plain"][name], arms[NONE_SHORT][name]) for name in TRUTHS},
        },
        "ruled": [find_degeneracy(key, "") is not None for texts in keys().values() for key in texts],
    }


def _right(errors: Figure) -> Figure:
    return figure([1 - error for error in errors.values])


def _differences(first: Figure, second: Figure) -> Figure:
    return figure([one - other for one, other in zip(first.values, second.values, strict=True)])


def _meeting(errors: Mapping[str, Figure], plain: Mapping[str, Figure], names: Sequence[str]) -> int:
    """The number of seeds on which next to no key is accepted, and no more errors are made than without negatives."""
    costs = [_differences(errors[name], plain[name]).values for name in names]
    met = [max(seed) < MARGIN for seed in zip(errors[ALL].values, *costs, strict=True)]
    return sum(met)


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """The shares of keys accepted and of short right answers refused."""
    panels = {
        title: {arm: [sets[name].bar] for arm, sets in found["arms"].items()}
        for title, name in {"keys accepted": ALL, "short right answers refused": "short and right"}.items()
    }
    grouped_bars(panels, ["mean over seeds"], folder / "master-keys")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=ARMS,
    prepare=prepare,
    run=run,
    measure=measure,
    figures=figures,
    tables=tables,
    recipes=partial(recipes.contents, verifiers.RECIPE),
)
