"""The small world: its labels follow from its definition, and its ceilings are exact."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Label
from fathom.judges.mix import MixJudge
from fathom.lab import world
from fathom.rationale import Status, parse, render

STYLES = ("vanilla", "breadth", "depth")
ITEMS = world.items(3000, seed=11, prefix="test")


def accuracy(style: world.Style, domain: str) -> float:
    rng = random.Random(5)
    items = [item for item in ITEMS if item.domain == domain]
    return sum("AB"[item.winner] == world.rationale(item, style, rng).verdict for item in items) / len(items)


def test_items_are_a_function_of_seed_and_prefix() -> None:
    assert world.items(20, seed=1) == world.items(20, seed=1)
    assert world.items(20, seed=1) != world.items(20, seed=2)
    assert world.items(20, seed=1) != world.items(20, seed=1, prefix="other")


def test_the_verb_decides_the_domain_and_half_of_the_items_are_of_each() -> None:
    assert sum(item.domain == "preference" for item in ITEMS) == len(ITEMS) / 2
    assert all(item.comparison.prompt.split()[0] in world.VERBS[item.domain] for item in ITEMS)


def test_the_better_response_stands_first_as_often_as_second() -> None:
    for domain in world.VERBS:
        winners = [item.winner for item in ITEMS if item.domain == domain]
        assert abs(sum(winners) / len(winners) - 0.5) < 3 * 0.5 / len(winners) ** 0.5


def test_exactly_one_answer_is_right_in_both_domains() -> None:
    assert all(item.answers.count(item.expression.value) == 1 for item in ITEMS)


def test_looks_tell_the_right_answer_as_often_as_the_world_says() -> None:
    place = world.PRINCIPLES.index(world.CRITICAL)
    items = [item for item in ITEMS if item.domain == "correctness"]
    told = sum((item.grades[0][place] > item.grades[1][place]) == (item.winner == 0) for item in items) / len(items)
    assert abs(told - world.TELL) < 3 * (0.75 * 0.25 / len(items)) ** 0.5


@pytest.mark.parametrize(("style", "domain"), [("breadth", "preference"), ("depth", "correctness")])
def test_a_fitting_style_is_always_right(style: world.Style, domain: str) -> None:
    assert accuracy(style, domain) == 1.0 == world.ceiling(style, domain)  # type: ignore[arg-type]


@pytest.mark.parametrize(("style", "domain"), list(product(STYLES, world.VERBS)))
def test_no_style_beats_its_ceiling(style: world.Style, domain: str) -> None:
    assert accuracy(style, domain) <= float(world.ceiling(style, domain)) + 0.04  # type: ignore[arg-type]


def test_the_ceiling_of_three_principles_by_hand() -> None:
    # Three coins shown of seven. A wins with four or more leads. With 3 leads shown, 1 of 4 hidden suffices: 15/16.
    # With 2, 2 of 4: 11/16. By symmetry 1 and 0 mirror them: (2 * 15 + 6 * 11) / (8 * 16) = 96/128.
    assert world.ceiling("vanilla", "preference") == Fraction(96, 128)
    assert world.ceiling("vanilla", "correctness") == world.TELL


def test_looking_at_sight_separates_the_styles_on_correctness() -> None:
    assert accuracy("depth", "correctness") > accuracy("vanilla", "correctness") > accuracy("breadth", "correctness")


@given(st.sampled_from(ITEMS), st.sampled_from(STYLES), st.integers(0, 99))
def test_rationales_are_canonical_text(item: world.Item, style: world.Style, seed: int) -> None:
    rationale = world.rationale(item, style, random.Random(seed))
    reading = parse(render(rationale))
    assert reading.status is Status.OK
    assert reading.rationale == rationale
    assert rationale.structure == style


@given(st.sampled_from(ITEMS))
def test_the_label_never_reaches_a_prompt(item: world.Item) -> None:
    comparison = item.comparison
    flipped = comparison.model_copy(update={"label": Label(best=1 - item.winner)})
    assert MixJudge(trained=True).ask(comparison) == MixJudge(trained=True).ask(flipped)
