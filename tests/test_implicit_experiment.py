"""Implicit rewards of written chains: the texts, the control, the whole path, and the claims."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason='needs pip install "fathom-rm[train]"')

import torch

import fresh
from fathom.engines.local import LocalEngine
from fathom.lab import chain_models, first_errors
from fathom.lab.chain_models import Training
from fathom.lab.chains import Operation, Problem
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions import implicit_prm as experiment

SETTINGS = experiment.EXPERIMENT.settings
SMALL = replace(
    SETTINGS, hidden=16, texts=20, text_steps=2, outcomes=20, outcome_steps=2, batch=4, held_out=12, problems=3
)


def test_a_step_shows_the_value_before_it_and_every_solution_has_equally_many_tokens() -> None:
    chain = Problem("c", [Operation("A", "+", 2), Operation("B", "*", 4), Operation("A", "*", 3)], 0.1)
    assert chain_models.steps_of(chain, (3, 4, 6)) == ["A 1 + 2 = 3\n\n", "B 1 * 4 = 4\n\n", "A 3 * 3 = 6\n\n"]
    texts = ["".join(chain_models.steps_of(chain, values)) for values in ((3, 4, 6), (0, 0, 0))]
    tokens = chain_models.encoded(texts)
    assert tokens.shape == (2, chain_models.PROMPT_TOKENS + 3 * 7)
    assert chain_models.tokenizer().decode(tokens[0, chain_models.PROMPT_TOKENS :]) == texts[0]


def test_log_probabilities_of_steps_are_those_of_transformers_and_the_losses_see_the_same(tmp_path: Path) -> None:
    model = chain_models.language_model(0, 16, 1)
    items = experiment.sampled("systematic", 3, SETTINGS, 0, "t")
    comparisons = [chain_models.comparison(*item, str(number)) for number, item in enumerate(items)]
    found = asyncio.run(
        experiment.log_probabilities(comparisons, LocalEngine(chain_models.save(model, tmp_path / "m")))
    )
    ids = chain_models.encoded([each.responses[0] for each in comparisons])
    with torch.no_grad():
        assert [sum(steps) for steps in found] == pytest.approx(chain_models.logprobs(model, ids).tolist(), abs=1e-4)


@pytest.mark.parametrize("loss", ["ce", "dpo"])
def test_training_on_outcomes_raises_right_solutions_over_wrong_ones(loss: Any) -> None:
    model = chain_models.language_model(0, 16, 1)
    items = experiment.sampled("systematic", 40, SETTINGS, 0, "t")
    ids = chain_models.encoded(["".join(chain_models.steps_of(*item)) for item in items])
    right = torch.tensor([float(item.right) for item in items])
    tuned = chain_models.train_on_outcomes(
        model,
        ids,
        right,
        Training(steps=30, batch=16, learning_rate=3e-3),
        beta=1.0,
        loss=loss,
        generator=torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        rewards = chain_models.logprobs(tuned, ids) - chain_models.logprobs(model, ids)
    assert rewards[right == 1].mean() > rewards[right == 0].mean() + 0.5


def test_first_errors_are_found_at_a_threshold_of_other_solutions() -> None:
    tuning = [((0.9, 0.2), 1), ((0.8, 0.7), None)]
    assert 0.2 < first_errors.best_threshold(tuning) <= 0.7
    assert first_errors.tuned_f1(tuning, [((0.1, 0.9), 0), ((0.9, 0.9), None)]) == 1.0
    assert first_errors.tuned_f1(tuning, [((0.1, 0.9), 1), ((0.9, 0.9), None)]) == 0.0
    assert first_errors.auc_up_to_error([((0.9, 0.5, 0.0), 1), ((0.4, 0.8), None)]) == pytest.approx(2 / 3)


def test_the_whole_path_runs(tmp_path: Path) -> None:
    for world in experiment.WORLDS:
        experiment.run(world, 0, SMALL, tmp_path)
    found = experiment.measure(0, SMALL, tmp_path)
    words = {words for claim in experiment.EXPERIMENT.register.claims for words in claim.contrasts}
    assert words <= found.contrasts.keys()


def made_up(seed: int, systematic: float, random_gain: float) -> Measurement:
    """A seed in which outcomes add this much to the reference."""
    rng = random.Random(seed)

    def of(gain: float) -> dict[str, Any]:
        gains = {"ce": gain, "dpo": 0.9 * gain, experiment.CONTROL: 0.0}
        scorers = {
            name: {what: 0.7 + each + rng.gauss(0, 0.001) for what in experiment.MEASURES}
            for name, each in gains.items()
        }
        return {"scorers": scorers, "right": 0.5 + rng.gauss(0, 0.01), "wrong steps": 0.5}

    return experiment.measured({"systematic": of(systematic), "random": of(random_gain)})


@pytest.mark.parametrize(
    ("systematic", "random_gain", "holding"),
    [
        (0.2, 0.0, {"finds_wrong_steps", "selects_better", "nothing_gained_on_random_errors"}),
        (-0.2, 0.1, {"dpo_is_better"}),
    ],
)
def test_claims_hold_where_they_are_true(systematic: float, random_gain: float, holding: set[str]) -> None:
    rows = fresh.rows(made_up(seed, systematic, random_gain) for seed in range(10, 18))
    assert {name for name, holds in fresh.holding(experiment.EXPERIMENT, rows).items() if holds} == holding


def test_the_page_shows_every_scorer_in_both_worlds(tmp_path: Path) -> None:
    rows = fresh.rows(made_up(seed, 0.2, 0.0) for seed in range(10, 18))
    page = fresh.page(experiment.EXPERIMENT, rows, tmp_path)
    assert all(page.count(f"| {named} |") == 2 for named in experiment.SCORERS.values())
