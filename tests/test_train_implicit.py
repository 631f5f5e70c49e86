"""Training implicit process reward models: what the losses are, and that outcomes alone teach the rewards of steps."""

from __future__ import annotations

import asyncio
import json
import random
from math import log
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.judges import Vote
from fathom.judging import make_judge_for_checkpoint
from fathom.rewards.implicit import ImplicitReward
from fathom.train import implicit
from fathom.train.genarm import response_logprobs
from fathom.train.recipe import ImplicitRecipe
from tiny import make_checkpoint

LEARN = {
    "gradient_checkpointing": False,
    "logging_steps": 1,
    "save_strategy": "no",
    "lr_scheduler_type": "linear",
    "max_steps": 24,
    "per_device_train_batch_size": 16,
    "learning_rate": 5e-3,
}


def solution(rng: random.Random, wrong: int | None) -> str:
    """Four steps of words; the step `wrong` has a rude one."""
    steps = [" ".join(rng.choices(["kind", "mild", "warm"], k=3)) for _ in range(4)]
    if wrong is not None:
        steps[wrong] = "kind rude mild"
    return "\n\n".join(steps)


def solutions(count: int, seed: int) -> list[Comparison]:
    """Each with one right and one wrong response, whose steps have no labels; the outcome is 1 or 0."""
    rng = random.Random(seed)
    items = []
    for number in range(count):
        wrong = rng.randrange(4)
        texts = (solution(rng, None), solution(rng, wrong))
        metadata = {"wrong": wrong}
        label = Label(scores=(1.0, 0.0))
        items.append(Comparison(id=f"{seed}-{number}", prompt="how?", responses=texts, label=label, metadata=metadata))
    return items


def write(path: Path, items: list[Comparison]) -> Path:
    path.write_text("".join(item.model_dump_json(exclude_none=True) + "\n" for item in items))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = ["how? kind mild warm rude\n\nkind mild\n\nwarm rude"] * 4
    return make_checkpoint(tmp_path_factory.mktemp("base") / "m", vocab_texts=texts, context=128)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "solutions.jsonl", solutions(96, seed=0))


def recipe(base: Path, data: Path, output: Path, **settings: Any) -> ImplicitRecipe:
    return ImplicitRecipe(model=str(base), data=data, output=output, **{"trainer": LEARN, "beta": 0.5} | settings)


