"""Autoregressive reward models: the loss, what training on pairs teaches, and who can use the trained model."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.engines.chat import encode_chat
from fathom.engines.guiding import Guide, check_vocabulary
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.judges import find
from fathom.judging import make_judge_for_checkpoint
from fathom.rewards.genarm import GenARMReward
from fathom.train import genarm, recipes
from fathom.train.losses import bradley_terry
from fathom.train.recipe import GenARMRecipe, load
from tiny import make_checkpoint

LEARN = {
    "gradient_checkpointing": False,
    "logging_steps": 1,
    "save_strategy": "no",
    "lr_scheduler_type": "constant",
    "max_steps": 12,
    "per_device_train_batch_size": 8,
    "learning_rate": 5e-3,
}


def comparisons(count: int, seed: int = 0) -> list[Comparison]:
    """Kind responses are better than rude ones, whatever their lengths."""
    rng = random.Random(seed)
    items = []
    for number in range(count):
        pair, best = ("kind " * rng.randint(1, 4), "rude " * rng.randint(1, 4)), rng.randrange(2)
        responses = pair if best == 0 else pair[::-1]
        items.append(Comparison(id=f"{seed}-{number}", prompt="how?", responses=responses, label=Label(best=best)))
    return items


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("base") / "m", vocab_texts=["how? kind rude "] * 4, context=128)


def write(path: Path, items: list[Comparison]) -> Path:
    path.write_text("".join(item.model_dump_json(exclude_none=True) + "\n" for item in items))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "pairs.jsonl", comparisons(64))


def trained(base: Path, data: Path, output: Path, **settings: Any) -> Path:
    settings = {"trainer": LEARN, "beta": 0.5} | settings
    return genarm.train(GenARMRecipe(model=str(base), data=data, output=output, **settings))


@pytest.fixture(scope="module")
def model(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(base, data, tmp_path_factory.mktemp("trained") / "m")


def test_the_loss_is_bradley_terry_on_scaled_sums_of_log_probabilities() -> None:
    chosen, rejected = torch.tensor([-3.0, -1.0]), torch.tensor([-5.0, -9.0])
    expected = -torch.nn.functional.logsigmoid(0.5 * torch.tensor([2.0, 8.0]))
    assert torch.allclose(genarm.pair_loss(chosen, rejected, 0.5), expected)
    assert torch.allclose(genarm.pair_loss(chosen, rejected, 0.5), bradley_terry(0.5 * chosen, 0.5 * rejected))


def test_the_log_probability_of_a_response_is_transformers_own_loss(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    causal = AutoModelForCausalLM.from_pretrained(base)
    fitted = genarm.fitting(tokenizer, comparisons(3), None)
    batch = genarm.Collator(tokenizer.pad_token_id)([pair._asdict() for pair in fitted.pairs])
    with torch.no_grad():
        logits = causal(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        together = genarm.response_logprobs(logits, batch["labels"])
        texts = [(pair.prompt, answer) for kind in (1, 2) for pair in fitted.pairs for answer in [pair[kind]]]
        assert len(texts) == len(together) == 6
        for (prompt, answer), value in zip(texts, together, strict=True):
            ids, labels = torch.tensor([prompt + answer]), torch.tensor([[-100] * len(prompt) + answer])
            own = float(causal(input_ids=ids, labels=labels).loss) * len(answer)
            assert float(value) == pytest.approx(-own, abs=1e-3)


def test_training_teaches_which_response_is_better_and_the_judge_of_that_name_reads_it(model: Path) -> None:
    """The checkpoint names its judge, so `fathom judge` needs no --judge."""
    judge = make_judge_for_checkpoint(model)
    assert isinstance(judge, GenARMReward)
    engine = LocalEngine(model, device="cpu", dtype="float32")
    items = comparisons(40, seed=1)
    verdicts = [verdict for _, verdict in find("genarm")(engine=engine).run(items)]
    right = sum(
        verdict.winner == item.label.winner
        for item, verdict in zip(items, verdicts, strict=True)
        if item.label is not None
    )
    assert right >= 36  # chance is 20 with a standard deviation of 3.2


def test_the_judge_scores_what_training_computed(model: Path) -> None:
    (item,) = comparisons(1, seed=2)
    tokenizer = AutoTokenizer.from_pretrained(model)
    causal = AutoModelForCausalLM.from_pretrained(model)
    (pair,) = genarm.fitting(tokenizer, [item], None).pairs
    batch = genarm.Collator(tokenizer.pad_token_id)([pair._asdict()])
    with torch.no_grad():
        logits = causal(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    chosen, rejected = genarm.response_logprobs(logits, batch["labels"]).tolist()
    verdict = asyncio.run(GenARMReward(engine=LocalEngine(model, device="cpu", dtype="float32"))(item))
    assert item.label is not None
    best = item.label.winner or 0
    assert verdict.scores is not None
    assert (verdict.scores[best], verdict.scores[1 - best]) == pytest.approx((chosen, rejected), abs=1e-3)


def test_guided_decoding_follows_the_trained_reward(base: Path, model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    check_vocabulary(tokenizer, AutoTokenizer.from_pretrained(model))
    plain, reward = (AutoModelForCausalLM.from_pretrained(path).eval() for path in (base, model))
    ids = torch.tensor([encode_chat(tokenizer, [{"role": "user", "content": "how?"}])])
    with torch.no_grad():
        scores = plain(ids).logits[:, -1]
    kind, rude = (tokenizer.encode(word, add_special_tokens=False)[0] for word in ("kind", "rude"))
    odds = []
    for alpha in (0.0, 1.0, 2.0):
        guided = Guide([(reward, alpha)])(ids, scores.clone())[0]
        odds.append(float(guided[kind] - guided[rude]))
    assert odds[0] == pytest.approx(float(scores[0, kind] - scores[0, rude]), abs=1e-5)
    assert odds[0] + 1 < odds[1] < odds[2] - 1


def test_accumulated_gradients_give_the_loss_curve_of_whole_batches(base: Path, data: Path, tmp_path: Path) -> None:
    def losses(name: str, **batch: int) -> list[float]:
        settings = LEARN | {"max_steps": 3, "lr_scheduler_type": "linear"} | batch
        folder = trained(base, data, tmp_path / name, trainer=settings)
        lines = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
        return [line["loss"] for line in lines if "loss" in line]

    whole = losses("whole", per_device_train_batch_size=8)
    parts = losses("parts", per_device_train_batch_size=2, gradient_accumulation_steps=4)
    assert len(whole) == 3
    assert parts == pytest.approx(whole, abs=2e-4)


def test_an_adapter_is_trained_and_scores(base: Path, data: Path, tmp_path: Path) -> None:
    held_out = write(tmp_path / "held_out.jsonl", comparisons(8, seed=3))
    folder = trained(
        base,
        data,
        tmp_path / "lora",
        lora={"r": 4, "target_modules": "all-linear"},
        eval_data=held_out,
        trainer=LEARN | {"max_steps": 2, "eval_strategy": "steps", "eval_steps": 2},
    )
    assert (folder / "adapter_model.safetensors").exists()
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [0 <= line["eval_accuracy"] <= 1 for line in lines if "eval_accuracy" in line] == [True]


def test_texts_too_long_and_ties_are_left_out_and_counted(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tie = Comparison(id="t", prompt="how?", responses=("kind", "rude"), label=Label(scores=(1.0, 1.0)))
    long = Comparison(id="l", prompt="how?", responses=("kind " * 99, "rude"), label=Label(best=0))
    fitted = genarm.fitting(tokenizer, [*comparisons(2), tie, long], 80)
    assert (len(fitted.pairs), fitted.too_long, fitted.unlabelled) == (2, 1, 1)
    with pytest.raises(FathomError, match="no pair is left to train on: 1 are longer"):
        genarm.fitting(tokenizer, [tie, long], 80)


def test_the_command_checks_a_recipe_without_training(base: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["train", "genarm", "mini_genarm", f"model={base}", f"data={data}", f"output={tmp_path / 'm'}"]
    result = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "64 pairs" in result.output


def test_settings_of_scalar_models_are_refused(data: Path) -> None:
    with pytest.raises(FathomError, match="center_rewards_coefficient applies to scalar reward models"):
        load(recipes.path("mini_genarm"), GenARMRecipe, [f"data={data}", "trainer.center_rewards_coefficient=0.1"])
