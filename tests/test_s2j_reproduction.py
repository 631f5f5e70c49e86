"""S2J in the small world: its texts, its rewards, and the arithmetic of its claims."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import fresh
from fathom.judges import Vote
from fathom.judges.s2j import S2JJudge
from fathom.lab import base, s2j, world
from fathom.lab.experiments.results import Row
from fathom.lab.reproductions import s2j as reproduction
from fathom.lab.s2j import Measured
from fathom.metrics.answers import Verifier
from fathom.rationale import Rationale, Status
from fathom.train import recipes
from fathom.train.recipe import RLVRRecipe, load

SETTINGS = reproduction.EXPERIMENT.settings
ITEMS = s2j.items(400, seed=3, verbs=world.split(3).sft, prefix="test")


def votes(**changes: float) -> list[Vote]:
    rng, judge = random.Random(0), S2JJudge(trained=True)
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
    return [judge.read(s2j.written(item, rng, settings), item.comparison) for item in ITEMS]


def solves(item: world.Item, vote: Vote) -> bool:
    assert vote.rationale is not None
    return vote.rationale.trace == "\n".join(item.expression.steps)


# Texts ----------------------------------------------------------------------------------------------------------------


def test_texts_have_the_stated_shares_of_mistakes_and_of_verdicts_by_looks() -> None:
    found = list(zip(ITEMS, votes(), strict=True))
    assert {vote.status for _, vote in found} == {Status.OK}
    solved = [(item, vote) for item, vote in found if solves(item, vote)]
    assert len(solved) / len(found) == pytest.approx(1 - SETTINGS.mistakes, abs=0.06)
    gap = sum(vote.winner != item.winner for item, vote in solved) / len(solved)
    assert gap == pytest.approx(s2j.expected_gap(SETTINGS), abs=0.06)


def test_without_either_error_every_text_is_right() -> None:
    for item, vote in zip(ITEMS, votes(mistakes=0.0, by_looks=0.0), strict=True):
        assert solves(item, vote)
        assert vote.winner == item.winner


def test_verdicts_by_looks_ignore_the_solution() -> None:
    assert [vote.winner for vote in votes(mistakes=1.0, by_looks=1.0)] == [s2j.looks_right(item) for item in ITEMS]


def test_the_base_has_a_token_for_every_word_of_prompts_and_texts(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(base.extended(s2j.phrases(), 0, tmp_path))
    rng = random.Random(0)
    for item in ITEMS[:50]:
        for text in (
            S2JJudge(trained=True).ask(item.comparison)[0]["content"],
            s2j.written(item, rng, SETTINGS),
        ):
            ids = words.encode(text, add_special_tokens=False)
            assert words.unk_token_id not in ids
            assert words.decode(ids) == text
        assert len(words.encode(s2j.written(item, rng, SETTINGS))) < s2j.MAX_TOKENS


# Rewards --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reward", "of_both_right", "of_the_verdict", "of_the_solution"),
    [("verdict", 1.0, 1.0, -1.0), ("both", 1.5, 1.0, -0.5), ("solution", 1.0, -1.0, 1.0)],
)
def test_each_arm_rewards_what_it_is_called(
    reward: str, of_both_right: float, of_the_verdict: float, of_the_solution: float
) -> None:
    recipe = load(recipes.path("mini_rlvr"), RLVRRecipe, ["data=[]", f"judge={s2j.judge_settings(reward, SETTINGS)}"])
    item = ITEMS[0]
    comparison = s2j.comparison(item)
    assert comparison.reference not in recipe.judge.build().ask(comparison)[0]["content"].split("Response A")[0]
    right, wrong = "\n".join(item.expression.steps), "1 + 1 = 2"
    with Verifier() as verifier:
        judge = replace(recipe.judge.build(), solved=lambda text, known: verifier.check(text, known).equal)

        def earned(solution: str, winner: int) -> float:
            return judge.vote_reward(Vote(Status.OK, winner=winner, rationale=Rationale(trace=solution)), comparison)

        assert earned(right, item.winner) == of_both_right
        assert earned(wrong, item.winner) == of_the_verdict
        assert earned(right, 1 - item.winner) == of_the_solution
        assert earned(wrong, 1 - item.winner) == -1.0


def test_the_whole_path_runs(tmp_path: Path) -> None:
    small = replace(SETTINGS, fine_tuning=64, sft_steps=1, rlvr_steps=1, held_out=24)
    s2j.prepare("prepared", 0, small, tmp_path)
    s2j.run("both", 0, small, tmp_path)
    before, after = (s2j.read_measured(tmp_path / f"{name}.jsonl") for name in (s2j.SFT, "both"))
    assert len(before) == len(after) == 24
    assert (tmp_path / "model-both-comparisons.jsonl").read_text().count('"reference"') == 16


# Arithmetic -----------------------------------------------------------------------------------------------------------

TRUE: Mapping[str, tuple[float, float]] = {
    s2j.SFT: (0.6, 0.7),
    "verdict": (0.7, 0.8),
    "both": (0.9, 0.95),
    "solution": (0.95, 0.7),
}
"""For each judge, the share of right solutions, and that of right verdicts where the solution is right."""


def measurements(truth: Mapping[str, tuple[float, float]]) -> list[Row]:
    return fresh.rows(
        reproduction.measured({name: run(*shares, seed) for name, shares in truth.items()}) for seed in range(10)
    )


def run(solving: float, judging: float, seed: int) -> list[Measured]:
    rng = random.Random(seed)
    solved = [rng.random() < solving for _ in range(600)]
    return [judgment(each, rng.random() < (judging if each else 0.5)) for each in solved]


def judgment(solved: bool, accurate: bool) -> Measured:
    return Measured(solved, solved, False, accurate, by_looks=False, readable=True, tokens=40)


def test_the_gap_counts_only_judgments_whose_solution_is_right() -> None:
    assert s2j.gap([judgment(True, True), judgment(True, False), judgment(False, False)]) == 0.5


def test_a_right_result_without_right_steps_and_the_result_of_the_wrong_response_are_told_apart() -> None:
    item = ITEMS[0]
    first, second = item.expression.steps
    wrong = item.answers[1 - item.winner]
    solutions = [
        f"{first}\n{second}",
        f"1 + 1 = 2\n{second}",
        f"{first}\n{second.partition('=')[0]}= {wrong}",
        "1 + 1 = 2",
        "",
    ]
    with Verifier() as verifier:
        found = [
            s2j._measured(item, Vote(Status.OK, winner=item.winner, rationale=Rationale(trace=each)), verifier)
            for each in solutions
        ]
    assert [each.solved for each in found] == [True, True, False, False, False]
    assert [each.worked for each in found] == [True, False, False, False, False]
    assert [each.other for each in found] == [False, False, True, wrong == 2, False]


def test_claims_that_are_true_hold() -> None:
    assert set(fresh.holding(reproduction.EXPERIMENT, measurements(TRUE)).values()) == {True}


@pytest.mark.parametrize(
    ("claim", "judge", "shares"),
    [
        ("gap_falls", "both", (0.9, 0.7)),
        ("judging_rises", s2j.SFT, (0.9, 0.95)),
        ("narrower_than_with_the_verdict_alone", "verdict", (0.7, 0.95)),
        ("better_than_with_the_verdict_alone", "verdict", (0.9, 0.8)),
        ("solving_alone_is_not_enough", "solution", (0.95, 0.95)),
    ],
)
def test_a_claim_that_is_false_does_not_hold(claim: str, judge: str, shares: tuple[float, float]) -> None:
    assert not fresh.holding(reproduction.EXPERIMENT, measurements({**TRUE, judge: shares}))[claim]


def test_results_make_a_page_and_a_figure(tmp_path: Path) -> None:
    found = measurements(TRUE)
    page = fresh.page(reproduction.EXPERIMENT, found, tmp_path)
    solved = sum(row.figures["judges"]["both"]["solved"] for row in found) / len(found)
    assert f"| reward for verdict and solution | {solved:.3f} [" in page
