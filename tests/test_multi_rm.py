"""Verifiers with planted noise: every form of one decision, the file of candidates, the whole path, and the claims."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fresh
from fathom.judges.processbench import ProcessBenchJudge
from fathom.judges.yes_no import YesNoJudge
from fathom.lab.experiments.results import Measurement
from fathom.lab.planted import PlantedEngine, Truth
from fathom.lab.reproductions import multi_rm as experiment

SETTINGS = experiment.EXPERIMENT.settings
SMALL = replace(SETTINGS, lengths=(2, 4), problems=3, candidates=4, votes=2)


def test_candidates_differ_and_about_the_same_share_is_right_at_every_length() -> None:
    for steps in (2, 16):
        found = experiment.candidates(steps, replace(SETTINGS, problems=40), 0)
        texts = [text for each in found for text in each.responses]
        assert len(set(texts)) == len(texts)
        truths = experiment.truths(found)
        assert all(truth.right for truth in truths if all(truth.steps))
        assert abs(sum(all(truth.steps) for truth in truths) / len(truths) - SETTINGS.solved) < 0.08


def test_without_noise_every_kind_of_verifier_is_right() -> None:
    found = experiment.candidates(4, replace(SETTINGS, problems=12), 0)
    engine = PlantedEngine(experiment.truths(found), noise=0.0, seed=0)
    solvable = [each for each in found if any(experiment.right(each))]
    assert solvable
    for name, model in experiment.verifiers(engine, found, SETTINGS).items():
        scores = experiment.scores_of(experiment.judged(model, solvable))
        assert experiment.accuracy(solvable, scores) > (0.99 if name in ("scalar", "yes_no") else 0.9), name


def test_samples_of_a_verifier_that_writes_share_a_part_of_their_noise() -> None:
    found = experiment.candidates(2, replace(SETTINGS, problems=20), 0)
    single = [each.subset((place,)) for each in found for place in range(len(each.responses))]

    def spread(shared: float) -> float:
        engine = PlantedEngine(experiment.truths(found), noise=1.0, seed=0, shared=shared)
        judge = YesNoJudge(engine=engine)
        engine.knows(judge, single)
        votes = [asyncio.run(judge.votes(single[0], sample))[0].scores for sample in range(6)]
        values = [vote[0] for vote in votes if vote]
        assert len(values) == 6
        return max(values) - min(values)

    assert spread(1.0) < 1e-9
    assert spread(0.0) > 0.05


def test_the_critic_names_the_first_step_that_is_found_wrong() -> None:
    found = experiment.candidates(8, replace(SETTINGS, problems=4), 0)
    truths = experiment.truths(found)
    engine = PlantedEngine(truths, noise=0.0, seed=0)
    judge = ProcessBenchJudge(engine=engine)
    single = [each.subset((place,)) for each in found for place in range(len(each.responses))]
    engine.knows(judge, single)
    for comparison, truth in zip(single, truths, strict=True):
        [vote] = asyncio.run(judge.votes(comparison))
        assert vote.step_scores is not None
        wrong = truth.steps.index(False) if False in truth.steps else None
        assert (0.0 in vote.step_scores[0]) == (wrong is not None)
        if wrong is not None:
            assert vote.step_scores[0].index(0.0) == wrong


def test_the_papers_labels_call_all_steps_from_the_first_wrong_one_wrong() -> None:
    of_steps = Truth("", False, (True, False, True, False))
    assert experiment.wrong_from_the_first(of_steps).steps == (True, False, False, False)


def test_the_whole_path_runs(tmp_path: Path) -> None:
    experiment.run("all", 0, SMALL, tmp_path)
    found = experiment.measure(0, SMALL, tmp_path)
    words = {words for claim in experiment.EXPERIMENT.register.claims for words in claim.contrasts}
    assert words <= found.contrasts.keys()


def made_up(seed: int, fall: float, gain: float = 0.0) -> Measurement:
    """A seed in which process verifiers lose this much with every doubling of the steps.

    `gain`: what they gain with every doubling if later steps are wrong.
    """
    rng = random.Random(seed)

    def of(doublings: int) -> dict[str, Any]:
        def near(value: float) -> float:
            return value + rng.gauss(0, 0.002)

        process, later = 0.9 - fall * doublings, gain * doublings
        return {
            "kinds": {
                "scalar": near(0.9),
                "process": near(process),
                "yes_no": near(0.95),
                "processbench": near(process),
            },
            "later wrong": {name: near(process + later) for name in experiment.PROCESS},
            "reductions": {name: near(process) for name in experiment.REDUCTIONS},
            "ratios": {str(ratio): near(process + 0.3 * (1 - ratio)) for ratio in experiment.RATIOS},
            "right": near(0.3),
        }

    return experiment.measured({str(steps): of(place) for place, steps in enumerate(SETTINGS.lengths)})


@pytest.mark.parametrize(
    ("fall", "gain", "missing"),
    [
        (0.03, 0.002, set()),
        (0.03, 0.03, {"process_falls_with_the_papers_labels"}),
        (0.03, -0.01, {"later_steps_help"}),
        (
            -0.01,
            0.01,
            {
                "process_falls",
                "process_falls_with_the_papers_labels",
                "outcome_wins_on_long_solutions",
                "break_even_between_half_and_equal_noise",
            },
        ),
        (0.1, 0.01, {"break_even_between_half_and_equal_noise"}),
    ],
)
def test_claims_hold_where_they_are_true(fall: float, gain: float, missing: set[str]) -> None:
    rows = fresh.rows(made_up(seed, fall, gain) for seed in range(10, 20))
    assert {name for name, holds in fresh.holding(experiment.EXPERIMENT, rows).items() if not holds} == missing


def test_the_page_has_a_break_even_for_each_length(tmp_path: Path) -> None:
    page = fresh.page(experiment.EXPERIMENT, fresh.rows(made_up(seed, 0.03) for seed in range(10, 20)), tmp_path)
    section = page[page.index("## By length") :]
    assert all(section.count(f"| {steps} |") == 4 for steps in SETTINGS.lengths)
