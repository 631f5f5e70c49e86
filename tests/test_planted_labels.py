"""`benchmarks/planted_labels.py`: what labelers of the library find on planted errors with known truth."""

from __future__ import annotations

import runpy
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from fathom import sandbox

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return runpy.run_path(str(BENCHMARKS / "planted_labels.py"))


def test_a_majority_helps_only_if_votes_are_more_often_right_than_wrong(script: dict[str, Any]) -> None:
    figures = {key: fmean(each) for key, each in script["spark"](solutions=200).items()}
    for name in ("majority of 15, by steps", "majority of 15, by outcome"):
        # The standard error of a share of 1,000 solutions is at most 0.016.
        assert figures[0.7, name] > figures[0.7, "one vote"] + 0.3
        assert figures[0.45, name] < figures[0.45, "one vote"]


def test_further_prompts_help_as_far_as_their_errors_differ(script: dict[str, Any]) -> None:
    figures = {key: fmean(each) for key, each in script["aurora"](solutions=40).items()}
    gain = {shared: figures[shared, "three prompts"] - figures[shared, "one prompt"] for shared in (0.0, 0.5, 1.0)}
    assert gain[0.0] > 0.1
    assert gain[0.0] > gain[0.5] > gain[1.0] == 0
    assert figures[1.0, "three prompts and check_outcome"] > figures[1.0, "three prompts"]


def test_merged_steps_teach_that_a_step_repairs_the_one_before(script: dict[str, Any]) -> None:
    for misread in (0.0, 0.1):
        process, unseen, merged = (
            fmean(figures) for (key, _), figures in script["hnc"](solutions=300).items() if key == misread
        )
        assert unseen == process
        assert merged > process + 0.03


@pytest.mark.skipif(not sandbox.available(), reason="this system offers no sandbox")
def test_a_planted_line_is_found_by_unit_tests(script: dict[str, Any]) -> None:
    figures = script["psgpo"](programs=4)
    assert figures["bisection", "found, of all programs"] == figures["monte-carlo", "found, of all programs"] == [0.75]


@pytest.mark.slow
def test_checks_find_errors_that_rollouts_repair(script: dict[str, Any]) -> None:
    pytest.importorskip("z3")
    figures = {key: fmean(each) for key, each in script["grounded"](solutions=3, seeds=range(1)).items()}
    assert figures[0.3, "grounded", "miscalculated"] == figures[0.3, "fover", "miscalculated"] == 1
    assert figures[0.3, "monte-carlo", "miscalculated"] < 1
    assert figures[0.0, "fover", "wrong number"] == 0
