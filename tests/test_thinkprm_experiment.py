"""The experiment on filters of verification chains."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from fathom.judges.thinkprm import ThinkPRMJudge
from fathom.lab.chains import Operation, Problem
from fathom.lab.reproductions import thinkprm
from fathom.lab.reproductions.prm_labels import Sampled, sampled, upto
from fathom.lab.reproductions.thinkprm import Settings, chain, filtered, halved, of_chains

CHOSEN = Settings(steps=5, solutions=60, chains=3, slips=0.2, test=20, votes=3)


@pytest.fixture(scope="module")
def items() -> list[Sampled]:
    return sampled(60, seed=0, steps=5, name="t")


def test_the_teacher_accepts_its_misconception_and_the_judge_reads_its_chain() -> None:
    """A = 1 + 3 where 1 * 3 is wanted; then 4 + 2 = 6 is written as 0."""
    item = Sampled(Problem("c-0", [Operation("A", "*", 3), Operation("A", "+", 2)], 0.1), (4, 0), 0)
    assert thinkprm.believed(item) == [True, False]
    vote = ThinkPRMJudge(reads="steps").read(chain(item, [True, False]), item.comparison(upto(0, 2)))
    assert vote.step_scores == ((1.0, 0.0),)


def test_the_step_filter_leaves_no_wrong_verdict_and_the_outcome_filter_some(items: list[Sampled]) -> None:
    found = {by: of_chains(filtered(items, by, CHOSEN, 0)) for by in ("steps", "outcome", "none")}
    wrong = "wrong steps called correct"
    assert found["steps"][wrong] == found["steps"]["right steps called incorrect"] == 0
    assert 0.1 < found["outcome"][wrong] < 0.8
    assert found["steps"]["chains"] < found["outcome"]["chains"] < found["none"]["chains"] == 180


def test_half_of_the_chains_are_on_right_solutions(items: list[Sampled]) -> None:
    labelled = [(item, upto(item.error, 5)) for item in items]
    drawn = halved(labelled, 20, random.Random(0))
    assert [item.error is None for item, _ in drawn] == [True] * 10 + [False] * 10


def test_a_small_seed_measures_every_registered_contrast(tmp_path: Path) -> None:
    small = replace(thinkprm.EXPERIMENT, overrides={"steps": 4, "solutions": 30, "test": 20, "votes": 2})
    small.run("all", 0, small.settings, tmp_path)
    measured = small.measure(0, small.settings, tmp_path)
    registered = {name for claim in small.register.claims for name in claim.contrasts}
    assert registered <= set(measured.contrasts)
