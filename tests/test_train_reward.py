"""Scalar reward models through the real TRL on a very small checkpoint: learned, saved, loaded elsewhere, resumed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.engines.chat import encode_conversation
from fathom.engines.heads import load_classifier
from fathom.errors import FathomError, RunInterruptedError
from fathom.train import recipes, scalar, trainers
from fathom.train.batches import by_length
from fathom.train.recipe import RewardRecipe, load
from test_train import interrupting_at_step
from tiny import BEGIN, make_checkpoint

FAST = {"gradient_checkpointing": False, "logging_steps": 1, "save_strategy": "no", "lr_scheduler_type": "constant"}
LEARN = FAST | {"max_steps": 30, "per_device_train_batch_size": 16, "learning_rate": 1e-2}
LORA = {"r": 4, "target_modules": "all-linear"}
HEADS = [("linear", "last"), ("mlp", "last"), ("mlp", "mean")]


def responses(rng: random.Random) -> tuple[str, str]:
    """A kind response and a rude one, of several lengths."""
    return "kind " * rng.randint(1, 6), "rude " * rng.randint(1, 6)


def comparisons(count: int, seed: int = 0) -> list[Comparison]:
    rng = random.Random(seed)
    items = []
    for number in range(count):
        pair, best = responses(rng), rng.randrange(2)
        items.append(
            Comparison(
                id=f"{seed}-{number}",
                prompt="how?",
                responses=pair if best == 0 else pair[::-1],
                label=Label(best=best),
            )
        )
    return items


def write(path: Path, items: Iterable[Comparison]) -> Path:
    path.write_text("".join(item.model_dump_json(exclude_none=True) + "\n" for item in items))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("base") / "m", vocab_texts=["how? kind rude "] * 4, context=128)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "pairs.jsonl", comparisons(64))


def trained(base: Path, data: Path, output: Path, resume: bool = False, **settings: Any) -> Path:
    return scalar.train(
        RewardRecipe(model=str(base), data=data, output=output, **{"trainer": LEARN} | settings), resume=resume
    )


def logged(folder: Path, name: str) -> list[float]:
    entries = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [entry[name] for entry in entries if name in entry]


def scores(folder: Path, items: Iterable[Comparison]) -> torch.Tensor:
    """The rewards of each response, (responses, outputs), by Fathom's loader, one text at a time."""
    model, tokenizer, _ = load_classifier(folder, device="cpu")
    return torch.cat([_logits(model, text) for item in items for text in scalar.encode(tokenizer, item)])


