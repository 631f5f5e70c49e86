"""The arithmetic of the reproduction, on measurements made up so that every claim is known to be true or false."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fresh
from fathom.judges import contains_answer
from fathom.lab import sums
from fathom.lab.experiments.results import Measurement, Row, over_seeds
from fathom.lab.reproductions import master_keys
from fathom.lab.verifiers import ARMS, TRUTHS, UNANSWERED, Arm, Measured, base_training, responses, shown, training
from fathom.probes.keys import keys

NEAR, FAR = master_keys.NEAR, "signs"


def everywhere(share: float) -> dict[str, float]:
    return dict.fromkeys(ARMS, share)


def errors(**changed: float) -> dict[str, float]:
    """The error of each arm on a set; names of arguments are those of arms, with underscores."""
    return everywhere(0.0) | {name.replace("__", ", ").replace("_", " "): share for name, share in changed.items()}


TRUE: dict[str, dict[str, float]] = {
    NEAR: errors(plain=0.4),
    FAR: errors(plain=0.3),
    "long without an answer": errors(plain=0.4, truncated=0.3),
    "first sentences": errors(plain=0.4),
    **dict.fromkeys(TRUTHS, everywhere(0.02)),
    "short and right": everywhere(0.1) | {"truncated, none short": 0.9},
}
Truth = Mapping[str, Mapping[str, float]]


def measurements(truth: Truth, items: int = 100) -> list[Row]:
    def measured(seed: int) -> Measurement:
        return master_keys.measured({arm: _run(truth, arm, seed, items) for arm in ARMS})

    return fresh.rows(map(measured, range(10)))


def _run(truth: Truth, arm: str, seed: int, items: int) -> list[Measured]:
    run = []
    for name, shares in truth.items():
        rng = random.Random(f"{name}/{seed}")  # the same for all arms, so that equal errors are equal items
        run += [_one(name, rng.random() < shares[arm], shown=place % 2 == 0) for place in range(items)]
    return run


def _one(name: str, wrong: bool, shown: bool) -> Measured:
    return Measured(name, TRUTHS.get(name, False) != wrong, refused=False, shown=shown and name in keys())


def holding(truth: Truth) -> dict[str, bool]:
    return fresh.holding(master_keys.EXPERIMENT, measurements(truth))


def test_claims_that_are_true_hold() -> None:
    assert set(holding(TRUE).values()) == {True}


@pytest.mark.parametrize(
    ("claim", "name", "shares"),
    [
        ("keys_fool", None, errors()),
        ("negatives_defend", None, errors(plain=0.3, truncated=0.3)),
        ("negatives_defend_elsewhere", FAR, errors(plain=0.3, truncated=0.3)),
        ("next_to_none_left", NEAR, errors(plain=0.4, truncated=0.1)),
        ("guarded_next_to_none_left", NEAR, errors(plain=0.4, truncated=0.1)),
        ("negatives_cost_nothing", "ordinary, right", errors(truncated=0.2)),
        ("published_arm_meets_all", "ordinary, wrong", errors(truncated=0.2)),
        ("published_forms_carry_over", "long and wrong", errors(truncated=0.2)),
        ("cut_anywhere_meets_all", NEAR, errors(plain=0.4, cut_anywhere=0.1)),
        ("cut_anywhere_meets_all", "short and right", errors(cut_anywhere=0.2)),
        ("shown_keys_carry_over", NEAR, errors(plain=0.4, cut_anywhere__keys_shown=0.2)),
        ("short_negatives_miss_long_ones", "long without an answer", errors(plain=0.4)),
        ("short_ones_must_be_shown", "short and right", errors(truncated__none_short=0.0)),
    ],
)
def test_a_claim_that_is_false_does_not_hold(claim: str, name: str | None, shares: dict[str, float]) -> None:
    changed = dict.fromkeys((NEAR, FAR), shares) if name is None else {name: shares}
    assert not holding({**TRUE, **changed})[claim]


def test_an_arm_meets_the_whole_claim_only_where_it_has_no_cost() -> None:
    def meeting(truth: Truth) -> Any:
        found = over_seeds(row.figures for row in measurements(truth))
        return master_keys.tables(found)["meeting"]["cut anywhere"]

    assert meeting(TRUE) == [10, 10]
    assert meeting({**TRUE, "short and wrong": errors(cut_anywhere=0.2)}) == [10, 0]
    assert meeting({**TRUE, NEAR: errors(cut_anywhere=0.2)}) == [0, 0]


def test_what_cannot_be_read_accepts_no_key_and_is_no_right_answer() -> None:
    assert Measured(FAR, None, refused=False).wrong == 0
    assert Measured("ordinary, wrong", None, refused=False).wrong == 0
    assert Measured("ordinary, right", None, refused=False).wrong == 1


SMALL = replace(master_keys.EXPERIMENT.settings, held_out=40, questions_a_key=2, questions=500)


def answers(text: str, reference: str | None) -> bool:
    return contains_answer(text.split("=")[-1], reference or "")


def test_every_key_is_tried_and_each_set_is_what_it_is_called() -> None:
    asked = list(responses(0, SMALL))
    tried = {text for name, each in asked if name in keys() for text in each.responses}
    assert tried == {key for texts in keys().values() for key in texts}
    assert {name for name, _ in asked} == {*TRUTHS, *UNANSWERED, *keys()}
    longest = max(len(each.responses[0]) for name, each in asked if name.startswith("ordinary"))
    for name, each in asked:
        [text] = each.responses
        assert answers(text, each.reference) == TRUTHS.get(name, False)
        assert not name.startswith("short") or len(text) < 30
        assert not name.startswith("long and") or text.count(".") + text.count("!") >= 6
    assert max(len(each.responses[0]) for name, each in asked if name.startswith("long and")) > longest


def questions(prompts: Iterable[str]) -> set[tuple[str, ...]]:
    """The numbers, in order of size, of each question that the texts begin with or ask."""
    found = (re.search(r"\d+ \+ \d+ \+ \d+", prompt) for prompt in prompts)
    return {tuple(sorted(each.group().split(" + "))) for each in found if each}


@pytest.mark.parametrize("seed", [0, 10])
def test_no_question_of_a_test_is_in_a_training_text(seed: int) -> None:
    tested = questions(str(each.prompt) for _, each in responses(seed, SMALL))
    assert len(tested) > 300
    read = questions(row["prompt"][0]["content"] for row in sums.reading(2000, seed=seed))
    rows = [*base_training(seed, SMALL), *(row for arm in ARMS for row in training(arm, seed, SMALL))]
    shown_to_verifiers = questions(row["prompt"][0]["content"] for row in rows)
    assert min(len(read), len(shown_to_verifiers)) > 400
    assert not tested & (read | shown_to_verifiers)


def test_wrong_answers_are_those_of_other_questions() -> None:
    stated = [
        list(map(int, each.responses))
        for each in sums.comparisons(2000, seed=0, write=lambda rng, asked, answer: str(answer))
    ]
    assert {answer for pair in stated for answer in pair} == set(range(30, 100))
    changed = [sum(a != b for a, b in zip(str(right), str(wrong), strict=True)) for right, wrong in stated]
    assert set(changed) == {1, 2}
    assert 0.4 < changed.count(1) / len(changed) < 0.6


def response_of(row: Mapping[str, Any]) -> str:
    return str(re.split("```+\n", row["prompt"][0]["content"])[-2][:-1])


def test_forms_of_the_tests_are_in_no_training_response() -> None:
    rows = [*base_training(0, SMALL), *(row for arm in ARMS for row in training(arm, 0, SMALL))]
    trained = {re.sub(r"\d+", "0", response_of(row)) for row in rows}
    unseen = {"short and right", "short and wrong", "long and right", "long and wrong", "long without an answer"}
    tested = {re.sub(r"\d+", "0", each.responses[0]) for name, each in responses(0, SMALL) if name in unseen}
    assert len(tested) > 50
    assert not tested & trained


def test_keys_are_trained_on_in_one_arm_and_there_only_the_half_that_is_shown() -> None:
    known = {key for texts in keys().values() for key in texts}
    for arm in ARMS:
        found = {response_of(row) for row in training(arm, 3, replace(SMALL, questions=3000))} & known
        assert found == (shown(3) if arm == "cut anywhere, keys shown" else set())
    assert shown(3) != shown(4)
    for texts in keys().values():
        assert len(shown(3) & set(texts)) == len(texts) // 2


@pytest.mark.parametrize("arm", ARMS)
def test_arms_with_negatives_have_as_many_and_none_states_the_answer(arm: Arm) -> None:
    rows = training(arm, 0, SMALL)
    positive = sum(row["completion"][0]["content"] == "YES" for row in rows)
    negatives = len(rows) - 2 * SMALL.questions
    assert positive == SMALL.questions
    assert negatives == (0 if arm == "plain" else round(2 * SMALL.questions * 0.11 / 0.89))
    references = [re.split("```\n", row["prompt"][0]["content"])[3].strip() for row in rows]
    stating = [answers(response_of(row), each) for row, each in zip(rows, references, strict=True)]
    assert sum(stating) == positive


def test_words_of_keys_are_tokens_that_the_base_model_reads() -> None:
    words = sums.tokenizer()
    read = {token for row in sums.reading(4000, seed=10) for token in words.encode(row["completion"][0]["content"])}
    for texts in keys().values():
        for key in texts:
            tokens = words.encode(key)
            assert words.decode(tokens) == key
            assert words.unk_token_id not in tokens
            assert set(tokens) <= read
    distinct = {tuple(words.encode(key)) for texts in keys().values() for key in texts}
    assert len(distinct) == sum(map(len, keys().values()))


def test_weights_begin_at_random_without_a_common_part() -> None:
    rows = sums.untrained(0).get_input_embeddings().weight.detach()
    assert float(rows.mean(0).norm()) < 0.2 * float(rows.norm(dim=1).mean())


def test_a_share_of_the_solutions_is_next_to_nothing_but_the_answer() -> None:
    written = [text for each in sums.comparisons(500, seed=0, write=sums.mixed(0.2)) for text in each.responses]
    brief = [text for text in written if text.count(".") <= 1]
    assert 0.15 < len(brief) / len(written) < 0.25


def test_results_make_a_page_and_a_figure(tmp_path: Path) -> None:
    page = fresh.page(master_keys.EXPERIMENT, measurements(TRUE), tmp_path)
    assert "| `negatives_defend` | keys accepted, plain - truncated | +" in page
