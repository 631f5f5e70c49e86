"""What a label teaches a scalar reward model: a function of the comparison that moves with its responses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

from fathom.data.records import Comparison, Label
from fathom.train.recipe import RewardRecipe
from fathom.train.targets import of, pairs

numbers = st.lists(st.integers(0, 3), min_size=2, max_size=4)


def recipe(**keys: Any) -> RewardRecipe:
    return RewardRecipe(model="m", data="d", output="o", **keys)


def item(label: Label, n: int) -> Comparison:
    return Comparison(id="1", prompt="?", responses=tuple("abcd"[:n]), label=label)


@given(numbers)
def test_scores_order_every_pair_by_their_difference(scores: list[int]) -> None:
    found = pairs(Label(scores=tuple(scores)), len(scores))
    assert len(found) == len(scores) * (len(scores) - 1) // 2
    assert all(gap == scores[better] - scores[worse] >= 0 for better, worse, gap in found)


@given(numbers, st.randoms())
def test_pairs_move_with_the_responses(scores: list[int], draw: Any) -> None:
    order = list(range(len(scores)))
    draw.shuffle(order)
    label = Label(scores=tuple(scores))
    moved = {(order[better], order[worse], gap) for better, worse, gap in pairs(label.permuted(order), len(scores))}
    untied = {pair for pair in pairs(label, len(scores)) if pair[2] > 0}
    assert {pair for pair in moved if pair[2] > 0} == untied


def test_a_best_response_says_nothing_about_the_others() -> None:
    assert pairs(Label(best=1), 3) == [(1, 0, 1.0), (1, 2, 1.0)]
    ranked = of(recipe(loss="plackett_luce"), item(Label(best=1), 3))
    assert ranked is not None
    assert (ranked.order, ranked.places) == ((1, 0, 2), 1)
    assert ranked.ordered == [(1, 0), (1, 2)]


def test_ties_teach_only_the_losses_that_know_them() -> None:
    tie = item(Label(scores=(1.0, 1.0)), 2)
    assert of(recipe(), tie) is None
    assert of(recipe(loss="plackett_luce"), tie) is None
    learned = of(recipe(loss="ties"), tie)
    assert learned is not None
    assert [gap for _, _, gap in learned.pairs] == [0.0]
