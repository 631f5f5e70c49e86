"""Training through the real TRL on a very small checkpoint: what is trained on, kept, resumed, learned."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from fathom.data.records import Comparison, Label
from fathom.engines import Sampling
from fathom.engines.chat import encode_chat
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError, RunInterruptedError
from fathom.judges.mix import MixJudge
from fathom.rationale import Rationale, Unit, render
from fathom.train import preview, recipes, rlvr, sft
from fathom.train.recipe import RLVRRecipe, SFTRecipe, load
from tiny import ASSISTANT, BEGIN, CHAT_TEMPLATE, END, make_checkpoint

JUDGE = MixJudge(trained=True)
FAST = {"gradient_checkpointing": False, "logging_steps": 1, "save_strategy": "no", "lr_scheduler_type": "constant"}


def comparisons(count: int, seed: int = 0) -> list[Comparison]:
    """The first response is always the better one."""
    rng = random.Random(seed)
    return [
        Comparison(
            id=f"{seed}-{number}",
            prompt="2 + 2?",
            responses=(str(rng.randrange(10)), str(rng.randrange(10))),
            label=Label(best=0),
            domain="correctness" if number % 2 else "preference",
        )
        for number in range(count)
    ]


def completion(verdict: str) -> str:
    return render(Rationale((Unit("right", judgment="A B"),), verdict=verdict))  # type: ignore[arg-type]


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def example(item: Comparison, text: str) -> dict[str, Any]:
    return {"id": item.id, "prompt": JUDGE.ask(item), "completion": [{"role": "assistant", "content": text}]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose tokenizer knows the phrases of these tests, so that texts are short."""
    texts = [JUDGE.ask(item)[0]["content"] for item in comparisons(20)] + [completion(v) for v in "AB"]
    return make_checkpoint(tmp_path_factory.mktemp("base") / "m", vocab_texts=texts, vocab_size=600, context=256)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rationales that say A or B by the toss of a coin."""
    rng = random.Random(1)
    rows = [example(item, completion(rng.choice("AB"))) for item in comparisons(64)]
    return write(tmp_path_factory.mktemp("data") / "sft.jsonl", rows)


@pytest.fixture(scope="module")
def tuned(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine-tuned until it writes a verdict, A or B."""
    trainer = FAST | {"max_steps": 60, "per_device_train_batch_size": 16, "learning_rate": 1e-2}
    return sft.train(
        SFTRecipe(model=str(base), data=data, output=tmp_path_factory.mktemp("tuned") / "m", trainer=trainer)
    )


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def logged(folder: Path, name: str) -> list[float]:
    return [entry[name] for entry in history(folder) if name in entry]


