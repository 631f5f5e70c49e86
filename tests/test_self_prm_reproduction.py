"""Self-PRM in the small world: its texts, how a solution is chosen, and the arithmetic of the claims."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import fresh
from fathom.data.records import Comparison
from fathom.judges.self_prm import SelfPRMJudge
from fathom.lab import self_prm, solutions, world
from fathom.lab.experiments.results import Row
from fathom.lab.reproductions import self_prm as reproduction
from fathom.lab.self_prm import Measured

SETTINGS = reproduction.EXPERIMENT.settings
DRAWN = solutions.drawn(200, seed=3, larger=0.5)


# Texts ----------------------------------------------------------------------------------------------------------------


def test_larger_tasks_that_are_held_out_are_in_no_training_text() -> None:
    def tasks(held_out: bool) -> set[str]:
        drawn = solutions.drawn(400, seed=3, held_out=held_out, larger=0.5)
        larger = [each for each in drawn if each.is_larger]
        assert len(larger) / len(drawn) == pytest.approx(0.5, abs=0.1)
        return {str(each.expression) for each in larger}

    assert tasks(held_out=True).isdisjoint(tasks(held_out=False))


def test_a_check_has_a_solution_of_its_own() -> None:
    asked = world.Expression(37, "+", 18, "-", 21)
    slipped = solutions.Solution("", "compute", asked, (56, 35))
    assert slipped.text == "37 + 18 = 56\n56 - 21 = 35"
    expected = "37 + 18 = 55\n55 - 21 = 34\nJudgment: A 35 solution 34 wrong\n\nScore: 0"
    assert self_prm.checked(slipped) == expected


def test_scores_are_read_and_say_which_solutions_are_right() -> None:
    judge = SelfPRMJudge()
    for each in DRAWN:
        vote = judge.read(self_prm.checked(each), Comparison(id="", prompt=each.prompt, responses=(each.text,)))
        assert vote.scores is not None
        assert self_prm.says_right(vote.scores[0]) == (each.slip is None)


def test_the_base_has_a_token_for_every_word_of_prompts_and_texts(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    judge = SelfPRMJudge()
    words = AutoTokenizer.from_pretrained(solutions.extended_base(judge, self_prm.ANSWERS, 0, tmp_path))
    for each in DRAWN[:50]:
        item = Comparison(id="", prompt=each.prompt, responses=(each.text,))
        for text in (judge.ask(item)[0]["content"], each.prompt, each.right, self_prm.checked(each)):
            ids = words.encode(text, add_special_tokens=False)
            assert words.unk_token_id not in ids
            assert words.decode(ids) == text
        assert len(words.encode(self_prm.checked(each))) < self_prm.MAX_TOKENS


def test_the_whole_path_runs(tmp_path: Path) -> None:
    small = replace(SETTINGS, solving=32, scoring=32, steps=1, tasks=4, samples=2)
    self_prm.run("model", 0, small, tmp_path)
    found = self_prm.read_measured(tmp_path / "model.jsonl")
    assert [item.given_right for item in found] == [True, False, True, False]
    assert all(len(item.answers) == len(item.scores) == len(item.others) == 2 for item in found)


# Choosing -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9))
def test_a_majority_is_a_most_frequent_answer(answers: list[str]) -> None:
    counts = Counter(answers)
    leading = [answer for answer in counts if counts[answer] == max(counts.values())]
    found = self_prm.majority(answers)
    assert len(leading) > 1 or found == leading[0]
    assert found in counts


@pytest.mark.parametrize(
    ("answers", "scores", "expected"),
    [
        ("aab", [0.0, 0.0, 10.0], "b"),
        ("aab", [10.0, 0.0, 10.0], "a"),
        ("aab", [None, None, None], "a"),
        ("ba", [10.0, 10.0], "b"),
        ("ab", [None, 0.0], "b"),
    ],
    ids=["the highest score", "then the most frequent answer", "no score", "a tie", "a score that cannot be parsed"],
)
def test_the_best_score_decides_then_the_majority(answers: str, scores: list[float | None], expected: str) -> None:
    assert self_prm.chosen(list(answers), scores) == expected


# Arithmetic -----------------------------------------------------------------------------------------------------------

RATES = {False: 0.9, True: 0.2}
"""The share of right solutions, by whether a task is larger."""


def made(seed: int, accepts: float = 0.9, blind: float = 0.8, linked: bool = True) -> list[Measured]:
    """A model that accepts its right solutions and, on hard tasks, `blind` of its wrong ones."""
    rng = random.Random(seed)

    def item(number: int) -> Measured:
        larger, given_right = number % 2 == 0, number % 4 < 2
        rate = RATES[larger] * (0.4 + 0.6 * (number % 3 > 0))
        answers = [("7" if rng.random() < rate else str(rng.randrange(3))) for _ in range(32)]
        scores = [
            10.0 if rng.random() < (accepts if answer == "7" else blind if larger else 0.05) else 0.0
            for answer in answers[:16]
        ]
        solves = rng.random() < rate
        judged = rng.random() < (0.9 if solves or not linked else 0.4)
        return Measured(larger, "7", answers[:16], scores, answers[16:], solves, given_right, judged)

    return [item(number) for number in range(400)]


def measurements(**changes: float) -> list[Row]:
    return fresh.rows(reproduction.measured(made(seed, **changes)) for seed in range(8))


def test_claims_that_are_true_hold() -> None:
    assert set(fresh.holding(reproduction.EXPERIMENT, measurements()).values()) == {True}


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("rerank_beats_majority", {"accepts": 0.0, "blind": 1.0}),
        ("imprecise_on_hard_tasks", {"blind": 0.0}),
        ("not_independent", {"linked": False}),
        ("not_independent_within_kinds", {"linked": False}),
        ("blind_on_hard_tasks", {"blind": 0.0}),
        ("helps_on_hard_tasks", {"accepts": 0.0, "blind": 1.0}),
    ],
)
def test_a_claim_that_is_false_does_not_hold(claim: str, changes: dict[str, float]) -> None:
    assert not fresh.holding(reproduction.EXPERIMENT, measurements(**changes))[claim]


def test_a_dependence_that_only_kinds_explain_is_none_within_kinds() -> None:
    """Right solutions of small tasks are always judged right, wrong ones of larger tasks never; solving follows."""

    def item(right: bool, larger: bool, solves: bool) -> Measured:
        return Measured(larger, "7", ["7"], [10.0], ["7"], solves, right, judges_right=not larger)

    run = [item(right, False, True) for right in (True, False)] * 9 + [item(True, False, False)]
    run += [item(right, True, False) for right in (True, False)] * 9 + [item(True, True, True)]
    assert reproduction.dependence([run]) > 0.8
    assert reproduction.dependence(reproduction.kinds(run)) == 0.0


def test_results_make_a_page_and_a_figure(tmp_path: Path) -> None:
    found = measurements()
    page = fresh.page(reproduction.EXPERIMENT, found, tmp_path)
    precision = sum(row.figures["difficulties"]["hard"]["precision"] for row in found) / len(found)
    assert f"| {precision:.3f} [" in page
