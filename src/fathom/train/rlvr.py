"""Reinforcement learning with verifiable rewards: GRPO on labelled comparisons, with a reward for the verdict only.

    from fathom.train import rlvr
    from fathom.train.recipe import RLVRRecipe
    rlvr.train(RLVRRecipe(model="runs/sft", data="comparisons.jsonl", output="runs/rlvr", trainer={"max_steps": 80}))

The judge renders the prompt and parses the reward from the completion (`fathom.train.rewards`). The label is used by
the reward only, never in the prompt. GRPO itself (loss, advantages, KL divergence) is TRL's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fathom.data.records import Comparison
from fathom.engines.chat import encode_chat, without_control
from fathom.engines.checkpoints import adapter_base
from fathom.errors import FathomError, require
from fathom.judges import Judge
from fathom.metrics.answers import checking
from fathom.train import trainers
from fathom.train.recipe import RLVRRecipe
from fathom.train.rewards import JudgeReward


def train(recipe: RLVRRecipe, *, resume: bool = False) -> Path:
    """Train, and return the folder of the trained model. Raises FathomError for errors that the user can fix."""
    require("trl", "train")
    from datasets import Dataset
    from trl import GRPOTrainer

    from fathom.train.rollouts import engine_rollouts

    last = trainers.start(recipe, resume=resume)
    with trainers.quiet(), checking(recipe.judge.build()) as judge:
        config = trainers.settings(recipe)
        if recipe.rollouts == "engine" and config.world_size > 1:
            raise FathomError(f"rollouts: engine supports one process, got {config.world_size}; set rollouts=trl")
        tokenizer = trainers.load_tokenizer(recipe)
        check_template(recipe, tokenizer)
        most = max_prompt_tokens(recipe, config.max_completion_length)
        asked = _fitting(tokenizer, rows(judge, read(recipe)), most)
        held_out = _fitting(tokenizer, rows(judge, read(recipe, recipe.eval_data)), most) if recipe.eval_data else None
        trainer = GRPOTrainer(
            model=trainers.model(recipe, config),
            reward_funcs=JudgeReward(
                judge, max_completion_length=config.max_completion_length, end_token_ids={tokenizer.eos_token_id}
            ),
            args=config,
            train_dataset=Dataset.from_list(asked),
            eval_dataset=held_out and Dataset.from_list(held_out),
            processing_class=tokenizer,
            peft_config=trainers.adapter(recipe),
            rollout_func=engine_rollouts if recipe.rollouts == "engine" else None,
        )
        return trainers.run(trainer, recipe, last)


def read(recipe: RLVRRecipe, files: Sequence[Path] | None = None) -> list[Comparison]:
    """The comparisons of `files`, by default the training files.

    Raises FathomError if there are none, or if some labels name no winner.
    """
    from fathom.data.reading import read

    items = [
        item
        for path in (recipe.data if files is None else files)
        for item in read(path, mapping=recipe.mapping, seed=recipe.seed)
    ]
    without = [item.id for item in items if item.label is None or item.label.winner is None]
    if without:
        raise FathomError(
            f"{len(without)} of {len(items)} comparisons have no label with a winner ({', '.join(without[:3])}"
            f"{', ...' if len(without) > 3 else ''}); "
            "RLVR needs one to compute the reward; leave them out"
        )
    if not items:
        raise FathomError(
            f"{', '.join(map(str, recipe.data if files is None else files))}: no comparisons; expected at least one"
        )
    return items


def rows(judge: Judge, items: Iterable[Comparison]) -> list[dict[str, Any]]:
    """The training set: prompts, and comparisons as JSON for the reward.

    Raises FathomError for a comparison that the judge cannot judge, or whose label it cannot use for a reward.
    """
    asked = []
    for item in items:
        judge.check(item)
        judge.check_label(item)
        asked.append({"prompt": judge.prompt(item), "comparison": item.model_dump_json()})
    return asked


def check_template(recipe: RLVRRecipe, tokenizer: Any) -> None:
    """Raise FathomError if TRL samples from a model without a chat template, which TRL does not support."""
    if recipe.rollouts == "trl" and tokenizer.chat_template is None:
        raise FathomError(
            f"{recipe.model} has no chat template, and rollouts: trl needs one; fine-tune the model with one "
            "(trainer.chat_template_path=FILE.jinja in fathom train sft), add chat_template.jinja to its folder, or "
            "set rollouts=engine"
        )


def max_prompt_tokens(recipe: RLVRRecipe, max_completion_length: int) -> int | None:
    """Maximum length of a prompt that leaves room for its completion; None if the model has no context limit."""
    from transformers import AutoConfig

    context = recipe.trainer.get("vllm_max_model_length")
    if context is None:
        remote = recipe.trainer.get("trust_remote_code", False)
        base = adapter_base(Path(recipe.model))
        model = AutoConfig.from_pretrained(base or recipe.model, trust_remote_code=remote)
        context = getattr(model.get_text_config(), "max_position_embeddings", None)
    return None if context is None else context - max_completion_length


def _fitting(tokenizer: Any, asked: Sequence[dict[str, Any]], most: int | None) -> list[dict[str, Any]]:
    kept, too_long = fitting(tokenizer, asked, most)
    if too_long:
        trainers.log.warning("%d prompts leave no room for a completion and are left out", too_long)
    return kept


def fitting(tokenizer: Any, asked: Sequence[dict[str, Any]], most: int | None) -> tuple[list[dict[str, Any]], int]:
    """The rows whose prompts have at most `most` tokens, and the number of others. Raises FathomError if none has.

    Control tokens in the contents are defused here, because TRL renders the prompts itself when it samples.
    """
    asked = [row | {"prompt": without_control(tokenizer, row["prompt"])} for row in asked]
    if most is None:
        return list(asked), 0
    kept = [row for row in asked if len(encode_chat(tokenizer, row["prompt"])) <= most]
    if not kept:
        raise FathomError(
            f"every prompt has more than {most} tokens, the model's context minus trainer.max_completion_length; "
            "lower that, or raise trainer.vllm_max_model_length"
        )
    return kept, len(asked) - len(kept)
