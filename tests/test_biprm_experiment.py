"""Reports of counts: where the evidence of a step is, the whole path, and the claims."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import fresh
from fathom.lab import evidence
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions import biprm as experiment

SETTINGS = experiment.EXPERIMENT.settings
SMALL = replace(SETTINGS, solutions=12, steps=2, batch=4, hidden=16, layers=1, held_out=20)


def test_labels_follow_from_the_evidence() -> None:
    found = evidence.solutions(50, SETTINGS.sizes, 0)
    wrong = 0
    for item in found:
        assert item.steps is not None
        words = [step.split() for step in item.steps[0]]
        said = {(kind, name): value for kind, name, _, value in words}
        for (kind, name, _, value), label in zip(words, experiment.labels_of(item), strict=True):
            source = {"measured": "counted", "used": "measured", "counted": "counted"}[kind]
            assert (label == 1) == (value == said[source, name])
            wrong += label == 0
    assert wrong > 20
    assert evidence.reverse(evidence.reverse(found[0])) == found[0]


def test_the_auc_of_a_kind_is_over_its_own_steps() -> None:
    [item] = [each for each in evidence.solutions(50, SETTINGS.sizes, 0) if each.id == "0"]
    assert item.steps is not None
    oracle = [float(label or 0.0) for label in experiment.labels_of(item)]
    labelled = {evidence.kind(step): label for step, label in zip(item.steps[0], oracle, strict=True)}
    assert set(labelled) == set(evidence.KINDS)
    many = [
        (each, [float(label or 0.0) for label in experiment.labels_of(each)])
        for each in evidence.solutions(50, SETTINGS.sizes, 1)
    ]
    found = experiment.figures_of(many, many)
    assert found == {"f1": 1.0, "later": 1.0, "earlier": 1.0}
    backwards = [(each, [1 - score for score in scores]) for each, scores in many]
    assert experiment.auc_of("measured", backwards) == 0.0


def test_the_whole_path_runs(tmp_path: Path) -> None:
    for part in experiment.ORDERS:
        experiment.run(part, 0, SMALL, tmp_path)
    found = experiment.measure(0, SMALL, tmp_path)
    assert set(found.figures) == set(experiment.READINGS)
    words = {words for claim in experiment.EXPERIMENT.register.claims for words in claim.contrasts}
    assert words == found.contrasts.keys()


def made_up(seed: int, both: float) -> Measurement:
    """A seed in which the model trained on both orders has learned this much of both kinds of evidence."""
    rng = random.Random(seed)

    def near(earlier: float, later: float) -> dict[str, float]:
        values = {"earlier": earlier, "later": later, "f1": (earlier + later) / 2}
        return {name: value + rng.gauss(0, 0.002) for name, value in values.items()}

    return experiment.measured(
        {
            "one, in order": near(0.9, 0.5),
            "one, both": near(0.8, 0.5),
            "both, in order": near(0.5 + both, 0.5),
            "both, reverse": near(0.5, 0.5 + both),
            "both, both": near(0.48 + both, 0.48 + both),
        }
    )


@pytest.mark.parametrize(
    ("both", "missing"),
    [
        (0.4, set()),
        (0.05, {"sees_later_evidence", "finds_more_first_errors", "costs_nothing_on_earlier_evidence"}),
    ],
)
def test_claims_hold_where_they_are_true(both: float, missing: set[str]) -> None:
    rows = fresh.rows(made_up(seed, both) for seed in range(10, 18))
    assert {name for name, holds in fresh.holding(experiment.EXPERIMENT, rows).items() if not holds} == missing


def test_the_page_shows_every_reading(tmp_path: Path) -> None:
    page = fresh.page(experiment.EXPERIMENT, fresh.rows(made_up(seed, 0.4) for seed in range(10, 18)), tmp_path)
    assert all(f"| {words} |" in page for words in experiment.READINGS.values())
