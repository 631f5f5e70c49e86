"""Chains of arithmetic, whose chances are exact, and the experiments on labels that use them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.lab.chains import MODULUS, KnownRollouts, Operation, Problem, ends_right, problems, written
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.reproductions import omega, prm_labels
from fathom.labelers import Cost, Tools, make_labeler, solutions

SEEDS = st.integers(0, 1000)


def test_a_solution_is_executed_from_what_is_written() -> None:
    """A = 1 + 2 = 3, B = 1 * 4 = 4, A = 3 * 3 = 2 modulo 7."""
    chain = Problem("c", [Operation("A", "+", 2), Operation("B", "*", 4), Operation("A", "*", 3)], 0.1)
    assert chain.answer == (2, 4)
    assert chain.first_error((3, 4, 2)) is None
    assert chain.first_error((3, 5, 2)) == 1
    assert chain.first_error((4, 4, 5)) == 0, "the third step follows from the wrong 4: 4 * 3 = 5"
    item = chain.comparison((3, 4, 2), "1", (1.0, 1.0, 1.0))
    assert item.responses == ("A + 2 = 3\n\nB * 4 = 4\n\nA * 3 = 2\n\n",)
    assert written(item.responses[0]) == (3, 4, 2)
    assert ends_right(item.responses[0], item.reference or "")


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 10))
def test_success_after_a_prefix_is_the_mean_success_after_its_next_step(seed: int, steps: int) -> None:
    [chain] = problems(1, seed=seed, steps=steps)
    values = chain.sampled(random.Random(seed))
    for done in range(steps):
        prefix, operation = values[:done], chain.operations[done]
        chances = operation.written(chain.error)[chain.before(prefix, done)]
        assert chances.sum() == pytest.approx(1)
        following = (chances[value] * chain.success((*prefix, value)) for value in range(MODULUS))
        assert chain.success(prefix) == pytest.approx(sum(following))
    assert chain.success(values) == float(chain.final(values) == chain.answer)


def test_rollouts_succeed_with_their_exact_chance_with_and_without_texts() -> None:
    [chain] = problems(1, seed=3, steps=6, solved=(0.3, 0.7))
    values = chain.sampled(random.Random(0))
    solution = solutions(chain.comparison(values, "1"), "paragraphs")[0]
    for texts in (True, False):
        rollouts = KnownRollouts([chain], seed=0, texts=texts)
        count = asyncio.run(rollouts.of(solution, 0, 2000)).count
        assert count is not None
        chance = chain.success(())
        assert abs(count.share - chance) < 4.5 * sqrt(chance * (1 - chance) / 2000)
        assert rollouts.cost.completions == 2000
        again = asyncio.run(rollouts.of(solution, 0, 2000)).count
        assert again == count
        assert rollouts.cost.completions == 2000, "as with a journal"


def test_the_model_of_steps_learns_the_truth_from_true_labels() -> None:
    chosen = prm_labels.Settings(steps=5, solutions=1, pool=1, held_out=1, flips=0.0, accepted={}, translated=1.0)
    train, test = (prm_labels.sampled(n, seed=0, steps=chosen.steps, name=str(n)) for n in (5000, 200))
    items = [(item, prm_labels.upto(item.error, chosen.steps)) for item in train]
    assert prm_labels.f1(prm_labels.fitted(items), test, 0.5) > 0.95


def test_the_judge_accepts_the_misconception_and_the_checker_is_never_wrong() -> None:
    chain = Problem("c", [Operation("A", "*", 3), Operation("A", "+", 2)], 0.1)
    misconceived = prm_labels.Sampled(chain, (4, 0), 0)  # 1 + 3 instead of 1 * 3, then 4 + 2 = 6 is written as 0
    assert prm_labels.judged(misconceived, 1.0, 0.0, 0) == (1.0, 0.0), "a blind judge continues to the next wrong step"
    assert prm_labels.judged(misconceived, 0.0, 0.0, 0) == (0.0, None), "an informed one stops at the first"
    assert prm_labels.judged(misconceived, 0.0, 1.0, 0) == (0.0, None), "flips are for other steps"
    assert prm_labels.checked(misconceived, 1.0, 0) == (0.0, None)
    assert prm_labels.checked(misconceived, 0.0, 0) == (None, None)


def test_labelling_stops_at_the_budget_of_rollouts_or_of_solutions() -> None:
    pool = prm_labels.sampled(40, seed=0, steps=4, name="t")
    chosen = prm_labels.Settings(steps=4, solutions=20, pool=40, held_out=10, flips=0.03, accepted={}, translated=0.6)
    few = prm_labels.by_rollouts("hard 8", pool, chosen, 0, most=20)
    assert len(few.items) == 20
    budget = prm_labels.by_rollouts("rpe 8", pool, chosen, 0, most=40, budget=few.rollouts)
    assert few.rollouts <= budget.rollouts < few.rollouts + 8 * 4
    assert len(budget.items) < 20, "it also samples the bare problem"


def test_both_searches_get_the_same_budget_and_count_an_error_once() -> None:
    chosen = omega.Settings(wrong=1, rollouts=4, chains=5, steps=8, budget=40)
    found = omega.search(chosen, 0)
    assert found["omegaprm"]["rollouts"] <= 40 + 4 * 3, "the last search ends: at most log2(8) prefixes"
    assert 0 < found["omegaprm"]["errors"] <= found["omegaprm"]["searches"]


def test_omegaprm_locates_an_error_where_the_known_chain_has_it() -> None:
    chains = problems(10, seed=1, steps=6, name="search", solved=(0.5, 0.9))
    tools = Tools(KnownRollouts(chains, seed=0, cost=Cost(), texts=True))
    labeler = make_labeler("omegaprm", rollouts=64, searches=3)
    exact = [
        next(omega._exact(chain, labelled), None) is not None
        for chain in chains
        for labelled in asyncio.run(labeler.label(chain.comparison(chain.sampled(random.Random(0)), "s"), tools))
    ]
    assert len(exact) >= 20
    assert sum(exact) > 0.6 * len(exact), "with 64 rollouts, a step after which none is right is nearly always wrong"


@pytest.mark.parametrize(
    ("experiment", "changed"),
    [
        (omega.EXPERIMENT, {"wrong": 6, "rollouts": 4, "chains": 4, "steps": 6, "budget": 30}),
        (prm_labels.EXPERIMENT, {"steps": 4, "solutions": 20, "pool": 60, "held_out": 30}),
    ],
    ids=["omega", "prm-labels"],
)
def test_a_small_seed_runs_and_measures_every_registered_contrast(
    experiment: Experiment[Any], changed: dict[str, int], tmp_path: Path
) -> None:
    small = replace(experiment, overrides=changed)
    for part in small.parts:
        small.run(part, 0, small.settings, tmp_path)
    measured = small.measure(0, small.settings, tmp_path)
    registered = {name for claim in small.register.claims for name in claim.contrasts}
    assert registered <= set(measured.contrasts)