def _logits(model: Any, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        ids = torch.tensor([tokens])
        found: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return found


def accuracy(folder: Path, items: list[Comparison]) -> float:
    rewards = scores(folder, items)[:, 0].view(-1, 2)
    right = [pair.argmax().item() == item.label.winner for pair, item in zip(rewards, items, strict=True) if item.label]
    assert len(right) == len(items) > 0
    return sum(right) / len(right)


# Heads ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(("head", "pooling"), HEADS)
def test_every_head_learns_and_is_loaded_as_it_was_trained(
    base: Path, data: Path, tmp_path: Path, head: str, pooling: str, lora: dict[str, Any] | None
) -> None:
    held_out = comparisons(24, seed=1)
    evaluated = write(tmp_path / "held_out.jsonl", held_out)
    folder = trained(base, data, tmp_path / "m", head=head, pooling=pooling, lora=lora, eval_data=evaluated)
    assert logged(folder, "eval_accuracy")[-1] == pytest.approx(accuracy(folder, held_out))
    assert accuracy(folder, held_out) >= 0.9


def test_plain_transformers_and_trl_load_a_linear_head(base: Path, data: Path, tmp_path: Path) -> None:
    folder, items = trained(base, data, tmp_path / "m"), comparisons(8, seed=1)
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chats = [
        [{"role": "user", "content": "how?"}, {"role": "assistant", "content": text}]
        for item in items
        for text in item.responses
    ]
    batch = tokenizer.apply_chat_template(chats, tokenize=True, return_dict=True, return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = plain(**batch).logits
    assert plain.config.id2label == {0: "reward"}
    torch.testing.assert_close(logits, scores(folder, items), atol=1e-5, rtol=1e-5)

    trainer = RewardTrainer(
        model=str(folder),
        args=RewardConfig(output_dir=str(tmp_path / "trl"), use_cpu=True, bf16=False, report_to="none"),
        train_dataset=_trl_rows(items),
    )
    assert trainer.evaluate(_trl_rows(items))["eval_accuracy"] == pytest.approx(accuracy(folder, items))


def _trl_rows(items: Iterable[Comparison]) -> Any:
    from datasets import Dataset

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    rows = []
    for item in items:
        best = item.label.winner if item.label else None
        assert best is not None
        rows.append(
            {
                "prompt": turn("user", item.prompt_text),
                "chosen": turn("assistant", item.responses[best]),
                "rejected": turn("assistant", item.responses[1 - best]),
            }
        )
    return Dataset.from_list(rows)


def test_another_head_is_an_ordinary_backbone_and_a_file_beside_it(base: Path, data: Path, tmp_path: Path) -> None:
    folder = trained(base, data, tmp_path / "m", head="mlp", pooling="mean")
    backbone, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    described = json.loads((folder / "fathom.json").read_text())
    assert described == {"name": "scalar", "head": {"kind": "mlp", "pooling": "mean", "outputs": ["reward"]}}

    tokenizer, head = AutoTokenizer.from_pretrained(folder), load_file(folder / "head.safetensors")
    [item] = comparisons(1, seed=1)
    for text, reward in zip(scalar.encode(tokenizer, item), scores(folder, [item]), strict=True):
        with torch.no_grad():
            pooled = backbone(torch.tensor([text])).last_hidden_state.mean(1)
            hidden = torch.nn.functional.silu(pooled @ head["0.weight"].T + head["0.bias"])
            expected = hidden @ head["2.weight"].T + head["2.bias"]
        torch.testing.assert_close(expected[0], reward, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("head", "pooling"), HEADS)
def test_padding_does_not_change_rewards(base: Path, data: Path, tmp_path: Path, head: str, pooling: str) -> None:
    folder, items = trained(base, data, tmp_path / "m", head=head, pooling=pooling), comparisons(8, seed=1)
    model, tokenizer, _ = load_classifier(folder, device="cpu")
    texts = [text for item in items for text in scalar.encode(tokenizer, item)]
    assert len(set(map(len, texts))) > 1
    batch = tokenizer.pad({"input_ids": texts}, return_tensors="pt")
    with torch.no_grad():
        batched = model(**batch).logits
    torch.testing.assert_close(batched, scores(folder, items), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("head", "pooling"), HEADS)
def test_an_adapter_gives_the_rewards_that_peft_gives(
    base: Path, data: Path, tmp_path: Path, head: str, pooling: str
) -> None:
    peft = pytest.importorskip("peft")
    folder, items = trained(base, data, tmp_path / "m", head=head, pooling=pooling, lora=LORA), comparisons(8, seed=1)
    names = load_file(folder / "adapter_model.safetensors")
    assert not [name for name in names if "score" in name and "lora" in name], "the head is trained in full"
    recipe = load(folder / "recipe.yaml", RewardRecipe)
    config, tokenizer = trainers.settings(recipe), AutoTokenizer.from_pretrained(folder)
    model = peft.PeftModel.from_pretrained(scalar.new_model(recipe, config, tokenizer), folder).eval()
    expected = torch.cat([_logits(model, text) for item in items for text in scalar.encode(tokenizer, item)])
    torch.testing.assert_close(scores(folder, items), expected, atol=1e-5, rtol=1e-5)


def test_an_adapter_or_a_folder_without_its_head_is_refused(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(FathomError, match=r"not a trained classifier: it has no score\.weight"):
        load_classifier(base, device="cpu")
    folder = trained(base, data, tmp_path / "m", head="mlp")
    (folder / "head.safetensors").unlink()
    with pytest.raises(FathomError, match=r"head\.safetensors"):
        load_classifier(folder, device="cpu")


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(("head", "pooling"), HEADS)
def test_a_trained_model_is_trained_further_from_where_it_was(
    base: Path, data: Path, tmp_path: Path, head: str, pooling: str, lora: dict[str, Any] | None
) -> None:
    folder = trained(base, data, tmp_path / "m", head=head, pooling=pooling, lora=lora)
    further = trained(folder, data, tmp_path / "n", head=head, pooling=pooling, trainer=LEARN | {"max_steps": 2})
    assert logged(further, "loss")[0] < 0.5 * logged(folder, "loss")[0]


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(("head", "pooling"), HEADS)
def test_fathom_judge_takes_a_trained_model_without_further_options(
    base: Path, data: Path, tmp_path: Path, head: str, pooling: str, lora: dict[str, Any] | None
) -> None:
    folder, items = trained(base, data, tmp_path / "m", head=head, pooling=pooling, lora=lora), comparisons(6, seed=1)
    source, out = write(tmp_path / "test.jsonl", items), tmp_path / "verdicts.jsonl"
    judged = CliRunner().invoke(app, ["judge", str(source), "--model", str(folder), "--out", str(out)])
    assert judged.exit_code == 0, judged.output
    given = [score for line in out.read_text().splitlines() for score in json.loads(line)["scores"]]
    assert given == pytest.approx(scores(folder, items)[:, 0].tolist(), abs=1e-4)


# Losses and data ------------------------------------------------------------------------------------------------------


def test_a_ranking_and_a_best_response_are_learned(base: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    words = ["kind ", "kind rude ", "rude "]
    items = []
    for number in range(48):
        order = rng.sample(range(3), 3)
        label = Label(ranking=tuple(order.index(k) for k in range(3))) if number % 2 else Label(best=order.index(0))
        items.append(
            Comparison(id=str(number), prompt="how?", responses=tuple(words[k] * 2 for k in order), label=label)
        )
    folder = trained(base, write(tmp_path / "d.jsonl", items), tmp_path / "m", loss="plackett_luce")
    rewards = scores(folder, [Comparison(id="x", prompt="how?", responses=tuple(word * 2 for word in words))])
    assert rewards[0] > rewards[1] > rewards[2]


def test_ties_are_learned_as_small_differences(base: Path, tmp_path: Path) -> None:
    items = [
        Comparison(id=str(number), prompt="how?", responses=("kind rude ", "rude kind "), label=Label(scores=(1, 1)))
        for number in range(24)
    ]
    items += comparisons(24)
    folder = trained(base, write(tmp_path / "d.jsonl", items), tmp_path / "m", loss="ties")
    first, second, kind, rude = scores(
        folder,
        [
            Comparison(id="t", prompt="how?", responses=("kind rude ", "rude kind ")),
            Comparison(id="d", prompt="how?", responses=("kind ", "rude ")),
        ],
    )
    assert abs(first - second) < 0.5 < kind - rude
    with pytest.raises(FathomError, match=r"24 comparisons have no label that loss: bradley_terry can use"):
        trained(base, write(tmp_path / "ties.jsonl", items[:24]), tmp_path / "n")


def test_attributes_give_an_output_each_in_the_order_of_the_source(base: Path, tmp_path: Path) -> None:
    rows = [
        {"prompt": "how?", "chosen": kind, "rejected": rude, "kindness": [2.0, -2.0], "rudeness": [None, 1.0]}
        for kind, rude in (responses(random.Random(seed)) for seed in range(48))
    ]
    data = tmp_path / "d.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings: dict[str, Any] = {"loss": "regression", "attributes": ("kindness", "rudeness")}
    folder = trained(base, data, tmp_path / "m", trainer=LEARN | {"max_steps": 60}, **settings)
    kind, rude = scores(folder, [Comparison(id="x", prompt="how?", responses=("kind kind ", "rude rude "))])
    assert kind[0] > 1
    assert rude[0] < -1
    assert rude[1] == pytest.approx(1, abs=0.5)
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.id2label == {0: "kindness", 1: "rudeness"}
    with pytest.raises(FathomError, match=r"attribute 'kindness' is None, expected a number .*; the columns are"):
        trained(base, write(tmp_path / "e.jsonl", comparisons(2)), tmp_path / "n", **settings)


def test_binary_labels_are_learned_from_single_responses(base: Path, tmp_path: Path) -> None:
    items = [
        Comparison(id=f"{seed}{place}", prompt="how?", responses=(text,), label=Label(scores=(1.0 - place,)))
        for seed in range(24)
        for place, text in enumerate(responses(random.Random(seed)))
    ]
    folder = trained(base, write(tmp_path / "d.jsonl", items), tmp_path / "m", loss="binary")
    kind, rude = scores(folder, [Comparison(id="x", prompt="how?", responses=("kind ", "rude "))])
    assert kind > 0 > rude


def test_a_better_response_that_is_much_longer_is_left_out(base: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    long, short = "kind " * 6, "rude "
    items = [
        Comparison(id="longer", prompt="how?", responses=(long, short), label=Label(best=0)),
        Comparison(id="shorter", prompt="how?", responses=(long, short), label=Label(best=1)),
    ]
    recipe = RewardRecipe(model=str(base), data="d", output="o", length_ratio=2.0)
    examples, left_out = scalar.fitting(recipe, tokenizer, items, None)
    assert left_out == {"length ratio": 1}
    assert [example.target.pairs for example in examples] == [((1, 0, 1.0),)]


def test_texts_are_whole_conversations_with_one_begin_token(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    messages: Any = [{"role": "user", "content": "how?"}, {"role": "assistant", "content": "kind<|end|>"}]
    text = tokenizer.decode(encode_conversation(tokenizer, messages))
    assert text.startswith(BEGIN)
    assert text.count(BEGIN) == 1
    assert text.count("<|end|>") == 2, "one per turn: the one in the response is text"


# Batches --------------------------------------------------------------------------------------------------------------


def test_batches_hold_each_example_once_and_similar_lengths() -> None:
    rng = random.Random(0)
    lengths = [rng.randint(1, 1000) for _ in range(203)]
    order = by_length(lengths, batch_size=8, pool=50, seed=0, epoch=0)
    assert len(order) == len(set(order)) == 200
    shuffled = by_length(lengths, batch_size=8, pool=1, seed=0, epoch=0)
    assert _spread(order, lengths) < 0.2 * _spread(shuffled, lengths)
    assert order != by_length(lengths, batch_size=8, pool=50, seed=0, epoch=1)


def _spread(order: list[int], lengths: list[int]) -> int:
    batches = [[lengths[place] for place in order[start : start + 8]] for start in range(0, len(order), 8)]
    return sum(max(batch) - min(batch) for batch in batches)


def test_accumulated_batches_give_the_loss_curve_of_one_batch(base: Path, data: Path, tmp_path: Path) -> None:
    steps = LEARN | {"max_steps": 6, "learning_rate": 1e-3}
    one = trained(base, data, tmp_path / "one", trainer=steps)
    split = steps | {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    assert logged(trained(base, data, tmp_path / "four", trainer=split), "loss") == pytest.approx(
        logged(one, "loss"), rel=1e-4
    )
    assert len(logged(one, "loss")) == 6


def test_a_classifier_that_pads_with_the_end_of_its_texts_is_pointed_out(base: Path) -> None:
    tokenizer, recipe = AutoTokenizer.from_pretrained(base), RewardRecipe(model=str(base), data="d", output="o")
    assert scalar.remarks(recipe, tokenizer) == []
    tokenizer.pad_token = tokenizer.eos_token
    assert "reads the last token before it" in scalar.remarks(recipe, tokenizer)[0]
    assert scalar.remarks(recipe.model_copy(update={"pooling": "mean"}), tokenizer) == []


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(base: Path, data: Path, tmp_path: Path) -> None:
    steps: dict[str, Any] = LEARN | {"max_steps": 6, "learning_rate": 1e-3, "use_cpu": True}
    one = trained(base, data, tmp_path / "one", trainer=steps)
    values = {"model": str(base), "data": str(data), "output": str(tmp_path / "two")}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(values | {"trainer": steps | {"per_device_train_batch_size": 8}}))
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    arguments = [sys.executable, "-m", *launcher, "fathom", "train", "reward", str(recipe)]
    subprocess.run(arguments, check=True, timeout=300, capture_output=True)
    assert logged(tmp_path / "two", "loss") == pytest.approx(logged(one, "loss"), rel=1e-4)
    assert logged(tmp_path / "two", "accuracy") == pytest.approx(logged(one, "accuracy"))
    assert len(logged(one, "loss")) == 6


@pytest.mark.parametrize("margin", [0.0, 0.7])
def test_the_loss_is_trls_on_the_same_batches(base: Path, tmp_path: Path, margin: float) -> None:
    """One batch holds all pairs, so its order does not matter."""
    items = comparisons(16)
    both: dict[str, Any] = FAST | {"max_steps": 4, "per_device_train_batch_size": 16, "learning_rate": 1e-3}
    both["center_rewards_coefficient"] = 0.1
    folder = trained(base, write(tmp_path / "d.jsonl", items), tmp_path / "m", trainer=both, margin=margin)
    theirs = RewardTrainer(
        model=str(base),
        args=RewardConfig(output_dir=str(tmp_path / "trl"), use_cpu=True, bf16=False, report_to="none", seed=0, **both),
        train_dataset=_trl_rows(items).add_column("margin", [margin] * len(items)),
    )
    theirs.train()
    expected = [entry["loss"] for entry in theirs.state.log_history if "loss" in entry]
    assert logged(folder, "loss") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("head", "lora"), [("linear", None), ("mlp", None), ("mlp", LORA)])
def test_a_resumed_run_ends_in_the_weights_of_an_uninterrupted_one(
    base: Path, data: Path, tmp_path: Path, head: str, lora: dict[str, Any] | None
) -> None:
    # An epoch has four steps, so the run is resumed within its second epoch.
    settings: dict[str, Any] = {
        "head": head,
        "lora": lora,
        "trainer": LEARN | {"max_steps": 10, "save_strategy": "steps", "save_steps": 3},
    }
    whole = trained(base, data, tmp_path / "whole", **settings)
    with pytest.raises(RunInterruptedError), interrupting_at_step(7):
        trained(base, data, tmp_path / "cut", **settings)
    resumed = trained(base, data, tmp_path / "cut", resume=True, **settings)
    files = sorted(path.name for path in whole.glob("*.safetensors"))
    assert files
    for name in files:
        expected, got = load_file(whole / name), load_file(resumed / name)
        assert expected.keys() == got.keys() != set()
        assert all(torch.equal(expected[weight], got[weight]) for weight in expected)


# Command line ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_comparisons_and_trains_nothing(base: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["train", "reward", "mini_reward", f"model={base}", f"data={data}", f"output={tmp_path / 'm'}"]
    shown = CliRunner().invoke(app, [*arguments, "length_ratio=3", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "64 comparisons; 200 steps of 32 comparisons" in shown.output
    assert "--- label:" in shown.output
    assert "tokens with the prompt" in shown.output
    assert not (tmp_path / "m" / "config.json").exists()


def test_a_key_of_another_loss_is_refused(data: Path) -> None:
    with pytest.raises(FathomError, match="margin applies to loss: bradley_terry, not to binary"):
        load(recipes.path("mini_reward"), RewardRecipe, [f"data={data}", "loss=binary", "margin=1.0"])
