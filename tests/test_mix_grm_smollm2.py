"""The experiment with a real language model: its whole path with a tiny random model, and its arithmetic."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch

import fresh
from fathom.engines.chat import encode_chat
from fathom.engines.loading import fastest_dtype
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.lab import english, routing
from fathom.lab.reproductions import find, mix_grm_smollm2
from fathom.lab.routing import Choice, Judged, Settings
from fathom.train import recipes
from fathom.train.recipe import RLVRRecipe, SFTRecipe, load
from smollm2_here import smollm2_folder

SMALL = {
    "trainer.max_steps": 2,
    "trainer.per_device_train_batch_size": 4,
    "trainer.warmup_steps": 0,
    "trainer.logging_steps": 1,
}


# Not a skipped test: with FATHOM_REQUIRE_ALL, skipped tests fail.
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(scope="module", params=DEVICES)
def seed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, checkpoint: Path
) -> tuple[Path, Settings]:
    """A seed that was run with a tiny model, on the CPU and, if there is one, on a GPU."""
    settings = Settings(
        sft_verbs=1,
        rlvr_verbs=1,
        never_verbs=2,
        prompts_per_verb=2,
        judged=4,
        model=str(checkpoint),
        device=request.param,
        sft=SMALL | {"lora.layers_to_transform": [0, 1]},
        rlvr=SMALL | {"trainer.num_generations": 2, "trainer.max_completion_length": 8},
    )
    folder = tmp_path_factory.mktemp("seed")
    mix_grm_smollm2.prepare("prepared", 0, settings, folder)
    mix_grm_smollm2.run("mix", 0, settings, folder)
    return folder, settings


def test_the_whole_path_runs_with_a_tiny_model(seed: tuple[Path, Settings]) -> None:
    folder, settings = seed
    measurement = mix_grm_smollm2.measure(0, settings, folder)
    claims = mix_grm_smollm2.EXPERIMENT.register.claims
    assert {words for claim in claims for words in claim.contrasts} <= measurement.contrasts.keys()
    assert list(measurement.figures["fitting"]) == ["base", "sft", "rlvr"]
    assert all(list(by_set) == ["sft", "rlvr", "never"] for by_set in measurement.figures["fitting"].values())
    assert 0 < measurement.figures["fitting"]["sft"]["never"]["all"] < 1
    precision = json.loads((folder / "precision.json").read_text())
    assert precision["dtype"] in ("bfloat16", "float32")
    assert measurement.figures["precision"]["gpu"] == float(settings.device == "cuda")


def test_verbs_of_no_training_are_in_no_training_file(seed: tuple[Path, Settings]) -> None:
    folder, settings = seed
    verbs = routing.verb_sets(0, settings)
    for file, own in (("sft-rationales", "sft"), ("rlvr-comparisons", "rlvr")):
        text = (folder / f"model-{file}.jsonl").read_text()
        used = {verb for each in english.VERBS.values() for verb in each if f"{verb.capitalize()} " in text}
        assert used == set(verbs[own])  # type: ignore[index]


def test_a_finished_seed_is_kept(seed: tuple[Path, Settings]) -> None:
    folder, settings = seed
    before = {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}
    mix_grm_smollm2.run("mix", 0, settings, folder)
    assert before == {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_seed_whose_stage_was_lost_goes_on_after_the_one_before(seed: tuple[Path, Settings], tmp_path: Path) -> None:
    folder, settings = seed
    kept = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    (folder / "rlvr.json").unlink()
    mix_grm_smollm2.run("mix", 0, settings, folder)
    assert (folder / "sft.json").read_bytes() == kept["sft.json"]
    assert json.loads((folder / "rlvr.json").read_bytes()) == json.loads(kept["rlvr.json"])


@pytest.mark.parametrize("device", DEVICES)
def test_the_choice_is_the_probability_of_the_tags_first_token(checkpoint: Path, device: str) -> None:
    """Against forward passes of one prompt each: prompts of a batch differ in length and are padded."""
    engine = LocalEngine(checkpoint, device=device, dtype="float32")
    verbs = ["write", "embellish", "calculate", "sum"]
    items = [english.item(random.Random(0), verb, verb, english.domain_of(verb)) for verb in verbs]
    tokens = [engine.tokenizer.encode(tag, add_special_tokens=False)[0] for tag in english.TAGS.values()]
    assert tokens[0] != tokens[1]
    chosen = list(routing.choices(engine, items))
    assert len(chosen) == len(verbs)
    for item, choice in zip(items, chosen, strict=True):
        prompt = encode_chat(engine.tokenizer, english.ShortJudge().prompt(item.comparison))
        with torch.inference_mode():
            likely = engine.model(torch.tensor([prompt], device=engine.model.device)).logits[0, -1].softmax(-1)
        breadth, depth = (float(likely[token]) for token in tokens)
        assert choice.mass == pytest.approx(breadth + depth, rel=1e-3)
        fitting = breadth if item.domain == "preference" else depth
        assert choice.fits == pytest.approx(fitting / (breadth + depth), rel=1e-3)


def test_what_results_are_made_from_survives_json() -> None:
    made_from, _ = mix_grm_smollm2.EXPERIMENT.origin()
    assert json.loads(json.dumps(made_from)) == made_from


def test_the_device_is_a_setting_of_this_experiment_alone() -> None:
    assert mix_grm_smollm2.EXPERIMENT.on("cuda").settings.device == "cuda"
    with pytest.raises(FathomError, match="--device cuda: mix-grm runs on the CPU only"):
        find("mix-grm").on("cuda")


def test_the_fastest_precision_is_one_of_two() -> None:
    assert fastest_dtype("cpu", seconds=0.01) in ("bfloat16", "float32")


def test_the_recipes_train_the_last_layers_of_smollm2() -> None:
    folder = smollm2_folder()
    recipe = load(recipes.path("smollm2_sft"), SFTRecipe, ["data=[]"])
    assert recipe.model == str(folder)
    layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    assert recipe.lora is not None
    assert max(recipe.lora["layers_to_transform"]) == layers - 1
    rlvr = load(recipes.path("smollm2_rlvr"), RLVRRecipe, ["data=[]"])
    assert rlvr.judge.build() == recipe.judge.build() == english.ShortJudge()


# Arithmetic -----------------------------------------------------------------------------------------------------------


def left(base: float, sft: float, rlvr: float, seed: int) -> Mapping[str, Any]:
    """What a seed with these probabilities of the fitting structure leaves."""
    rng = random.Random(seed)

    def stage(fits: float, judged: bool) -> dict[str, Any]:
        verbs = routing.verb_sets(seed, Settings())
        return {
            "choices": {
                name: [asdict(Choice(verb, fits + rng.uniform(-0.02, 0.02), 0.99)) for verb in own]
                for name, own in verbs.items()
            },
            "judged": [
                asdict(Judged("draft", k < 96 * fits, k + seed % 3 * fits < 96 * (1 + fits) / 2, True, True))
                for k in range(96 if judged else 0)
            ],
        }

    return {"base": stage(base, False), "sft": stage(sft, True), "rlvr": stage(rlvr, True)}


def rows(base: float, sft: float, rlvr: float) -> list[Any]:
    history = [{"frac_reward_zero_std": 0.5}, {"loss": 1.0}]
    precision = {"dtype": "bfloat16", "device": "cpu"}
    return fresh.rows(
        mix_grm_smollm2.measured(left(base, sft, rlvr, seed), history, precision) for seed in (10, 11, 12)
    )


def test_claims_that_are_true_hold() -> None:
    found = fresh.holding(mix_grm_smollm2.EXPERIMENT, rows(0.55, 0.7, 0.9))
    assert set(found) == {"polarisation", "polarisation_in_training", "sft_generalises", "rlvr_adds_accuracy"}
    assert all(found.values())


def test_rlvr_that_blurs_the_choice_does_not_sharpen_it() -> None:
    found = fresh.holding(mix_grm_smollm2.EXPERIMENT, rows(0.55, 0.7, 0.6))
    assert [name for name, holds in found.items() if holds] == ["sft_generalises"]


def test_sft_that_adds_nothing_does_not_generalise() -> None:
    assert not fresh.holding(mix_grm_smollm2.EXPERIMENT, rows(0.7, 0.7, 0.9))["sft_generalises"]


def test_a_page_has_every_verb_of_no_training(tmp_path: Path) -> None:
    page = fresh.page(mix_grm_smollm2.EXPERIMENT, rows(0.55, 0.7, 0.9), tmp_path)
    verbs = {verb for seed in (10, 11, 12) for verb in routing.verb_sets(seed, Settings())["never"]}
    assert len(verbs) > 16
    assert all(f"| {verb} |" in page for verb in verbs)
    assert "| RLVR | 0.9" in page
