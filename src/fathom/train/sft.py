"""Supervised fine-tuning on synthesised rationales."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fathom.engines.local import encode_chat
from fathom.errors import FathomError, require
from fathom.train import checkpoint
from fathom.train.recipe import SFTRecipe

IGNORED = -100


def train(recipe: SFTRecipe, *, resume: bool = False) -> Path:
    require("trl", "train")
    from datasets import Dataset
    from trl import SFTTrainer

    tokenizer = checkpoint.load_tokenizer(recipe)
    config = checkpoint.settings(recipe)
    rows = [encode(tokenizer, row["prompt"], row["completion"][0]["content"]) for row in read(recipe.data)]
    rows = [row for row in rows if config.max_length is None or len(row["input_ids"]) <= config.max_length]
    if not config.packing:
        config.dataset_kwargs = {"skip_prepare_dataset": True}
    trainer = SFTTrainer(
        model=recipe.model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=checkpoint.adapter(recipe),
    )
    return checkpoint.run(trainer, recipe, resume=resume)


def read(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in files:
        try:
            with path.open(encoding="utf-8") as file:
                yield from map(json.loads, file)
        except OSError as error:
            raise FathomError(f"cannot read {path}: {error.strerror}") from error


def encode(tokenizer: Any, prompt: Sequence[Any], completion: str) -> dict[str, list[int]]:
    """Token ids and labels of one example."""
    asked = encode_chat(tokenizer, prompt)
    written = [*tokenizer.encode(completion, add_special_tokens=False), tokenizer.eos_token_id]
    return {"input_ids": asked + written, "labels": [IGNORED] * len(asked) + written}
