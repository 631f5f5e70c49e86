"""The reproduction of adaptive votes: its claims can come out false, and its numbers follow from what was measured."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.judges import Rule
from fathom.lab.reproductions import adaptive_votes
from fathom.lab.reproductions.adaptive_votes import (
    ALL,
    KINDS,
    MOST,
    WAYS,
    Against,
    Judged,
    adaptive,
    against_all,
    best_possible,
    deviations,
    endings,
    expected,
    fixed,
    fixed_accuracy,
    simulated,
    spread_of_places,
)
from fathom.metrics.intervals import Interval
from fathom.voting.adaptive import votes_until_settled

FREE = (1.0,) * len(KINDS)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.sampled_from([0.0, 0.05, 0.2, 0.4]))
def test_all_orders_are_weighed_as_if_each_had_been_asked_for(kinds: list[int], error: float) -> None:
    orders = list(permutations(kinds))
    asked = [order[: votes_until_settled([KINDS[kind] for kind in order], Rule(), error)] for order in orders]
    stopped = Counter(tuple(order.count(kind) for kind in range(len(KINDS))) for order in asked)
    cast = tuple(kinds.count(kind) for kind in range(len(KINDS)))
    ends = endings(cast, adaptive(error))
    assert dict(ends) == pytest.approx({counts: times / len(orders) for counts, times in stopped.items()})
    assert expected(cast, FREE, adaptive(error)).tokens == pytest.approx(sum(map(len, asked)) / len(orders))


def test_a_fixed_number_of_votes_is_expected_to_be_any_of_that_many() -> None:
    one = expected((24, 8, 0, 0), FREE, fixed(1))
    assert one.points == pytest.approx(0.75)
    assert one.other == pytest.approx(0.25)
    assert one.tokens == pytest.approx(1)
    assert expected((24, 8, 0, 0), (2.0, 4.0, 0.0, 0.0), fixed(1)).tokens == pytest.approx(2.5)
    every = expected((24, 8, 0, 0), FREE, fixed(MOST))
    assert (every.points, every.tokens, every.other) == pytest.approx((1, 32, 0))


@pytest.mark.parametrize("accuracy", [0.65, 0.85])
@pytest.mark.parametrize("correlation", [0.02, 0.25])
@pytest.mark.parametrize("way", ["adaptive 0.03", "fixed 8"])
def test_no_rule_passes_the_best_possible_one(accuracy: float, correlation: float, way: str) -> None:
    cast = simulated(accuracy, correlation, 0, 20000)
    told = [expected(counts, FREE, WAYS[way]) for counts in cast]
    reached = sum(item.points for item in told) / len(told)
    share = sum(item.tokens for item in told) / len(told) / MOST
    assert reached < best_possible(accuracy, correlation, share) + 0.004  # a standard error of 20,000 coins


def test_with_all_votes_the_best_rule_is_their_majority_and_with_none_a_coin() -> None:
    assert best_possible(0.75, 0.25, 1.0) == pytest.approx(fixed_accuracy(0.75, 0.25), abs=1e-4)
    assert best_possible(0.75, 0.25, 0.0) == pytest.approx(0.5, abs=1e-4)
    with_one = best_possible(0.75, 0.25, 1 / MOST)
    assert 0.75 - 1e-9 <= with_one < best_possible(0.75, 0.25, 3 / MOST)


def rows(chance: Callable[[int], float], count: int = 400) -> list[dict[str, Any]]:
    rng = random.Random(0)
    return [
        {"label": 0, "votes": [{"status": "ok", "winner": int(rng.random() > chance(place))} for place in range(MOST)]}
        for _ in range(count)
    ]


def test_votes_that_get_worse_with_their_place_are_not_exchangeable() -> None:
    assert 0.5 < spread_of_places(rows(lambda _: 0.7)) < 1.6  # chi-squared with 31 degrees of freedom, divided by 31
    assert spread_of_places(rows(lambda place: 0.8 - place / 100)) > 5


def test_a_lucky_order_is_told_in_standard_deviations() -> None:
    told = expected((20, 12, 0, 0), FREE, fixed(1))
    assert told.variance == pytest.approx(20 * 12 / 32**2)
    always_right = [[Judged(1.0, 1, 0.0)] * 100]
    deviation = (1 - 20 / 32) * 100 / (100 * told.variance) ** 0.5
    assert deviations(always_right, [[told] * 100]) == pytest.approx(deviation)


def test_tokens_are_a_share_of_those_of_all_votes_and_differences_are_paired() -> None:
    every = [[Judged(1.0, 32, 0.0), Judged(0.0, 32, 0.0)] * 10]
    some = [[Judged(1.0, 4, 0.0), Judged(0.5, 28, 1.0)] * 10]
    told = against_all(some, every)
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
    cast = [counts for seed in range(2) for counts in simulated(0.75, 0.5, seed, 3000)]
    points = sum(expected(counts, FREE, WAYS[ALL]).points for counts in cast) / len(cast)
    # With correlation 1/2 the chance has a Beta(0.75, 0.25) distribution: above 1/2 for 78.1 % of the comparisons.
    assert points == pytest.approx(0.781, abs=0.02)
    assert points == pytest.approx(fixed_accuracy(0.75, 0.5), abs=0.02)
    assert sum(right for right, *_ in cast) / len(cast) / MOST == pytest.approx(0.75, abs=0.02)
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
    happened, told = (found["ways"]["base"][way] for way in (adaptive_votes.HAPPENED, "adaptive 0.03"))
    assert happened["tokens"]["share"] == pytest.approx(told["tokens"]["share"], abs=0.1)
    assert "| adaptive 0.05 |" in (tmp_path / "adaptive-votes.md").read_text()
