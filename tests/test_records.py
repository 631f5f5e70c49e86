from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fathom.data.records import Comparison, Label, Message, shuffled_order
from strategies import comparisons


@st.composite
def comparisons_and_orders(draw: st.DrawFn) -> tuple[Comparison, list[int]]:
    comparison = draw(comparisons())
    return comparison, draw(st.permutations(range(len(comparison.responses))))


def inverse(order: list[int]) -> list[int]:
    return [order.index(place) for place in range(len(order))]


@given(comparisons_and_orders())
def test_reordering_and_reordering_back_changes_nothing(case: tuple[Comparison, list[int]]) -> None:
    comparison, order = case
    assert comparison.permuted(order).permuted(inverse(order)) == comparison


@given(comparisons_and_orders())
def test_the_label_follows_its_response(case: tuple[Comparison, list[int]]) -> None:
    comparison, order = case
    label, moved = comparison.label, comparison.permuted(order)
    if label is None:
        assert moved.label is None
        return
    assert moved.label is not None
    before, after = label.winner, moved.label.winner
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert order[after] == before
        assert moved.responses[after] == comparison.responses[before]


@given(comparisons_and_orders())
def test_a_reordered_comparison_knows_where_its_source_had_each_response(case: tuple[Comparison, list[int]]) -> None:
    comparison, order = case
    source = comparison.model_copy(update={"source_order": tuple(range(len(order)))})
    moved = source.permuted(order)
    assert moved.source_order is not None
    assert tuple(source.responses[place] for place in moved.source_order) == moved.responses


@given(st.integers(), st.text(), st.integers(min_value=1, max_value=8))
def test_placement_is_a_pure_function_and_an_order(seed: int, id: str, n: int) -> None:
    assert shuffled_order(seed, id, n) == shuffled_order(seed, id, n)
    assert sorted(shuffled_order(seed, id, n)) == list(range(n))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_placement_is_uniform_over_orders(n: int) -> None:
    draws = 6000
    counts = Counter(shuffled_order(0, f"item {k}", n) for k in range(draws))
    p = 1 / len(list(permutations(range(n))))
    # 4.5 standard deviations of a binomial count: 34 cells in all exceed it with a chance below 0.0003
    most = 4.5 * (draws * p * (1 - p)) ** 0.5
    assert all(abs(counts[order] - draws * p) < most for order in permutations(range(n)))


def test_placement_differs_between_seeds_about_half_of_the_time() -> None:
    same = sum(shuffled_order(0, str(k), 2) == shuffled_order(1, str(k), 2) for k in range(2000))
    assert abs(same - 1000) < 3 * 500**0.5


@pytest.mark.parametrize(
    ("label", "winner"),
    [
        (Label(best=1), 1),
        (Label(ranking=(2, 0, 1)), 2),
        (Label(scores=(0.1, 0.9, 0.3)), 1),
        (Label(scores=(0.5, 0.5)), None),
        (Label(scores=(0.9, 0.1, 0.9)), None),
    ],
)
def test_the_winner_of_a_label(label: Label, winner: int | None) -> None:
    assert label.winner == winner


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"responses": []}, "responses"),
        ({"label": {"best": 2}}, "label"),
        ({"label": {"best": -1}}, "label"),
        ({"label": {"best": True}}, "label"),
        ({"label": {"scores": [1.0]}}, "label"),
        ({"label": {"scores": [1.0, float("nan")]}}, "label"),
        ({"label": {"scores": []}}, "label"),
        ({"label": {"ranking": [0, 0]}}, "label"),
        ({"label": {"ranking": [0, 1, 2]}}, "label"),
        ({"label": {}}, "label"),
        ({"label": {"best": 0, "scores": [1.0, 0.0]}}, "label"),
        ({"source_order": [0, 0]}, "source_order"),
        ({"domain": "maths"}, "domain"),
        ({"refrence": "4"}, "refrence"),
    ],
)
def test_what_cannot_be_is_refused_and_its_field_is_named(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Comparison.model_validate({"id": "1", "prompt": "2 + 2?", "responses": ["4", "5"], **values})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


def test_an_empty_response_is_data() -> None:
    assert Comparison(id="1", prompt="Say nothing.", responses=("", "no")).responses == ("", "no")


# Plain values in Python


def test_a_comparison_takes_plain_values_and_makes_an_id_of_its_content() -> None:
    plain = Comparison(prompt="2 + 2?", responses=["4", "5"], label=0)  # type: ignore[arg-type]
    assert (plain.responses, plain.label) == (("4", "5"), Label(best=0))
    assert plain.id == Comparison(prompt="2 + 2?", responses=("4", "5"), label=Label(best=1)).id
    assert plain.id != Comparison(prompt="2 + 2?", responses=("5", "4")).id
    turns = Comparison(prompt=[{"role": "user", "content": "2 + 2?"}], responses=["4"])  # type: ignore[arg-type]
    assert turns.id == Comparison(prompt=(Message(role="user", content="2 + 2?"),), responses=("4",)).id
    assert Comparison(id=7, prompt="p", responses=["x"]).id == "7"  # type: ignore[arg-type]
    assert Comparison(id="", prompt="p", responses=("x",)).id == ""


@pytest.mark.parametrize("label", [True, [1, 0], "A", 2, -1, 0.5])
def test_a_plain_label_that_could_mean_two_things_is_refused(label: Any) -> None:
    with pytest.raises(ValidationError):
        Comparison(prompt="2 + 2?", responses=("4", "5"), label=label)


# Parts ----------------------------------------------------------------------------------------------------------------


def test_parts_of_text_are_a_text() -> None:
    parts = [{"type": "text", "text": "2 +"}, {"type": "text", "text": "2?"}]
    comparison = Comparison(prompt=[{"role": "user", "content": parts}], responses=[parts, "4"])
    assert comparison.prompt_text == "2 +\n\n2?"
    assert comparison.responses == ("2 +\n\n2?", "4")


def test_an_image_is_refused_in_one_sentence() -> None:
    image = [{"type": "text", "text": "What is this?"}, {"type": "image", "image": "cat.png"}]
    with pytest.raises(ValidationError, match="got an image, which Fathom cannot show to a judge yet"):
        Message(role="user", content=image)
    with pytest.raises(ValidationError, match="got an image, which Fathom cannot show to a judge yet"):
        Comparison(prompt="?", responses=[image])
