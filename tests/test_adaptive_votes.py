"""The reproduction of adaptive votes: its claims can come out false, and its numbers follow from what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fathom.metrics.intervals import Interval
from fathom.reproductions import adaptive_votes
from fathom.reproductions.adaptive_votes import Against, Judged, against_fixed, simulated


def judged(points: float, tokens: int, winner: int | None = 0) -> Judged:
    return Judged(points, tokens, winner)


def test_tokens_are_a_share_of_those_of_all_votes_and_differences_are_paired() -> None:
    fixed = [[judged(1.0, 32), judged(0.0, 32, 1)] * 10]
    adaptive = [[judged(1.0, 4), judged(0.5, 28, None)] * 10]
    told = against_fixed(adaptive, fixed)
    assert told.tokens.mean == 0.5
    assert told.accuracy.mean == 0.25
    assert told.other.mean == 0.5


def test_a_claim_is_told_by_whoever_is_nearest_to_failing_it() -> None:
    good = Against(Interval(0.0, -0.001, 0.001), Interval(0.2, 0.19, 0.21), Interval(0, 0, 0))
    dear = Against(Interval(0.0, -0.002, 0.001), Interval(0.45, 0.44, 0.46), Interval(0, 0, 0))
    wrong = Against(Interval(-0.02, -0.03, -0.01), Interval(0.1, 0.09, 0.11), Interval(0, 0, 0))
    assert adaptive_votes._worst({"good": good})["holds"] is True
    assert adaptive_votes._worst({"good": good, "dear": dear})["holds"] is False
    failed = adaptive_votes._worst({"good": good, "wrong": wrong})
    assert failed["holds"] is False
    assert "(wrong)" in failed["evidence"]


def test_a_simulated_judge_has_the_accuracy_and_the_correlation_it_is_said_to_have() -> None:
    runs = [simulated(0.75, 0.5, seed, 3000)["fixed"] for seed in range(2)]
    right = [item.points for run in runs for item in run]
    # With correlation 1/2 the chance has a Beta(0.75, 0.25) distribution: above 1/2 for 78.1 % of the comparisons.
    assert sum(right) / len(right) == pytest.approx(0.781, abs=0.02)
    assert simulated(0.75, 0.5, 0, 50) == simulated(0.75, 0.5, 0, 50)


@pytest.mark.slow
def test_the_experiment_runs_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    settings = adaptive_votes.Settings(held_out=20, simulated=50)
    first = list(adaptive_votes.reproduce(tmp_path, [0], settings))
    found = json.loads((tmp_path / "results.json").read_text())
    again = list(adaptive_votes.reproduce(tmp_path, [0], settings))
    assert len(first) == 4
    assert again[-1] == first[-1]
    assert json.loads((tmp_path / "results.json").read_text())["ways"] == found["ways"]
    assert found["ways"]["base"]["fixed 32"]["tokens"]["share"] == 1.0
    assert "| adaptive 0.05 |" in (tmp_path / "adaptive-votes.md").read_text()
