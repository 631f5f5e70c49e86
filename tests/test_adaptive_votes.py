"""The reproduction of adaptive votes: its claims can come out false, and its numbers follow from what was measured."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fresh
from fathom.judges import Rule
from fathom.lab.experiments.results import Measurement, load
from fathom.lab.experiments.running import reproduce
from fathom.lab.reproductions import adaptive_votes
from fathom.lab.reproductions.adaptive_votes import (
    KINDS,
    MOST,
    Judged,
    adaptive,
    best_possible,
    deviations,
    endings,
    exactly,
    expected,
    fixed,
    lead,
    spread_of_places,
)
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


def test_a_lead_stops_as_soon_as_one_verdict_is_far_enough_ahead() -> None:
    assert dict(endings((8, 0, 0, 0), lead(5))) == {(5, 0, 0, 0): 1.0}
    ends = endings((6, 6, 6, 0), lead(2))
    assert ends
    for counts in ends:
        first, second, _ = sorted(counts[:3], reverse=True)
        assert first - second == 2 or sum(counts) == 18


def test_two_votes_correlate_by_how_much_comparisons_differ() -> None:
    def rows(*right: int) -> list[dict[str, Any]]:
        return [{"label": 0, "votes": [{"status": "ok", "winner": int(k >= n)} for k in range(MOST)]} for n in right]

    assert adaptive_votes.correlation(rows(0, MOST)) == pytest.approx(1)
    drawn = random.Random(0)
    independent = [sum(drawn.random() < 0.7 for _ in range(MOST)) for _ in range(2000)]
    assert adaptive_votes.correlation(rows(*independent)) == pytest.approx(0, abs=0.01)


def test_a_fixed_number_of_votes_is_expected_to_be_any_of_that_many() -> None:
    one = expected((24, 8, 0, 0), FREE, fixed(1))
    assert one.points == pytest.approx(0.75)
    assert one.other == pytest.approx(0.25)
    assert one.tokens == pytest.approx(1)
    assert expected((24, 8, 0, 0), (2.0, 4.0, 0.0, 0.0), fixed(1)).tokens == pytest.approx(2.5)
    every = expected((24, 8, 0, 0), FREE, fixed(MOST))
    assert (every.points, every.tokens, every.other) == pytest.approx((1, 32, 0))


@pytest.mark.parametrize("accuracy", [0.65, 0.85])
@pytest.mark.parametrize("correlation", [0.0, 0.25])
@pytest.mark.parametrize("way", ["adaptive 0.03", "fixed 7", "lead of 5"])
def test_no_rule_passes_the_best_possible_one(accuracy: float, correlation: float, way: str) -> None:
    found = exactly(accuracy, correlation, way)
    assert found.difference <= found.best + 1e-9


def test_with_all_votes_the_best_rule_is_their_majority_and_with_none_a_coin() -> None:
    assert best_possible(0.75, 0.25, 1.0) == pytest.approx(exactly(0.75, 0.25).every, abs=1e-4)
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


def test_a_lucky_order_is_reported_in_standard_deviations() -> None:
    every = expected((20, 12, 0, 0), FREE, fixed(1))
    assert every.variance == pytest.approx(20 * 12 / 32**2)
    always_right = [Judged(1.0, 1, 0.0)] * 100
    deviation = (1 - 20 / 32) * 100 / (100 * every.variance) ** 0.5
    assert deviations(always_right, [every] * 100) == pytest.approx(deviation)


def test_tokens_are_a_share_of_those_of_all_votes_and_differences_are_paired() -> None:
    every = [Judged(1.0, 32, 0.0), Judged(0.0, 32, 0.0)] * 10
    some = [Judged(1.0, 4, 0.0), Judged(0.5, 28, 1.0)] * 10
    expected = {"accuracy": 0.75, "difference": 0.25, "tokens": 0.5, "other": 0.5}
    assert adaptive_votes._summary(some, every) == expected


@pytest.mark.parametrize(("accuracy", "correlation"), [(0.75, 0.5), (0.65, 0.0)])
def test_exact_figures_are_those_of_simulated_votes(accuracy: float, correlation: float) -> None:
    rng = random.Random(0)
    weight = 1 / correlation - 1 if correlation else 0.0
    cast = []
    for _ in range(4000):
        chance = rng.betavariate(accuracy * weight, (1 - accuracy) * weight) if weight else accuracy
        cast.append([KINDS[rng.random() > chance] for _ in range(MOST)])
    asked = [votes_until_settled(votes, Rule(), 0.03) for votes in cast]
    winners = [(Rule()(votes[:count]).winner, Rule()(votes).winner) for votes, count in zip(cast, asked, strict=True)]
    found = exactly(accuracy, correlation)
    # Four standard errors of 4,000 draws, of which the standard deviation is at most 1/2.
    assert sum(asked) / len(asked) / MOST == pytest.approx(found.tokens, abs=0.03)
    assert sum(one != other for one, other in winners) / len(cast) == pytest.approx(found.other, abs=0.012)
    assert sum(other == 0 for _, other in winners) / len(cast) == pytest.approx(found.every, abs=0.05)


def judged(chance: Callable[[int], float], rng: random.Random) -> list[dict[str, Any]]:
    """Rows with all votes, of which each has ten tokens."""
    tokens = {"tokens": {"completion": 10}}
    return [
        {
            "label": 0,
            "votes": [{"status": "ok", "winner": int(rng.random() > chance(k)), **tokens} for _ in range(MOST)],
        }
        for k in range(60)
    ]


def measured(seed: int) -> Measurement:
    every = judged(lambda k: (0.97, 0.9, 0.1)[k % 3], random.Random(seed))
    until = [{**row, "votes": row["votes"][:5]} for row in every]
    greedy = [{**row, "votes": row["votes"][:1]} for row in every]
    return adaptive_votes.measured({arm: [every, greedy, until] for arm in adaptive_votes.JUDGES})


def test_results_make_a_page_and_a_figure_and_the_page_names_the_limit(tmp_path: Path) -> None:
    rows = fresh.rows(map(measured, range(8)))
    assert fresh.holding(adaptive_votes.EXPERIMENT, rows)["keeps_accuracy"]
    page = fresh.page(adaptive_votes.EXPERIMENT, rows, tmp_path)
    assert "| fixed 32 | " in page
    over = [cell for accuracy in adaptive_votes.ACCURACIES if (cell := exactly(accuracy, 0.0)).other > 0.03]
    assert over
    assert all(f"**{cell.other:.3f}**" in page for cell in over)


@pytest.mark.slow
def test_the_experiment_runs_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    tiny = replace(adaptive_votes.EXPERIMENT, overrides={"held_out": 20})
    first = list(reproduce(tiny, tmp_path, [10]))
    found = load(tmp_path / "results.json")
    again = list(reproduce(tiny, tmp_path, [10]))
    assert again[-1] == first[-1]
    assert load(tmp_path / "results.json") == found
    ways = found.rows[0].figures["ways"]["base"]
    assert ways["fixed 32"]["tokens"] == 1.0
    assert ways[adaptive_votes.HAPPENED]["tokens"] == pytest.approx(ways["adaptive 0.03"]["tokens"], abs=0.1)
    assert "| adaptive 0.05 |" in (tmp_path / "adaptive-votes.md").read_text()
