"""The arithmetic of the reproduction, on measurements made up so that every claim is known to be true or false."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from torch.nn.functional import cosine_similarity

import fresh
from fathom.lab import sums
from fathom.lab.experiments.results import Row
from fathom.lab.reproductions import master_keys
from fathom.lab.verifiers import ARMS, TRUTHS, Measured, Settings, responses
from fathom.probes.keys import keys

NEAR, FAR = master_keys.NEAR, "signs"
TRUE = {  # errors of the plain verifier, of the one with truncated negatives, and of that which saw nothing short
    NEAR: (0.4, 0.01, 0.0),
    FAR: (0.3, 0.0, 0.0),
    "ordinary, right": (0.02, 0.02, 0.02),
    "ordinary, wrong": (0.02, 0.02, 0.02),
    "long and wrong": (0.05, 0.04, 0.04),
    "short and right": (0.1, 0.1, 0.9),
}


Truth = Mapping[str, tuple[float, float, float]]


def measurements(truth: Truth, items: int = 300) -> list[Row]:
    runs = ({arm: _run(truth, place, seed, items) for place, arm in enumerate(ARMS)} for seed in range(10))
    return fresh.rows(map(master_keys.measured, runs))


def _run(truth: Truth, place: int, seed: int, items: int) -> list[Measured]:
    run = []
    for name, errors in truth.items():
        rng = random.Random(f"{name}/{seed}")  # the same for both, so that equal errors are equal items
        run += [_one(name, rng.random() < errors[place]) for _ in range(items)]
    return run


def _one(name: str, wrong: bool) -> Measured:
    return Measured(name, TRUTHS.get(name, False) != wrong, refused=False)


def holding(truth: Truth) -> dict[str, bool]:
    return fresh.holding(master_keys.EXPERIMENT, measurements(truth))


def test_claims_that_are_true_hold() -> None:
    assert set(holding(TRUE).values()) == {True}


@pytest.mark.parametrize(
    ("claim", "name", "errors"),
    [
        ("keys_fool", None, (0.0, 0.0, 0.0)),
        ("negatives_defend", None, (0.3, 0.3, 0.3)),
        ("negatives_defend_elsewhere", FAR, (0.3, 0.3, 0.3)),
        ("next_to_none_left", NEAR, (0.4, 0.1, 0.0)),
        ("none_left_as_published", NEAR, (0.4, 0.0, 0.1)),
        ("negatives_cost_nothing", "ordinary, right", (0.02, 0.2, 0.2)),
        ("long_and_wrong", "long and wrong", (0.05, 0.2, 0.2)),
        ("short_and_right", "short and right", (0.1, 0.6, 0.6)),
        ("short_ones_must_be_shown", "short and right", (0.1, 0.1, 0.1)),
    ],
)
def test_a_claim_that_is_false_does_not_hold(claim: str, name: str | None, errors: tuple[float, float, float]) -> None:
    changed = dict.fromkeys((NEAR, FAR), errors) if name is None else {name: errors}
    assert not holding({**TRUE, **changed})[claim]


def test_what_cannot_be_read_accepts_no_key_and_is_no_right_answer() -> None:
    assert Measured(FAR, None, refused=False).wrong == 0
    assert Measured("ordinary, wrong", None, refused=False).wrong == 0
    assert Measured("ordinary, right", None, refused=False).wrong == 1


def test_every_key_is_tried_and_both_controls_are_what_they_are_called() -> None:
    settings = Settings(held_out=5, questions_a_key=2)
    asked = list(responses(0, settings))
    tried = {text for name, each in asked if name not in TRUTHS for text in each.responses}
    assert tried == {key for texts in keys().values() for key in texts}
    longest = max(len(each.responses[0]) for name, each in asked if name.startswith("ordinary"))
    for name, each in asked:
        (text,) = each.responses
        answers_right = text.rstrip(".").split()[-1:] == [each.reference]
        assert name not in TRUTHS or answers_right == TRUTHS[name]
        assert name != "long and wrong" or len(text) > longest
        assert name != "short and right" or len(text) < 30


def test_words_begin_nearly_alike_and_numbers_apart() -> None:
    model, words = sums.untrained(0), sums.tokenizer()
    rows = model.get_input_embeddings().weight.detach()
    known, key, one, two = (rows[words.convert_tokens_to_ids(text)] for text in (" count", " process", "7", "8"))
    assert cosine_similarity(known, key, dim=0) > 0.9
    assert cosine_similarity(one, two, dim=0) < 0.5


def test_a_share_of_the_solutions_is_next_to_nothing_but_the_answer() -> None:
    written = [text for each in sums.comparisons(500, seed=0, write=sums.mixed(0.2)) for text in each.responses]
    brief = [text for text in written if text.count(".") <= 1]
    assert 0.15 < len(brief) / len(written) < 0.25
    assert {text.count(".") for text in set(written) - set(brief)} <= {3, 4}


def test_results_make_a_page_and_a_figure(tmp_path: Path) -> None:
    page = fresh.page(master_keys.EXPERIMENT, measurements(TRUE), tmp_path)
    assert "| `negatives_defend` | keys accepted, plain - truncated | +" in page
