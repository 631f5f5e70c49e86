"""Correlations without scipy, held against scipy's."""

from __future__ import annotations

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.metrics.correlations import Correlations, correlations

PAIRS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(-3, 3) | st.sampled_from([0.5, 1e6])), min_size=2, max_size=40
)


@given(PAIRS)
def test_correlations_are_those_of_scipy_ties_and_all(pairs: list[tuple[float, float]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    one, other = zip(*pairs, strict=True)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert all(map(isnan, correlations(one, other)))
        return
    expected = [
        stats.pearsonr(one, other).statistic,
        stats.spearmanr(one, other).statistic,
        stats.kendalltau(one, other).statistic,
    ]
    assert correlations(one, other) == pytest.approx(expected, abs=1e-9)


def test_one_pair_of_three_in_the_wrong_order() -> None:
    # Ranks 1 2 3 and 1 3 2: differences 0, 1, 1, so rho is 1 - 6 x 2 / (3 x 8) = 0.5; two of three pairs agree.
    found = correlations([1, 2, 3], [10, 30, 20])
    assert found == pytest.approx(Correlations(pearson=0.5, spearman=0.5, kendall=1 / 3))


def test_two_measurements_must_be_of_the_same_items() -> None:
    with pytest.raises(ValueError, match="got 1 and 2"):
        correlations([1.0], [1.0, 2.0])
