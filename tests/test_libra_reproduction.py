"""Libra in the small world: the solutions that are judged, the texts of each arm, and the arithmetic of the claims."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import fresh
from fathom.data.reading import read, write_jsonl
from fathom.judges.libra import LibraJudge
from fathom.lab import libra, solutions, world
from fathom.lab.experiments.results import Row
from fathom.lab.libra import Arm, Measured
from fathom.lab.reproductions import libra as reproduction
from fathom.metrics.verdicts import tally
from fathom.rationale import Status
from fathom.results.rows import to_row

SETTINGS = reproduction.EXPERIMENT.settings
DRAWN = solutions.drawn(200, seed=3)


# Solutions ------------------------------------------------------------------------------------------------------------


def test_half_of_the_solutions_are_right_and_the_others_have_one_slip() -> None:
    assert sum(each.slip is None for each in DRAWN) == len(DRAWN) / 2
    assert {each.slip for each in DRAWN} == {None, 0, 1}
    for each in DRAWN:
        (left, written), (last, final) = (step.split(" = ") for step in each.text.splitlines())
        wrong = [result(left) != int(written), result(last) != int(final)]
        assert wrong == [each.slip == 0, each.slip == 1]
        assert last.startswith(f"{written} ")
        assert (int(final) == each.expression.value) == (each.slip is None)


def result(task: str) -> int:
    left, operator, right = task.split()
    return int(left) + (int(right) if operator == "+" else -int(right))


def test_held_out_solutions_are_of_tasks_that_no_training_shows() -> None:
    def pairs(held_out: bool) -> set[tuple[int, int]]:
        asked = [each.expression for each in solutions.drawn(200, seed=3, held_out=held_out)]
        return {pair for each in asked for pair in ((each.first, each.second), (each.middle, each.third))}

    assert pairs(held_out=True) <= world.HELD_OUT
    assert pairs(held_out=False).isdisjoint(world.HELD_OUT)


def test_the_reader_yields_pointwise_items_and_the_harness_is_right_about_every_one(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "solutions.jsonl", (each.row for each in DRAWN))
    known = {each.id: each for each in DRAWN}

    def verdict_of(text: str) -> list[bool | None]:
        judge = LibraJudge()
        items = list(read(tmp_path / "solutions.jsonl"))
        assert all(len(item.responses) == 1 and item.domain == "correctness" for item in items)
        rows = [to_row(item, judge.rule([judge.read(text, item)], threshold=judge.threshold)) for item in items]
        assert [row["correct"] for row in rows] == [
            (known[row["id"]].slip is None) == (text == libra.RIGHT) for row in rows
        ]
        accuracy = tally(rows)["all"].accuracy
        assert accuracy is not None
        assert accuracy.mean == 0.5
        return [row["correct"] for row in rows]

    assert verdict_of(libra.RIGHT) == [not right for right in verdict_of(libra.WRONG)]


# Texts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", libra.ARMS)
def test_texts_end_with_the_right_verdict_and_are_read(arm: Arm) -> None:
    judge = LibraJudge(trained=True)
    for each in DRAWN:
        [item] = read([each.row])
        vote = judge.read(libra.written(arm, each), item)
        assert vote.status is Status.OK
        assert vote.scores == (1.0 if each.slip is None else 0.0,)


def test_only_the_arm_that_thinks_writes_anything_that_is_not_in_the_prompt() -> None:
    wrong = [each for each in DRAWN if each.slip is not None]
    assert all(each.right in libra.written("thinks", each) for each in DRAWN)
    assert not any(each.right in libra.written("copies", each) for each in wrong)
    assert {libra.written("at once", each) for each in DRAWN} == set(libra.ANSWERS)


def test_the_base_has_a_token_for_every_word_of_prompts_and_texts(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    judge = LibraJudge(trained=True)
    words = AutoTokenizer.from_pretrained(solutions.extended_base(judge, libra.ANSWERS, 0, tmp_path))
    for each in DRAWN[:50]:
        [item] = read([each.row])
        for text in (judge.ask(item)[0]["content"], *(libra.written(arm, each) for arm in libra.ARMS)):
            ids = words.encode(text, add_special_tokens=False)
            assert words.unk_token_id not in ids
            assert words.decode(ids) == text
        assert len(words.encode(libra.written("thinks", each))) < libra.MAX_TOKENS


def test_the_whole_path_runs(tmp_path: Path) -> None:
    small = replace(SETTINGS, fine_tuning=64, steps=1, steps_at_once=1, held_out=8)
    libra.run("thinks", 0, small, tmp_path)
    assert [item.slip is None for item in libra.read_measured(tmp_path / "thinks.jsonl")] == [True, False] * 4


# Arithmetic -----------------------------------------------------------------------------------------------------------

TRUE: Mapping[Arm, float] = {"at once": 0.6, "copies": 0.7, "thinks": 0.95}
"""The accuracy of each arm; of the last one, where its own solution is right."""


def measurements(truth: Mapping[Arm, float], after_wrong: float = 0.5) -> list[Row]:
    return fresh.rows(
        reproduction.measured({arm: run(accuracy, after_wrong, seed) for arm, accuracy in truth.items()})
        for seed in range(8)
    )


def run(accuracy: float, after_wrong: float, seed: int) -> list[Measured]:
    rng = random.Random(seed)
    found = []
    for slip in (None, 0, None, 1) * 200:
        solved = rng.random() < 0.9
        accurate = rng.random() < (accuracy if solved else after_wrong)
        found.append(Measured(slip, 1.0, accurate, solved, 20))
    return found


def test_claims_that_are_true_hold() -> None:
    assert set(fresh.holding(reproduction.EXPERIMENT, measurements(TRUE)).values()) == {True}


@pytest.mark.parametrize(
    ("claim", "arm"),
    [("thinking_wins", "at once"), ("not_by_length", "copies")],
)
def test_a_claim_that_is_false_does_not_hold(claim: str, arm: Arm) -> None:
    assert not fresh.holding(reproduction.EXPERIMENT, measurements({**TRUE, arm: 0.95}))[claim]


def test_thinking_that_is_ignored_is_noticed() -> None:
    found = fresh.holding(reproduction.EXPERIMENT, measurements(TRUE, after_wrong=0.95))
    assert not found["thinking_must_be_right"]


def test_results_make_a_page_and_a_figure(tmp_path: Path) -> None:
    found = measurements(TRUE)
    page = fresh.page(reproduction.EXPERIMENT, found, tmp_path)
    accuracy = sum(row.figures["arms"]["copies"]["accuracy"] for row in found) / len(found)
    assert f"| copies | {accuracy:.3f} [" in page
