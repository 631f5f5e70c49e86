"""The experiment on rewards from likelihoods: which pairs a seed judges, its arithmetic, and its whole path."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import fresh
from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.judges import Verdict, Vote
from fathom.lab import real_pairs
from fathom.lab.experiments.results import Measurement, Row
from fathom.lab.real_pairs import FOLDS, REAL, Source, dealt, draw, fold_of
from fathom.lab.reproductions import likelihood_rewards as experiment
from fathom.lab.reproductions.likelihood_rewards import METHODS, SHORT, STYLED, Judged, Settings
from fathom.rationale import Status

SOURCE = Source("llmbar", "llmbar")
MATRIX = Source("rm_bench", "rm_bench", "chat", whole=True)


def pair(prompt: str, number: int = 0, length: int = 10, **metadata: Any) -> Comparison:
    responses = ("x" * length, "y" * (length // 2))
    id = f"{prompt}/{number}"
    return Comparison(id=id, prompt=prompt, responses=responses, label=Label(best=0), metadata=metadata)


# Which pairs ----------------------------------------------------------------------------------------------------------


def test_folds_share_no_prompt_and_hold_every_pair() -> None:
    pairs = [pair(f"prompt {n % 57}", n) for n in range(100)]
    folds = [dealt(pairs, SOURCE, fold, longest=100) for fold in range(FOLDS)]
    prompts = [{each.prompt for of_prompt in fold for each in of_prompt} for fold in folds]
    assert sum(map(len, prompts)) == len(set().union(*prompts)) == 57
    assert max(map(len, prompts)) - min(map(len, prompts)) <= 1
    assert sum(len(of_prompt) for fold in folds for of_prompt in fold) == 100


def test_reported_seeds_draw_from_folds_of_their_own() -> None:
    reported = experiment.EXPERIMENT.register.reported.seeds
    folds = [fold_of(seed) for seed in reported]
    assert len(set(folds)) == len(reported) == 8
    others = {fold_of(seed) for seed in (*range(10), *range(100, 120))}
    assert others == {0, FOLDS - 1}
    assert not others & set(folds)


def test_long_pairs_are_left_out_and_a_matrix_counts_only_as_a_whole() -> None:
    pairs = [pair("short", n) for n in range(3)] + [pair("mixed", n, length=10 + 90 * (n == 1)) for n in range(3)]
    unlabelled = pair("none").model_copy(update={"label": None})
    empty = pair("empty").model_copy(update={"responses": ("x", "")})

    def left(source: Source) -> dict[str, int]:
        folds = [dealt([*pairs, unlabelled, empty], source, fold, longest=50) for fold in range(FOLDS)]
        return {str(of_prompt[0].prompt): len(of_prompt) for fold in folds for of_prompt in fold}

    assert left(SOURCE) == {"short": 3, "mixed": 2}
    assert left(MATRIX) == {"short": 3}


def test_a_fold_with_too_few_pairs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_pairs, "_pairs", lambda source: [pair(f"p{n}") for n in range(20)])
    assert len(draw(SOURCE, 10, 2, 100)) == 2
    with pytest.raises(FathomError, match="fold 1 of llmbar has 2 pairs of at most 100 characters; expected 3"):
        draw(SOURCE, 10, 3, 100)


def test_a_missing_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FATHOM_DATA", raising=False)
    with pytest.raises(FathomError, match="FATHOM_DATA is not set; expected a folder with the folders llmbar"):
        real_pairs.data_folder()
    monkeypatch.setenv("FATHOM_DATA", "/no/such/folder")
    with pytest.raises(FathomError, match="no folder"):
        real_pairs.data_folder()


@pytest.mark.skipif("FATHOM_DATA" not in os.environ, reason="FATHOM_DATA is not set")
def test_every_reported_seed_has_the_registered_pairs_and_shares_none() -> None:
    settings = experiment.EXPERIMENT.settings
    real_pairs.check(settings.data)
    seen: set[str] = set()
    for seed in (0, *experiment.EXPERIMENT.register.reported.seeds, 100):
        short, styled = experiment.pairs(seed, settings)
        assert len(short) == sum(filter(None, settings.pairs.values())) == 75
        assert len(styled) == 9 * settings.style_prompts * len(STYLED)
        ids = {each.id for each in short + styled}
        assert len(ids) == len(short + styled)
        assert not ids & seen
        seen |= ids


@pytest.mark.skipif("FATHOM_DATA" not in os.environ, reason="FATHOM_DATA is not set")
def test_every_pair_of_a_seed_includes_the_drawn_ones_and_shares_none_with_other_seeds() -> None:
    drawn, every = experiment.EXPERIMENT, experiment.EXPERIMENT.on_every_pair()
    seen: set[str] = set()
    for seed in drawn.register.reported.seeds:
        ids = {each.id for each in experiment.pairs(seed, every.settings)[0]}
        assert {each.id for each in experiment.pairs(seed, drawn.settings)[0]} < ids
        assert not ids & seen
        seen |= ids
    assert len(seen) > 700


# The arithmetic -------------------------------------------------------------------------------------------------------

ATTACKS = (experiment.ECHO, experiment.ALONE)
Truth = Mapping[str, float]
"""The probability that each method is right, whatever the lengths; "attacked": of every method under attack."""
CHANCE: Truth = dict.fromkeys(METHODS, 0.5) | {"flip": 0.5}


def measurements(truth: Truth, pairs: int = 300) -> list[Row]:
    return fresh.rows(experiment.measured(runs(truth, seed, pairs), bfloat16=True) for seed in range(10, 18))


def runs(truth: Truth, seed: int, pairs: int) -> dict[str, list[Judged]]:
    """Every second better response is twice as long as the other, and half as long otherwise."""
    judged = {}
    attacked = truth.get("attacked", 0.5)
    for name, share in truth.items():
        if name == "attacked":
            continue
        rng = random.Random(f"{name}/{seed}")
        shown = [(SHORT[n % 4], None) for n in range(pairs)]
        if name != "flip":
            shown += [(attack, None) for attack in ATTACKS for _ in range(pairs // 4)]
            shown += [("rm_bench", cell) for cell in product(range(3), repeat=2) for _ in range(pairs // 9)]
        judged[name] = [
            Judged(
                set=of,
                right=float(rng.random() < (attacked if of in ATTACKS else share)),
                longer=2.0 if n % 2 else 0.5,
                margin=0.1,
                styles=styles,
            )
            for n, (of, styles) in enumerate(shown)
        ]
    return judged


def holding(rows: list[Row]) -> set[str]:
    return {name for name, holds in fresh.holding(experiment.EXPERIMENT, rows).items() if holds}


def test_every_contrast_of_a_claim_is_measured() -> None:
    (row, *_) = measurements(CHANCE)
    claims = experiment.EXPERIMENT.register.claims
    assert {words for claim in claims for words in claim.contrasts} <= row.contrasts.keys()


def test_at_chance_no_claim_holds() -> None:
    assert holding(measurements(CHANCE)) == set()


@pytest.mark.parametrize(
    ("better", "claims"),
    [
        ({"backward": 0.5, "attacked": 0.1}, {"echo_fools_backward"}),
        ({"pmi sum": 0.7}, {"pmi_is_informative"}),
        ({"backward": 0.7}, {"backward_is_informative", "graded_beats_generated"}),
        (
            {"backward": 0.7, "pmi sum": 0.7},
            {
                "backward_is_informative",
                "pmi_is_informative",
                "beyond_length",
                "better_than_longer",
                "graded_beats_generated",
            },
        ),
        ({"flip": 0.7}, {"flip_beats_prompting"}),
        ({"endogenous": 0.7}, {"endogenous_beats_prompting"}),
        ({"follow up": 0.7}, {"follow_up_is_informative"}),
    ],
)
def test_claims_hold_where_they_are_true(better: Truth, claims: set[str]) -> None:
    assert holding(measurements({**CHANCE, **better})) == claims


def test_a_rule_of_length_is_right_in_half_of_both_directions() -> None:
    runs_ = runs(CHANCE, 10, 100)
    found = experiment.measured(runs_, bfloat16=False).figures
    for rule in ("longer", "shorter"):
        assert found["lengths"][rule]["balanced"] == 0.5
    assert found["lengths"]["longer"]["longer"] == found["lengths"]["shorter"]["shorter"] == 1.0
    assert found["accuracy"]["longer"]["all"] == 0.5


def test_only_the_worse_response_is_attacked() -> None:
    asked = pair("Name a colour.", set="hhh")
    one, other = experiment.echoes([asked])
    assert (one.responses, other.responses) == (
        (asked.responses[0], f"Name a colour.\n\n{asked.responses[1]}"),
        (asked.responses[0], "Name a colour."),
    )
    assert [each.metadata["set"] for each in (one, other)] == [*ATTACKS]
    assert one.label == other.label == asked.label
    assert len({asked.id, one.id, other.id}) == 3


def test_ties_and_unreadable_verdicts_count_half() -> None:
    row = Judged(set="hhh", right=None, longer=1.0)
    assert experiment.accuracy([row, replace(row, right=0.5), replace(row, right=1.0), replace(row, right=0.0)]) == 0.5


def test_the_style_matrix_has_easy_cells_below_the_diagonal() -> None:
    """Of a judge that prefers more style: right in easy pairs, wrong in hard ones, tied in normal ones."""
    run = [
        Judged(set="rm_bench", right=0.5 if i == j else float(i > j), longer=1.0, styles=(i, j))
        for i, j in product(range(3), repeat=2)
    ]
    found = experiment.styles(run)
    assert (found["easy"], found["normal"], found["hard"], found["all"]) == (1.0, 0.5, 0.0, 0.5)


@pytest.mark.parametrize(
    ("winner", "scores", "right", "margin"),
    [(0, (2.0, 1.0), 1.0, 1.0), (1, (1.0, 3.0), 0.0, -2.0), (None, (1.0, 1.0), 0.5, 0.0)],
)
def test_a_verdict_is_right_if_the_better_response_wins(
    winner: int | None, scores: tuple[float, float], right: float, margin: float
) -> None:
    vote = Vote(Status.OK, winner=winner, scores=scores, order=(0, 1))
    model = experiment.models("likelihoods", None)["forward sum"]  # type: ignore[arg-type]
    verdict: Verdict = model.verdict([vote])
    found = experiment.judged(pair("p", set="hhh"), verdict)
    assert (found.right, found.margin, found.longer) == (right, margin, 2.0)
    failed = experiment.judged(pair("p", set="hhh"), model.verdict([Vote(Status.FAILED, order=(0, 1))]))
    assert (failed.right, failed.margin) == (None, None)


def test_the_page_shows_every_table(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = fresh.page(experiment.EXPERIMENT, measurements({**CHANCE, "backward": 0.7}, pairs=40), tmp_path)
    assert "| log p(x given y) | 0." in page
    for heading in ("Accuracy by set", "Accuracy by length", "the style matrix", "Backward inference by"):
        assert heading in page


# The whole path -------------------------------------------------------------------------------------------------------


def test_the_whole_path_runs_with_a_tiny_model_and_keeps_what_is_finished(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pairs(source: Source) -> list[Comparison]:
        if source.whole:
            cells = list(product(range(3), repeat=2))
            return [pair(f"p{n}", k, styles=list(cell)) for n in range(12) for k, cell in enumerate(cells)]
        return [pair(f"p{n}", length=8 + n) for n in range(24)]

    monkeypatch.setattr(real_pairs, "_pairs", pairs)
    settings = Settings(
        pairs=dict.fromkeys(SHORT, 2),
        longest=100,
        style_prompts=1,
        longest_style=100,
        generated=2,
        flip_tokens=4,
        echoed=3,
        data={"hhh": real_pairs.digest(REAL["hhh"])},
        model=str(checkpoint),
    )
    experiment.prepare("prepared", 10, settings, tmp_path)
    with pytest.raises(FathomError, match="has other pairs of hhh than the register states"):
        experiment.prepare("prepared", 10, replace(settings, data={"hhh": "0"}), tmp_path)
    for part in experiment.EXPERIMENT.parts:
        experiment.run(part, 10, settings, tmp_path)  # type: ignore[arg-type]
    found: Measurement = experiment.measure(10, settings, tmp_path)
    assert found.figures["pairs"] == {"short": 8, "styled": 27, "generated": 2, "attacked": 3}
    # By definition, and so on every pair:
    assert found.figures["accuracy"]["endogenous"] == found.figures["accuracy"]["forward sum"]
    assert found.figures["styles"]["endogenous"] == found.figures["styles"]["forward sum"]
    assert all(found.figures["readable"][name] == 1.0 for name in METHODS if not name.startswith("prompted"))
    assert json.loads((tmp_path / "precision.json").read_text())["dtype"] in ("bfloat16", "float32")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.jsonl")}
    for part in experiment.EXPERIMENT.parts:
        experiment.run(part, 10, settings, tmp_path)  # type: ignore[arg-type]
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.jsonl")}
