"""Reinforcement learning with verifiable rewards."""

from __future__ import annotations

from pathlib import Path

from fathom.errors import require
from fathom.records import Comparison
from fathom.train import checkpoint
from fathom.train.recipe import RLVRRecipe
from fathom.train.rewards import as_trl_reward


def train(recipe: RLVRRecipe, *, resume: bool = False) -> Path:
    require("trl", "train")
    from datasets import Dataset
    from trl import GRPOTrainer

    tokenizer = checkpoint.load_tokenizer(recipe)
    config = checkpoint.settings(recipe)
    judge = recipe.judge.build()
    rows = [{"prompt": judge.ask(item), "comparison": item.model_dump_json()} for item in comparisons(recipe)]
    trainer = GRPOTrainer(
        model=recipe.model,
        reward_funcs=as_trl_reward(judge, {tokenizer.eos_token_id}),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=checkpoint.adapter(recipe),
    )
    return checkpoint.run(trainer, recipe, resume=resume)


def comparisons(recipe: RLVRRecipe) -> list[Comparison]:
    from fathom.reading import read

    return [item for path in recipe.data for item in read(path, mapping=recipe.mapping, seed=recipe.seed, limit=recipe.limit)]