@pytest.fixture(scope="module", params=["cross_entropy", "dpo"])
def model(request: pytest.FixtureRequest, base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / request.param
    held_out = write(output.parent / "held_out.jsonl", solutions(8, seed=1))
    return implicit.train(recipe(base, data, output, loss=request.param, eval_data=held_out))


def history(folder: Path, key: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def test_the_first_loss_is_that_of_zero_rewards_because_the_reference_is_where_training_starts(model: Path) -> None:
    assert history(model, "loss")[0] == pytest.approx(log(2), abs=1e-4)


def test_outcomes_alone_teach_which_solution_is_right_and_which_step_is_wrong(model: Path) -> None:
    """The folder names judge, reference and beta, so that `fathom judge` needs none of them."""
    judge = make_judge_for_checkpoint(model)
    assert isinstance(judge, ImplicitReward)
    assert judge.beta == 0.5
    judge = type(judge)(reference=judge.reference, beta=judge.beta, engine=LocalEngine(model, device="cpu"))
    items = solutions(20, seed=2)
    votes = [asyncio.run(judge.votes(item))[0] for item in items]
    assert all(vote.scores is not None and vote.scores[0] > vote.scores[1] for vote in votes)
    assert [worst(vote) for vote in votes] == [item.metadata["wrong"] for item in items]
    assert history(model, "eval_accuracy")[-1] >= 0.75


def worst(vote: Vote) -> int:
    """The step of the wrong response with the lowest score."""
    assert vote.step_scores is not None
    scores = [score for score in vote.step_scores[1] if score is not None]
    return scores.index(min(scores))


def test_the_trained_reward_is_the_sum_of_the_judges_step_rewards(base: Path, model: Path) -> None:
    (item,) = solutions(1, seed=3)
    examples, _ = implicit.fitting(
        recipe(base, Path("d"), Path("o")), AutoTokenizer.from_pretrained(model), [item], None
    )
    tokenizer, rewards = AutoTokenizer.from_pretrained(model), []
    for folder in (model, base):
        causal = AutoModelForCausalLM.from_pretrained(folder)
        batch = implicit.Collator(tokenizer.pad_token_id)(list(map(implicit.row, examples)))
        with torch.no_grad():
            logits = causal(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        rewards.append(0.5 * response_logprobs(logits, batch["labels"]))
    trained = (rewards[0] - rewards[1]).tolist()
    judge = ImplicitReward(engine=LocalEngine(model, device="cpu"), reference=str(base), beta=0.5)
    assert len(trained) == 2
    for response, reward in zip(item.responses, trained, strict=True):
        (vote,) = asyncio.run(judge.votes(Comparison(prompt=item.prompt, responses=(response,))))
        assert sum(float(line.split()[-1]) for line in vote.text.splitlines()) == pytest.approx(reward, abs=1e-3)


def test_the_loss_of_pairs_is_that_of_trls_dpo_trainer(base: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(base)
    reference, other = (AutoModelForCausalLM.from_pretrained(base) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    settings = recipe(base, Path("d"), Path("o"), loss="dpo")
    examples, _ = implicit.fitting(settings, tokenizer, solutions(3, seed=4), None)
    here = {"report_to": "none", "bf16": False, "use_cpu": True, "gradient_checkpointing": False, "disable_tqdm": True}
    trl = DPOTrainer(
        model=other,
        ref_model=reference,
        args=DPOConfig(output_dir=str(tmp_path / "dpo"), beta=0.5, **here),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"prompt": "how?", "chosen": "kind", "rejected": "rude"}]),
    )
    tokens = [
        {"prompt_ids": each.prompt, "chosen_ids": each.answers[0], "rejected_ids": each.answers[1]} for each in examples
    ]
    batch = implicit.Collator(tokenizer.pad_token_id)(list(map(implicit.row, examples)))
    with torch.no_grad():
        theirs = trl.compute_loss(trl.model.eval(), trl.data_collator(tokens))
        ours, start = (
            response_logprobs(model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch["labels"])
            for model in (other, reference)
        )
    loss = implicit.reward_loss(0.5 * (ours - start).view(-1, 2), batch["targets"]).mean()
    assert float(loss) == pytest.approx(float(theirs), abs=1e-4)
    assert abs(float(loss) - log(2)) > 0.01


def test_outcomes_are_soft_targets_and_what_cannot_be_used_is_counted(base: Path) -> None:
    rewards, targets = torch.tensor([[2.0], [-1.0]]), torch.tensor([0.75, 0.0])
    # -0.75 log sigmoid(2) - 0.25 log sigmoid(-2) = 0.75 * 0.126928 + 0.25 * 2.126928; -log sigmoid(1) = 0.313262
    assert implicit.reward_loss(rewards, targets).tolist() == pytest.approx([0.626928, 0.313262], abs=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(base)
    best = Comparison(id="b", prompt="how?", responses=("kind", "rude"), label=Label(best=0))
    empty = Comparison(id="e", prompt="how?", responses=("kind", " "), label=Label(scores=(1.0, 0.0)))
    long = Comparison(id="l", prompt="how?", responses=("kind " * 99,), label=Label(scores=(1.0,)))
    settings = recipe(base, Path("d"), Path("o"))
    examples, left_out = implicit.fitting(settings, tokenizer, [best, empty, long], 80)
    assert [example.target for example in examples] == [1.0]
    assert left_out == {"unlabelled": 1, "empty": 1, "too long": 1}
    assert len(implicit.fitting(settings.model_copy(update={"loss": "dpo"}), tokenizer, [best], 80)[0]) == 1
    with pytest.raises(FathomError, match="no solution is left to train on: 1 comparisons have no label"):
        implicit.fitting(settings, tokenizer, [best], 80)
    rated = Comparison(id="r", prompt="how?", responses=("kind",), label=Label(scores=(7.0,)))
    with pytest.raises(FathomError, match="response 1 has the score 7, expected 0"):
        implicit.fitting(settings, tokenizer, [rated], 80)


def test_an_adapter_is_trained_and_the_command_checks_a_recipe(base: Path, data: Path, tmp_path: Path) -> None:
    lora = {"r": 4, "target_modules": "all-linear"}
    folder = implicit.train(recipe(base, data, tmp_path / "lora", lora=lora, trainer=LEARN | {"max_steps": 2}))
    described = json.loads((folder / "fathom.json").read_text())
    assert (folder / "adapter_model.safetensors").exists()
    assert described == {"name": "implicit", "reference": str(base.resolve()), "beta": 0.5}
    arguments = ["train", "implicit", "mini_implicit", f"model={base}", f"data={data}", f"output={tmp_path / 'm'}"]
    result = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "192 examples" in result.output
