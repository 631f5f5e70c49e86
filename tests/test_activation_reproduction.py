"""Directions in hidden states: the planted attribute, and the arithmetic of the claims."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

pytest.importorskip("torch", reason='needs pip install "fathom-rm[train]"')

import numpy as np

import fresh
from fathom.data.records import Comparison, Label
from fathom.lab.experiments.results import Row
from fathom.lab.reproductions import activation as reproduction
from fathom.lab.reproductions.activation import HALF, KINDS, METHODS, NEUTRAL, POLITE, Split, planted, rules
from fathom.train.activation import Differences

SETTINGS = reproduction.EXPERIMENT.settings


def pair(better: str, worse: str, number: int = 0) -> Comparison:
    responses, best = ((better, worse), 0) if number % 2 == 0 else ((worse, better), 1)
    return Comparison(id=str(number), prompt=f"{number}?", responses=responses, label=Label(best=best))


def test_the_planted_attribute_is_the_only_difference_and_its_wordings_are_divided() -> None:
    rng, seen = random.Random(0), []
    for number in range(60):
        found = planted(pair("better", "worse", number), rng, range(HALF, len(POLITE)))
        assert found.label is not None
        assert found.label.winner is not None
        polite, neutral = found.responses[found.label.winner], found.responses[1 - found.label.winner]
        assert polite.removesuffix(" worse") in POLITE[HALF:]
        assert neutral.removesuffix(" worse") in NEUTRAL[HALF:]
        seen.append(found.label.winner)
    assert 15 < sum(seen) < 45


def test_length_does_not_give_the_planted_attribute_away() -> None:
    longer = [len(polite) > len(neutral) for polite in POLITE for neutral in NEUTRAL]
    assert 0.3 < fmean(longer) < 0.7


def test_the_rule_of_length_is_chosen_on_training_pairs() -> None:
    train, test = [pair("long response", "short", n) for n in range(4)], [pair("a", "longer", n) for n in range(3)]
    assert rules(Split(train, [*test, pair("longest", "b", 3)])) == {"longer": 1.0, "accuracy": 0.25}
    assert rules(Split(test, train)) == {"longer": 0.0, "accuracy": 0.0}


def test_curves_have_a_point_for_every_method_and_size() -> None:
    draws = np.random.default_rng(0)

    def differences(count: int) -> Differences:
        values = draws.normal(size=(count, len(SETTINGS.layers), 8))
        values[:, 2, 0] += 2
        return Differences(values, tuple(map(str, range(count))))

    small = replace(SETTINGS, sizes=[8, 16], draws=3)
    found = reproduction.curves(differences(24), differences(40), small, 0)
    assert {method: list(points) for method, points in found.items()} == {name: ["8", "16"] for name in METHODS}
    assert found["difference"]["16"]["accuracy"] > 0.8


DATA = {"overlap": 0.01, "bfloat16": 1.0}


def measurements(real: Sequence[float], probe: float, planted: float, length: float) -> list[Row]:
    """Accuracies at the fewest and the most pairs."""

    def of(seed: int) -> dict[str, dict[str, dict[str, dict[str, float]] | dict[str, float]]]:
        noise = random.Random(seed).uniform(-0.01, 0.01)

        def point(accuracy: float) -> dict[str, float]:
            return {"accuracy": accuracy + noise, "deviation": 0.05, "layer": 18.0}

        curves = {"difference": {"16": point(real[0]), "64": point(real[1])}, "logistic": {}}
        curves["logistic"] = {"16": point(real[0]), "64": point(real[1] + probe + noise)}
        flat = {name: {"16": point(planted), "64": point(planted)} for name in METHODS}
        rule = {"longer": 0.0, "accuracy": length}
        return {"real": {**curves, "rules": rule}, "planted": {**flat, "rules": rule}}

    return fresh.rows(reproduction.measured(of(seed), DATA, few="16", many="64") for seed in range(8))


def test_the_claims_hold_for_directions_that_find_more_than_length_and_fail_for_noise() -> None:
    found = fresh.holding(reproduction.EXPERIMENT, measurements((0.6, 0.66), 0.05, 0.97, 0.55))
    assert found["few_pairs_suffice"]
    assert found["finds_a_planted_attribute"]
    assert found["better_than_length"]
    assert found["probe_beats_difference"]
    found = fresh.holding(reproduction.EXPERIMENT, measurements((0.49, 0.48), -0.05, 0.6, 0.55))
    assert found == dict.fromkeys(found, False)


def test_the_page_has_a_table_for_each_kind_of_pair(tmp_path: Path) -> None:
    text = fresh.page(reproduction.EXPERIMENT, measurements((0.6, 0.66), 0.05, 0.97, 0.55), tmp_path)
    assert all(f"### {words}" in text for words in KINDS.values())