@contextmanager
def interrupting_at_step(step: int) -> Iterator[None]:
    """Ctrl-C as soon as that step is logged."""

    class CtrlC(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith(f"step {step} "):
                signal.raise_signal(signal.SIGINT)

    logger, handler = logging.getLogger("fathom.train"), CtrlC()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


# SFT ------------------------------------------------------------------------------------------------------------------


def test_training_tokens_are_what_the_engine_asks_then_the_completion_then_the_end(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    row = sft.Example.model_validate(example(comparisons(1)[0], completion("A")))
    tokens = sft.encode(tokenizer, row)
    asked = encode_chat(tokenizer, JUDGE.ask(comparisons(1)[0]))
    text = tokenizer.decode(tokens["input_ids"])

    assert tokens["input_ids"][: len(asked)] == asked
    assert text.startswith(BEGIN)
    assert text.count(BEGIN) == 1
    assert text.endswith(f"{ASSISTANT}{completion('A')}{END}")


def test_only_the_completion_and_its_end_carry_loss(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokens = sft.encode(tokenizer, sft.Example.model_validate(example(comparisons(1)[0], completion("B"))))
    learned = [label for label in tokens["labels"] if label != sft.IGNORED]
    assert tokenizer.decode(learned) == completion("B") + END
    assert len(tokens["labels"]) == len(tokens["input_ids"])


def test_fine_tuning_teaches_the_model_to_write_the_rationales(tuned: Path) -> None:
    losses = logged(tuned, "loss")
    assert losses[-1] < losses[0] / 5
    judge = MixJudge(engine=LocalEngine(tuned), sampling=Sampling(max_tokens=60), trained=True)
    assert asyncio.run(judge(comparisons(1, seed=5)[0])).status == "ok"


def test_a_trained_folder_says_which_judge_it_is_and_how_it_was_made(tuned: Path, data: Path) -> None:
    assert json.loads((tuned / "fathom.json").read_text()) == {"name": "mix", "style": "mix", "trained": True}
    assert load(tuned / "recipe.yaml", SFTRecipe).trainer["learning_rate"] == 1e-2
    record = json.loads((tuned / "provenance.json").read_text())
    assert str(data) in record["inputs"]
    assert any(name.endswith("model.safetensors") for name in record["inputs"])


def test_weights_are_left_as_safetensors_and_nothing_as_a_pickle(tuned: Path) -> None:
    assert (tuned / "model.safetensors").exists()
    assert not [file.name for file in tuned.iterdir() if file.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_an_interrupted_run_resumed_equals_an_uninterrupted_one(base: Path, data: Path, tmp_path: Path) -> None:
    trainer = FAST | {"max_steps": 6, "per_device_train_batch_size": 8, "save_strategy": "steps", "save_steps": 3}
    recipes = [SFTRecipe(model=str(base), data=data, output=tmp_path / name, trainer=trainer) for name in "ab"]
    whole, parts = (recipe.output for recipe in recipes)
    sft.train(recipes[0])
    with (
        interrupting_at_step(4),
        pytest.raises(RunInterruptedError, match=r"step 4: .*checkpoint-3 was saved.*--resume"),
    ):
        sft.train(recipes[1])
    assert len(logged(parts, "loss")) == 4
    sft.train(recipes[1], resume=True)

    expected, found = load_file(whole / "model.safetensors"), load_file(parts / "model.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert logged(parts, "loss") == logged(whole, "loss")


def test_another_runs_checkpoints_are_never_written_over(base: Path, data: Path, tmp_path: Path) -> None:
    trainer = FAST | {"max_steps": 1, "per_device_train_batch_size": 8, "save_strategy": "steps", "save_steps": 1}
    recipe = SFTRecipe(model=str(base), data=data, output=tmp_path / "o", trainer=trainer)
    sft.train(recipe)
    assert (tmp_path / "o" / "checkpoint-1" / "fathom.json").exists()
    with pytest.raises(FathomError, match=r"resume that run \(--resume\), or choose another output"):
        sft.train(recipe)


def test_packing_lets_no_example_see_another(base: Path, data: Path, tmp_path: Path) -> None:
    losses = []
    for packing, batch in ((False, 64), (True, 1000)):
        trainer = FAST | {"max_steps": 1, "per_device_train_batch_size": batch, "packing": packing, "max_length": 250}
        output = tmp_path / str(packing)
        sft.train(SFTRecipe(model=str(base), data=data, output=output, trainer=trainer))
        losses += logged(output, "loss")
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_examples_that_are_too_long_are_left_out_and_never_cut(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    short, long = (sft.Example.model_validate(example(comparisons(1)[0], text)) for text in ("[[A]]", "[[A]]" * 90))
    rows, too_long = sft.fitting(tokenizer, [short, long], 200)
    assert (rows, too_long) == ([sft.encode(tokenizer, short)], 1)
    with pytest.raises(FathomError, match=r"every example exceeds trainer\.max_length=200"):
        sft.fitting(tokenizer, [long], 200)


@pytest.mark.parametrize(
    ("line", "place"),
    [("{", "JSON"), ('{"prompt": []}', "prompt"), ('{"prompt": [{"role": "user", "content": "x"}]}', "completion")],
)
def test_a_row_that_is_no_example_is_named_by_file_and_line(tmp_path: Path, line: str, place: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps(example(comparisons(1)[0], "x")) + f"\n{line}\n")
    with pytest.raises(FathomError, match=rf"d\.jsonl:2: {place}: "):
        list(sft.read([path]))


# RLVR -----------------------------------------------------------------------------------------------------------------


def reinforced(model: Path, output: Path, **trainer: Any) -> Path:
    """A learning rate that falls to zero: a constant one that is high enough to learn quickly breaks the model again
    now and then, and in which step depends on the last digits of the processor's sums."""
    settings = FAST | {
        "max_steps": 12,
        "per_device_train_batch_size": 64,
        "num_generations": 8,
        "max_completion_length": 24,
        "learning_rate": 2e-3,
        "lr_scheduler_type": "linear",
        "temperature": 1.0,
        "beta": 0.001,
        "loss_type": "grpo",
    }
    path = write(output.with_suffix(".jsonl"), (item.model_dump(mode="json") for item in comparisons(40, seed=2)))
    return rlvr.train(
        RLVRRecipe(model=str(model), data=path, output=output, rollouts="engine", trainer=settings | trainer)
    )


def test_a_rule_that_can_be_learned_raises_the_reward(tuned: Path, tmp_path: Path) -> None:
    folder = reinforced(tuned, tmp_path / "rlvr")
    rewards = logged(folder, "reward")
    # Of 3 * 64 completions of 24 prompts. A coin earns 0 with a standard error of 1/sqrt(24) = 0.2 even if all
    # completions of a prompt are alike; the rule earns 1, and sampling at temperature 1 costs it about 0.05.
    assert sum(rewards[:3]) / 3 < 0.5
    assert sum(rewards[-3:]) / 3 > 0.8
    last = history(folder)[-2]
    assert last["accuracy"] == pytest.approx((last["reward"] + 1) / 2)
    assert {"invalid", "structure/match", "structure/preference/vanilla", "tokens/correctness", "kl"} <= last.keys()


def test_a_model_that_writes_no_verdict_earns_minus_one_throughout(base: Path, tmp_path: Path) -> None:
    folder = reinforced(base, tmp_path / "rlvr", max_steps=1)
    assert logged(folder, "reward") == [-1.0]
    assert logged(folder, "invalid") == [1.0]


def test_an_adapter_is_fine_tuned_and_reinforced_beside_a_base_that_stays(
    base: Path, data: Path, tmp_path: Path
) -> None:
    before = (base / "model.safetensors").read_bytes()
    lora = {"r": 4, "target_modules": ["q_proj", "v_proj"]}
    trainer = FAST | {"max_steps": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-2}
    adapter = sft.train(SFTRecipe(model=str(base), data=data, output=tmp_path / "a", lora=lora, trainer=trainer))
    assert (adapter / "adapter_model.safetensors").exists()

    reinforced(adapter, tmp_path / "b", max_steps=1)
    assert (tmp_path / "b" / "adapter_model.safetensors").exists()
    read = json.loads((tmp_path / "b" / "provenance.json").read_text())["inputs"]
    assert {str(adapter / "adapter_model.safetensors"), str(base / "model.safetensors")} <= read.keys()
    assert (base / "model.safetensors").read_bytes() == before
    with pytest.raises(FathomError, match="leave `lora` out"):
        sft.train(SFTRecipe(model=str(adapter), data=data, output=tmp_path / "c", lora=lora, trainer=trainer))


@pytest.fixture
def grpo(tuned: Path, tmp_path: Path) -> Any:
    """TRL's trainer, ready to generate."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from fathom.train.rollouts import engine_rollouts

    config = GRPOConfig(
        output_dir=str(tmp_path), num_generations=2, per_device_train_batch_size=2, max_completion_length=20,
        temperature=1e-3, report_to="none", bf16=False, use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    return GRPOTrainer(
        model=str(tuned),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_list([{"prompt": JUDGE.ask(item)} for item in comparisons(4)]),
        processing_class=AutoTokenizer.from_pretrained(tuned),
        rollout_func=engine_rollouts,
    )


def test_sampling_by_the_engine_writes_what_trl_writes(grpo: Any) -> None:
    prompts = [JUDGE.ask(item) for item in comparisons(3, seed=7) for _ in range(2)]
    ours = grpo.rollout_func(prompts, grpo)
    grpo.rollout_func = None
    _, theirs, *_ = grpo._generate(prompts)
    assert ours["completion_ids"] == theirs


def test_completions_of_a_prompt_differ_and_are_drawn_again_alike(grpo: Any) -> None:
    grpo.args.temperature = 1.5
    prompts = [JUDGE.ask(comparisons(1)[0])] * 8
    first, again = (grpo.rollout_func(prompts, grpo)["completion_ids"] for _ in range(2))
    assert first == again
    assert len({tuple(tokens) for tokens in first}) > 1
    grpo.state.global_step += 1
    assert grpo.rollout_func(prompts, grpo)["completion_ids"] != first


def test_the_label_reaches_the_reward_and_never_the_prompt() -> None:
    item = comparisons(1)[0]
    other = item.model_copy(update={"label": Label(best=1)})
    (row,), (swapped,) = rlvr.rows(JUDGE, [item]), rlvr.rows(JUDGE, [other])
    assert row["prompt"] == swapped["prompt"]
    assert row["comparison"] != swapped["comparison"]


def test_comparisons_without_a_winner_are_refused_before_training(tuned: Path, tmp_path: Path) -> None:
    tied = comparisons(1)[0].model_copy(update={"label": Label(scores=(1.0, 1.0)), "id": "the-tied-one"})
    path = write(tmp_path / "d.jsonl", (item.model_dump(mode="json") for item in [*comparisons(2), tied]))
    with pytest.raises(FathomError, match=r"1 of 3 comparisons have no label with a winner.*the-tied-one"):
        rlvr.train(RLVRRecipe(model=str(tuned), data=path, output=tmp_path / "o", trainer=FAST))


def test_prompts_without_room_for_a_completion_are_left_out(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    short, long = comparisons(2)
    asked = rlvr.rows(JUDGE, [short, long.model_copy(update={"prompt": "2 + " * 200})])
    assert rlvr.fitting(tokenizer, asked, 200) == (asked[:1], 1)
    with pytest.raises(FathomError, match="max_completion_length"):
        rlvr.fitting(tokenizer, asked, 3)


# Dry runs -------------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_ten_examples_with_their_tokens_and_trains_nothing(
    base: Path, data: Path, tmp_path: Path
) -> None:
    recipe = SFTRecipe(model=str(base), data=data, output=tmp_path / "o", trainer=FAST | {"max_steps": 3})
    page = preview.sft(recipe)
    tokens = sft.encode(AutoTokenizer.from_pretrained(base), next(sft.read([data])))
    learned = sum(label != sft.IGNORED for label in tokens["labels"])

    assert page.count("=== example") == 10
    assert f"prompt, {len(tokens['input_ids']) - learned} tokens" in page
    assert f"completion, {learned} tokens" in page
    assert yaml.safe_load(page.split("\n\n")[0])["trainer"]["max_steps"] == 3
    assert not (tmp_path / "o").exists()


def test_a_dry_run_without_the_model_says_what_it_could_not_check(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    path = write(tmp_path / "d.jsonl", (item.model_dump(mode="json") for item in comparisons(3)))
    trainer = {"bf16": True, "num_generations": 8}
    page = preview.rlvr(RLVRRecipe(model="nobody/no-model", data=path, output=tmp_path / "o", trainer=trainer))
    assert "not checked: tokens, lengths and weights: cannot load the tokenizer of nobody/no-model" in page
    assert page.count("=== example") == 3
    assert "label: response A is better" in page


def test_a_dry_run_refuses_an_empty_file_where_the_model_is_not_here_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    path = write(tmp_path / "d.jsonl", [])
    with pytest.raises(FathomError, match="contain no examples"):
        preview.sft(SFTRecipe(model="nobody/no-model", data=path, output=tmp_path / "o", trainer={"bf16": True}))


def test_a_dry_run_refuses_what_trl_would_refuse(base: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", (item.model_dump(mode="json") for item in comparisons(3)))
    trainer = {"num_generations": 8, "per_device_train_batch_size": 12}
    with pytest.raises(FathomError, match=r"trainer: GRPOConfig rejects .*divisible by num_generations"):
        preview.rlvr(RLVRRecipe(model=str(base), data=path, output=tmp_path / "o", trainer=trainer))


def test_a_dry_run_refuses_a_tracker_that_the_trainer_does_not_know(base: Path, data: Path, tmp_path: Path) -> None:
    trainer = {"report_to": "wandbb"}
    with pytest.raises(FathomError, match=r"unknown tracker 'wandbb'; expected all, none, or one or more of .*wandb"):
        preview.sft(SFTRecipe(model=str(base), data=data, output=tmp_path / "o", trainer=trainer))


# Chat templates -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `base`, but its tokenizer has no chat template, as those of many base models."""
    texts = [JUDGE.ask(item)[0]["content"] for item in comparisons(20)] + [completion(v) for v in "AB"]
    path = tmp_path_factory.mktemp("bare") / "m"
    return make_checkpoint(path, vocab_texts=texts, vocab_size=600, context=256, chat_template=None)


def by_trl(model: Path, output: Path) -> RLVRRecipe:
    path = write(output.with_suffix(".jsonl"), (item.model_dump(mode="json") for item in comparisons(4)))
    trainer = FAST | {
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "num_generations": 2,
        "max_completion_length": 8,
    }
    return RLVRRecipe(model=str(model), data=path, output=output, trainer=trainer)


def test_a_base_model_is_given_a_chat_template_and_learns_its_turns(bare: Path, data: Path, tmp_path: Path) -> None:
    template = tmp_path / "turns.jinja"
    template.write_text(CHAT_TEMPLATE)
    trainer = FAST | {"max_steps": 1, "per_device_train_batch_size": 2, "chat_template_path": str(template)}
    recipe = SFTRecipe(model=str(bare), data=data, output=tmp_path / "sft", trainer=trainer)
    page = preview.sft(recipe)
    folder = sft.train(recipe)
    assert AutoTokenizer.from_pretrained(folder).chat_template == CHAT_TEMPLATE
    asked = encode_chat(AutoTokenizer.from_pretrained(folder), JUDGE.ask(comparisons(1)[0]))
    assert f"--- prompt, {len(asked)} tokens" in page
    assert "no chat template" not in page
    assert logged(rlvr.train(by_trl(folder, tmp_path / "rlvr")), "reward") == [-1.0]


def test_without_a_chat_template_trl_cannot_sample_which_is_told_before_training(bare: Path, tmp_path: Path) -> None:
    recipe = by_trl(bare, tmp_path / "o")
    for run in (rlvr.train, preview.rlvr):
        with pytest.raises(FathomError, match=r"no chat template.*chat_template_path=FILE.*rollouts=engine"):
            run(recipe)
    assert "comparisons; " in preview.rlvr(recipe.model_copy(update={"rollouts": "engine"}))


def test_fine_tuning_without_a_chat_template_says_what_will_not_work(bare: Path, data: Path, tmp_path: Path) -> None:
    recipe = SFTRecipe(model=str(bare), data=data, output=tmp_path / "o", trainer=FAST)
    assert "has no chat template, so it is trained on plain-text prompts" in preview.sft(recipe)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no chat template 'turns.jinja'; .*gemma"), ("{% for %}", "is not a valid chat template")],
)
def test_a_chat_template_that_cannot_be_used_is_refused(
    bare: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content:
        (tmp_path / "turns.jinja").write_text(content)
    trainer = FAST | {"chat_template_path": "turns.jinja"}
    with pytest.raises(FathomError, match=reason):
        preview.sft(SFTRecipe(model=str(bare), data=data, output=tmp_path / "o", trainer=trainer))


def test_the_template_for_gemma_writes_gemmas_turns(bare: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bare)
    tokenizer.chat_template = recipes.chat_template("gemma").read_text()
    said = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    turns = f"{BEGIN}<start_of_turn>user\n2 + 2?<end_of_turn>\n<start_of_turn>model\n"
    assert tokenizer.apply_chat_template(said[:1], tokenize=False, add_generation_prompt=True) == turns
    assert tokenizer.apply_chat_template(said, tokenize=False) == f"{turns}4<end_of_turn>\n"


def test_a_dry_run_takes_references_of_a_judge_that_is_paid_for_solving(base: Path, tmp_path: Path) -> None:
    items = [item.model_copy(update={"reference": "4"}) for item in comparisons(3)]
    path = write(tmp_path / "d.jsonl", (item.model_dump(mode="json") for item in items))
    recipe = by_trl(base, tmp_path / "o")
    told = recipe.model_dump(exclude={"judge", "data"})
    assert "3 comparisons" in preview.rlvr(RLVRRecipe(**told, data=path, judge={"name": "s2j"}))  # type: ignore[arg-type]


# Held-out data -------------------------------------------------------------------------------------------------------


def test_fine_tuning_is_evaluated_on_held_out_examples(base: Path, data: Path, tmp_path: Path) -> None:
    held_out = write(tmp_path / "held-out.jsonl", [example(item, completion("A")) for item in comparisons(8, seed=7)])
    trainer = FAST | {"max_steps": 10, "per_device_train_batch_size": 4, "per_device_eval_batch_size": 4}
    recipe = SFTRecipe(model=str(base), data=data, eval_data=held_out, output=tmp_path / "m", trainer=trainer)
    sft.train(recipe)
    assert len(logged(recipe.output, "eval_loss")) == 10
    assert str(held_out) in json.loads((recipe.output / "provenance.json").read_text())["inputs"]


@pytest.mark.parametrize("rollouts", ["engine", "trl"])
def test_reinforcement_is_evaluated_by_the_accuracy_of_held_out_verdicts(
    rollouts: str, tuned: Path, tmp_path: Path
) -> None:
    data = write(tmp_path / "data.jsonl", [item.model_dump() for item in comparisons(8)])
    held_out = write(tmp_path / "held-out.jsonl", [item.model_dump() for item in comparisons(4, seed=7)])
    trainer = FAST | {"max_steps": 2, "per_device_train_batch_size": 8, "num_generations": 4}
    trainer |= {"per_device_eval_batch_size": 8, "max_completion_length": 40, "eval_strategy": "steps", "eval_steps": 1}
    recipe = RLVRRecipe(
        model=str(tuned),
        data=data,
        eval_data=held_out,
        output=tmp_path / "m",
        rollouts=rollouts,  # type: ignore[arg-type]
        trainer=trainer,
    )
    rlvr.train(recipe)
    accuracies, rewards = logged(recipe.output, "eval_accuracy"), logged(recipe.output, "eval_reward")
    assert len(accuracies) == len(rewards) == 2
    for accuracy, reward in zip(accuracies, rewards, strict=True):
        assert reward == pytest.approx(2 * accuracy - 1)  # +1 for a right verdict, -1 for any other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer": {"eval_strategy": "steps"}}, "eval_strategy=steps needs held-out data: set eval_data=FILE"),
        ({"eval_data": "data.jsonl"}, r"eval_data contains data\.jsonl, which is also in data"),
    ],
    ids=["nothing to evaluate on", "training data"],
)
def test_an_evaluation_without_held_out_data_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SFTRecipe(model="mini", data="data.jsonl", output="m", **changes)  # type: ignore[arg-type]
