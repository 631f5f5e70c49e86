"""Kappa and alpha: the values of published worked examples, and what their definitions imply."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fathom.metrics.agreement import Weights, cohen_kappa, fleiss_kappa, krippendorff_alpha
from fathom.metrics.intervals import Interval

RATERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
"""Example C of Krippendorff 2011: four observers, twelve units, values that are missing."""
SUBJECTS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
"""Ten subjects, fourteen raters, five categories: the example with which Fleiss' kappa is usually shown (0.210)."""
ratings = st.lists(st.integers(0, 3), min_size=2, max_size=30)


def mean(interval: Interval | None) -> float:
    assert interval is not None
    return interval.mean


def units(raters: list[list[int | None]]) -> list[list[int | None]]:
    return [list(unit) for unit in zip(*raters, strict=True)]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_krippendorffs_own_example(level, alpha) -> None:  # type: ignore[no-untyped-def]
    assert mean(krippendorff_alpha(units(RATERS), level=level)) == pytest.approx(alpha, abs=5e-4)


def test_fleiss_kappa_is_that_of_the_usual_example() -> None:
    labels = [[category for category, count in enumerate(row) for _ in range(count)] for row in SUBJECTS]
    assert mean(fleiss_kappa(labels)) == pytest.approx(0.210, abs=5e-4)


def test_cohens_kappa_worked_by_hand() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: agreement 0.7; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert mean(cohen_kappa(*zip(*pairs, strict=True))) == pytest.approx(0.4)


def test_weights_count_how_far_labels_are_apart() -> None:
    # One of four items is two steps off. Linear: D_o = 2/4; D_e = 7/8 of a step. Quadratic: 4/4 and 11/8.
    one, other = [1, 1, 2, 3], [1, 3, 2, 3]
    margins = Counter(one), Counter(other)

    def expected(power: int) -> float:
        return sum(n * m * abs(a - b) ** power for a, n in margins[0].items() for b, m in margins[1].items()) / 16

    assert expected(1) == pytest.approx(1.0)
    assert mean(cohen_kappa(one, other, weights="linear")) == pytest.approx(1 - (2 / 4) / expected(1))
    assert mean(cohen_kappa(one, other, weights="quadratic")) == pytest.approx(1 - (4 / 4) / expected(2))


def by_definition(one: list[int], other: list[int], weights: Weights) -> float | None:
    """Cohen 1968, with disagreement weights, cell by cell."""
    apart = {"none": lambda d: float(d > 0), "linear": float, "quadratic": lambda d: float(d * d)}[weights]
    ranks = {label: place for place, label in enumerate(sorted({*one, *other}))}
    a, b = [[ranks[label] for label in side] for side in (one, other)]
    observed = sum(apart(abs(x - y)) for x, y in zip(a, b, strict=True)) / len(a)
    chance = sum(apart(abs(x - y)) for x in a for y in b) / len(a) ** 2
    return 1 - observed / chance if chance else None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25))
@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_cohens_kappa_follows_its_definition(weights, pairs) -> None:  # type: ignore[no-untyped-def]
    one, other = map(list, zip(*pairs, strict=True))
    expected = by_definition(one, other, weights)
    found = cohen_kappa(one, other, weights=weights)
    assert found is None if expected is None else mean(found) == pytest.approx(expected)


def alpha_by_definition(items: list[list[int]], level: str) -> float | None:
    """Pair by pair: within units over m - 1, and between all pairable values (Krippendorff 2011)."""
    kept = [item for item in items if len(item) > 1]
    values = [value for item in kept for value in item]
    n, counts = len(values), Counter(values)

    def apart(a: int, b: int) -> float:
        if level != "ordinal":
            return float(a != b) if level == "nominal" else float((a - b) ** 2)
        low, high = sorted((a, b))
        between = sum(count for value, count in counts.items() if low <= value <= high)
        return (between - (counts[low] + counts[high]) / 2) ** 2 if a != b else 0.0

    observed = sum(2 * apart(a, b) / (len(item) - 1) for item in kept for a, b in combinations(item, 2)) / (n or 1)
    expected = sum(2 * apart(a, b) for a, b in combinations(values, 2)) / ((n * (n - 1)) or 1)
    return 1 - observed / expected if expected else None


