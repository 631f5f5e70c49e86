"""Intervals cover what they claim to cover, and say so where they cannot."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.metrics.intervals import (
    Shares,
    clopper_pearson,
    cluster_bootstrap_mean,
    clustered,
    clustered_share,
    crossed_mean,
    student_mean,
    wilson,
)
from fathom.metrics.significance import holm, same_rate_p, student_p
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
    assert clopper_pearson(0, 0) is None


ROOT = Path(__file__).parent.parent
SIMULATED = run_path(str(ROOT / "benchmarks" / "coverage.py"))
coverage, scenarios, one_judge = (SIMULATED[name] for name in ("coverage", "scenarios", "one_judge"))
COMMITTED = json.loads((ROOT / "benchmarks" / "coverage.json").read_text(encoding="utf-8"))


def test_every_committed_coverage_is_at_least_93_in_100() -> None:
    assert COMMITTED["repetitions"] >= 2000
    assert list(COMMITTED["coverage"]) == list(scenarios(replicates=400)), "run benchmarks/coverage.py"
    assert {SIMULATED["mark"](share) for share in COMMITTED["coverage"].values()} == {"", "conservative"}
    assert SIMULATED["mark"](0.929) == "TOO LOW"


def test_the_page_on_measuring_states_the_committed_coverage() -> None:
    page = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")
    stated = SIMULATED["ranges"](COMMITTED["coverage"])
    assert len(stated) == 6
    assert [kind for kind, percent in stated.items() if percent not in page] == []
    assert "--repetitions {repetitions} --replicates {replicates}".format(**COMMITTED) in page


@pytest.mark.parametrize(("covered", "code"), [(0.94, 0), (0.92, 1)])
def test_a_coverage_that_is_too_low_fails_the_command(
    covered: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["coverage.py"])
    found = {"scenarios": lambda _: {"one": None}, "coverage": lambda *_: covered, "calibration_floor": lambda: 0.0}
    command = run_path(str(ROOT / "benchmarks" / "coverage.py"))["main"]
    for name, value in found.items():
        monkeypatch.setitem(command.__globals__, name, value)
    with pytest.raises(SystemExit) as ended:
        command()
    assert int(ended.value.code or 0) == code
    assert ("TOO LOW" in capsys.readouterr().out) == bool(code)


def shown(name: str) -> Any:
    """Scenarios of the tests. Pseudo-values take a minute."""
    return pytest.param(name, marks=pytest.mark.slow) if name.startswith("pseudo-values") else name


@pytest.mark.parametrize("name", map(shown, scenarios(replicates=400)))
def test_intervals_hold_the_truth_nineteen_times_in_twenty(name: str) -> None:
    # Four standard errors of 300 repetitions about 0.95; benchmarks/coverage.py has more repetitions.
    covered = coverage(scenarios(replicates=400)[name], 300)
    assert covered >= 0.90
    assert covered <= 0.99 or name.startswith(("clopper-pearson", "crossed", "pseudo-values")), "can be conservative"


def test_rows_taken_as_items_are_too_sure_where_prompts_decide() -> None:
    def naive(rng: np.random.Generator) -> Any:
        items = one_judge(rng, 0.8, 30, 9, 0.9)
        return wilson(int(items.values.sum()), len(items.values)), 0.8

    assert coverage(naive, 300) < 0.85


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_the_share_of_items_of_their_own_is_wilsons(values: list[bool]) -> None:
    expected = wilson(sum(values), len(values))
    assert expected is not None
    assert clustered_share([float(value) for value in values], range(len(values))) == pytest.approx(expected)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)), min_size=1, max_size=40))
def test_a_share_lies_in_its_interval_and_that_between_0_and_1(items: list[tuple[float, int]]) -> None:
    found = clustered_share(*map(list, zip(*items, strict=True)))
    assert found is not None
    assert found.mean == pytest.approx(fmean(value for value, _ in items))
    assert 0 <= found.low <= found.mean <= found.high <= 1


@pytest.mark.parametrize("distinct", [2, 255, 256, 1000])
def test_figures_counted_row_by_row_are_the_means_of_the_rows_that_have_them(distinct: int) -> None:
    # 255 values and None are what a byte can tell apart; beyond that, values are kept in single precision.
    values = [None if row % 7 == 0 else row % distinct / distinct for row in range(2000)]
    shares = Shares()
    for row, value in enumerate(values):
        shares.add({} if value is None else {"figure": value}, row // 2)
    known = [(value, row // 2) for row, value in enumerate(values) if value is not None]
    assert shares.count("figure") == len(known)
    assert shares.interval("figure") == pytest.approx(clustered_share(*map(list, zip(*known, strict=True))), rel=1e-6)
    assert shares.interval("another") is None


def test_clusters_that_do_not_vary_count_as_one_item_each() -> None:
    assert clustered_share([0.5] * 40, [item // 4 for item in range(40)]) == wilson(5, 10)


def test_any_figure_has_the_bounds_that_the_mean_has() -> None:
    rng = np.random.default_rng(0)
    clusters = [list(rng.normal(shift, 1, 4)) for shift in rng.normal(0, 1, 40)]
    flat = [(value, number) for number, cluster in enumerate(clusters) for value in cluster]
    by_mean = cluster_bootstrap_mean(*map(list, zip(*flat, strict=True)))
    named = [[("mean", value) for value in cluster] for cluster in clusters]
    by_figure = clustered(dict, named, replicates=4000)["mean"]
    assert by_mean is not None
    assert by_figure == pytest.approx(by_mean, abs=0.03)
    assert by_mean == cluster_bootstrap_mean(*map(list, zip(*flat, strict=True))), "seeded"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_figure_that_is_the_same_in_every_cluster_is_not_told_as_certain(value: float) -> None:
    clusters = [[("all", value), ("few" if number < 5 else "many", value)] for number in range(40)]
    found = clustered(lambda means: {**means, "made of them": means["all"]}, clusters, replicates=50)
    sizes = {"all": 40, "few": 5, "many": 35, "made of them": 40}
    assert found == {name: wilson(int(value) * size, size) for name, size in sizes.items()}


@pytest.mark.parametrize("values", [[0.1, 0.3], [0.2, 0.5, 0.1], list(np.random.default_rng(0).normal(size=10))])
def test_the_mean_of_seeds_has_students_interval(values: list[float]) -> None:
    from scipy import stats

    found = student_mean(values)
    assert found is not None
    expected = stats.t.interval(0.95, len(values) - 1, fmean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)


def test_values_that_show_no_spread_have_no_interval() -> None:
    assert student_mean([0.3]) is None
    assert student_mean([0.3, 0.3, 0.3]) is None
    assert crossed_mean([[0.1, 0.5], [0.5, 0.1]]) is None, "rows agree"
    assert crossed_mean([[0.1], [0.5]]) is None, "one cluster"
    assert crossed_mean([[0.1, 0.5], [0.5, 0.2]], strata=["a", "b"]) is None, "one cluster in each stratum"


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_exact_interval_is_scipys(counts: tuple[int, int]) -> None:
    from scipy.stats import binomtest

    found = clopper_pearson(*counts)
    assert found is not None
    expected = binomtest(*counts).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_strata_take_no_part_in_the_spread_of_clusters() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(8, 1)) * 0.02 + rng.normal(size=(1, 6)) * 0.02 + rng.normal(size=(8, 6)) * 0.02
    table[:, :3] += 1.0
    apart, together = crossed_mean(table, strata="aaabbb"), crossed_mean(table)
    assert apart is not None
    assert together is not None
    assert apart.mean == together.mean
    assert together.high - together.low > 5 * (apart.high - apart.low)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrected_p_values_grow_and_keep_their_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))
    pairs = sorted(zip(values, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(adjusted)
    assert min(adjusted) == pytest.approx(min(1.0, len(values) * min(values)))


def test_students_p_is_scipys_and_one_where_there_is_no_spread() -> None:
    from scipy.stats import ttest_1samp

    values = [0.1, 0.3, -0.1, 0.4]
    assert student_p(values) == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert student_p([0.2, 0.2]) == student_p([0.2]) == 1.0


def test_the_same_rate_agrees_and_a_very_different_one_does_not() -> None:
    assert same_rate_p([True] * 9 + [False], [True] * 8) == 1.0
    assert same_rate_p([True] * 9 + [False], [False] * 8) < 0.001


def test_one_cluster_tells_no_spread() -> None:
    assert cluster_bootstrap_mean([0.0, 1.0], ["one", "one"]) is None
    assert cluster_bootstrap_mean([], []) is None
    assert clustered_share([], []) is None
    with pytest.raises(ValueError, match="2 values, 1 clusters"):
        cluster_bootstrap_mean([0.0, 1.0], ["one"])
