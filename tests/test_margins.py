"""Margins of scalar reward models: calibration, temperature, and accuracy by size."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log1p
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.judges import Vote
from fathom.metrics.margins import Margins, fit_temperature
from fathom.metrics.verdicts import summary, tally
from fathom.rationale import Status
from judged import row, vote


def drawn(count: int, temperature: float) -> list[float]:
    """Margins of pairs whose labels follow sigmoid(margin / temperature)."""
    draw = np.random.default_rng(0)
    sizes = np.abs(draw.normal(0, 2 * temperature, count))
    right = draw.random(count) < 1 / (1 + np.exp(-sizes / temperature))
    values: list[float] = np.where(right, sizes, -sizes).tolist()
    return values


def loss(margins: Sequence[float], temperature: float) -> float:
    return fmean(log1p(exp(-margin / temperature)) for margin in margins)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 20.0])
def test_the_temperature_that_drew_the_labels_is_found_and_calibrates(temperature: float) -> None:
    margins = Margins()
    for prompt, margin in enumerate(drawn(20_000, temperature)):
        margins.add(margin, prompt)
    assert margins.temperature == pytest.approx(temperature, rel=0.1)
    assert margins.ece_with_temperature == pytest.approx(0, abs=0.02)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20), st.floats(0.5, 2))
def test_no_other_temperature_is_likelier(margins: list[float], factor: float) -> None:
    fitted = fit_temperature(margins)
    if fitted is not None and 1e-3 < fitted < 1e3:
        assert loss(margins, fitted) <= loss(margins, fitted * factor) + 1e-9


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20), st.floats(0.1, 10))
def test_the_temperature_scales_with_the_scores(margins: list[float], scale: float) -> None:
    fitted, scaled = fit_temperature(margins), fit_temperature([scale * margin for margin in margins])
    if fitted is not None and scaled is not None:
        assert scaled == pytest.approx(scale * fitted, rel=1e-3)


@pytest.mark.parametrize("margins", [[], [1.0, 2.0], [-1.0, -2.0, 0.5], [0.0, 0.0], [3.0, 2e-308, 2e-308, -2e-308]])
def test_without_a_finite_temperature_there_is_none(margins: list[float]) -> None:
    assert fit_temperature(margins) is None


def test_accuracy_by_size_has_equal_parts_from_small_to_large() -> None:
    margins = Margins()
    for prompt, margin in enumerate([-0.1, 0.2, 0.0, 0.3, 1.0, -2.0, 3.0, 4.0]):
        margins.add(margin, prompt)
    parts = margins.by_size()
    assert [(part.low, part.high, part.pairs) for part in parts] == [(0, 0.1, 2), (0.2, 0.3, 2), (1, 2, 2), (3, 4, 2)]
    assert [part.accuracy for part in parts] == [0.25, 1.0, 0.5, 1.0]


def scored(number: int, scores: tuple[float, ...], label: int) -> dict[str, Any]:
    cast = Vote(Status.OK, scores.index(max(scores)), scores, tuple(range(len(scores))))
    return row([cast], label=label, id=str(number), prompt=f"Task {number}", responses=tuple("abc"[: len(scores)]))


def test_rows_of_a_model_that_writes_no_text_have_margins_and_a_calibration_of_scores() -> None:
    rows = [scored(0, (1.5, 0.5), 0), scored(1, (0.0, 0.5), 0), scored(2, (0.0, 3.0, 1.0), 1)]
    tallied = tally(rows)["all"]
    assert sorted(tallied.margins.values) == [-0.5, 1.0, 2.0, 3.0]
    found = summary({"all": tallied})["all"]
    assert found["margins"]["pairs"] == 4
    sure = [1 / (1 + exp(-1)), 1 / (1 + exp(-0.5)), 1 / (1 + exp(-3) + exp(-2))]
    assert found["calibration"]["scores"]["brier"] == pytest.approx(
        ((1 - sure[0]) ** 2 + sure[1] ** 2 + (1 - sure[2]) ** 2) / 3
    )


def test_points_of_a_judge_that_writes_are_no_log_odds() -> None:
    cast = Vote(Status.OK, 0, (9.0, 1.0), (0, 1), text="Scores: 9, 1")
    found = summary(tally([row([cast]), row([vote(0)], id="2")]))["all"]
    assert found["margins"] is None
    assert "scores" not in found["calibration"]