@given(st.lists(st.lists(st.integers(0, 4), max_size=5), max_size=12))
@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_follows_its_definition(level, items) -> None:  # type: ignore[no-untyped-def]
    expected = alpha_by_definition(items, level)
    found = krippendorff_alpha(items, level=level)
    assert found is None if expected is None else mean(found) == pytest.approx(expected)


@given(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), min_size=2, max_size=12))
def test_alpha_is_fleiss_kappa_but_for_small_samples(items: list[list[int]]) -> None:
    """Both take pooled frequencies; Krippendorff's expected disagreement is of n labels without putting one back."""
    kappa, alpha = fleiss_kappa(items), krippendorff_alpha(items)
    assume(kappa is not None)
    n = 3 * len(items)
    assert 1 - mean(alpha) == pytest.approx((1 - mean(kappa)) * (n - 1) / n)


@pytest.mark.parametrize(
    "found",
    [
        cohen_kappa([], []),
        cohen_kappa(["a", "a"], ["a", "a"]),
        fleiss_kappa([["a", "a"], ["a", "a"]]),
        krippendorff_alpha([["a", None], [None, "b"]]),
        krippendorff_alpha([[1, 1], [1, 1]], level="interval"),
    ],
)
def test_without_disagreement_by_chance_nothing_is_told(found: Interval | None) -> None:
    assert found is None


def test_different_numbers_of_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        cohen_kappa(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="the same number of labels"):
        fleiss_kappa([["a", "b"], ["a", "b", "b"]])


def test_perfect_agreement_of_few_items_is_not_certain() -> None:
    found = cohen_kappa(["a", "b"] * 10, ["a", "b"] * 10)
    assert found is not None
    assert (found.mean, found.high) == (1.0, 1.0)
    assert 0.7 < found.low < 0.9


@given(ratings)
def test_repeating_items_of_a_prompt_narrows_nothing(one: list[int]) -> None:
    other = [label if place % 3 else 3 - label for place, label in enumerate(one)]
    prompts = list(range(len(one)))
    alone, repeated = (cohen_kappa(one * times, other * times, prompts * times) for times in (1, 5))
    assume(alone is not None)
    assert repeated == pytest.approx(alone)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Two raters who agree with probability 0.8 on two equally frequent labels have a kappa of 0.6."""
    draw = random.Random(0)
    held = 0
    for _ in range(100):
        one = [draw.randrange(2) for _ in range(80)]
        other = [label if draw.random() < 0.8 else 1 - label for label in one]
        found = cohen_kappa(one, other)
        assert found is not None
        held += found.low <= 0.6 <= found.high
    assert 88 <= held <= 100


@pytest.mark.parametrize(
    ("model", "kappa"), [("gpt4", 0.97), ("mistralinstruct", 0.92), ("mistralguard", 0.89)], ids=str
)
def test_the_agreement_of_xstests_annotators_is_the_published_one(model: str, kappa: float) -> None:
    """Roettger et al. 2024, XSTest (arXiv 2308.01263): Fleiss' kappa of two annotators, in analysis.ipynb."""
    folder = os.environ.get("FATHOM_DATA")
    if folder is None:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    with gzip.open(Path(folder) / "xstest" / f"completions_{model}.jsonl.gz", "rt") as lines:
        labels = [(row["annotation_1"], row["annotation_2"]) for row in map(json.loads, lines)]
    assert mean(fleiss_kappa(labels)) == pytest.approx(kappa, abs=0.005)
    # Two raters with nearly the same frequencies: all three coefficients are close.
    values = [mean(cohen_kappa(*zip(*labels, strict=True))), mean(krippendorff_alpha(labels))]
    assert np.allclose(values, kappa, atol=0.01)
