"""Intervals cover what they claim to cover, and say so where they cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.metrics.intervals import bootstrap, wilson
from fathom.report.figures import grouped_bars


def test_wilson_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for successes, trials in ((0, 10), (41, 50), (50, 50), (1, 1000)):
        expected = binomtest(successes, trials).proportion_ci(method="wilson")
        found = wilson(successes, trials)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(1, 5000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_holds_the_share_and_stays_between_0_and_1(counts: tuple[int, int]) -> None:
    found = wilson(*counts)
    assert found is not None
    assert 0 <= found.low <= found.mean <= found.high <= 1


@pytest.mark.parametrize("successes", [0, 600])
def test_bounds_of_nothing_and_of_everything_can_be_drawn(successes: int, tmp_path: Path) -> None:
    found = wilson(successes, 600)
    assert found is not None
    assert grouped_bars({"accuracy": {"all": [found]}}, ["one"], tmp_path / "figure")


def test_nothing_measured_has_no_interval() -> None:
    assert wilson(0, 0) is None
    with pytest.raises(ValueError, match="at least one run"):
        bootstrap([])
    with pytest.raises(ValueError, match="at least one run"):
        bootstrap([[1.0], []])


def test_the_bootstrap_of_one_run_covers_its_mean_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    trials = [bootstrap([rng.random(200) < 0.7], replicates=400, seed=trial) for trial in range(300)]
    covered = sum(interval.low <= 0.7 <= interval.high for interval in trials) / len(trials)
    assert 0.91 <= covered <= 0.98  # 3 sigma about 0.95


def test_runs_that_disagree_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    alike = bootstrap([rng.random(400) < 0.5 for _ in range(4)])
    apart = bootstrap([rng.random(400) < share for share in (0.2, 0.4, 0.6, 0.8)])
    assert apart.high - apart.low > 3 * (alike.high - alike.low)


def test_constant_values_leave_no_doubt() -> None:
    assert bootstrap([[1.0] * 5, [1.0] * 7]) == (1.0, 1.0, 1.0)
