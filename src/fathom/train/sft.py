"""Supervised fine-tuning on training rationales, as `fathom synth` writes them.

    from fathom.train import sft
    from fathom.train.recipe import SFTRecipe
    sft.train(SFTRecipe(model="mini", data="mix.jsonl", output="runs/sft", trainer={"max_steps": 60}))

`fathom.train.data` reads the rows. The loss is computed on the completion only.

An example consists of the same prompt tokens as in the local engine, the completion and the end token. The completion
is not rendered by the chat template: some templates add an empty think block, or a line after the end, which the model
would never see when it judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fathom.engines.chat import encode_chat
from fathom.errors import FathomError, require
from fathom.train import trainers
from fathom.train.data import Example, read
from fathom.train.recipe import SFTRecipe

IGNORED = -100
"""The label of tokens that are excluded from the loss."""
EMPTY = "the training files contain no examples"


def train(recipe: SFTRecipe, *, resume: bool = False) -> Path:
    """Train, and return the folder of the trained model. Raises FathomError for errors that the user can fix."""
    require("trl", "train")
    from datasets import Dataset
    from trl import SFTTrainer

    last = trainers.start(recipe, resume=resume)
    with trainers.quiet():
        config = trainers.settings(recipe)
        tokenizer = trainers.load_tokenizer(recipe)
        rows = _fitting(tokenizer, recipe.data, config.max_length)
        held_out = _fitting(tokenizer, recipe.eval_data, config.max_length) if recipe.eval_data else None
        for remark in remarks(recipe, tokenizer):
            trainers.log.warning(remark)
        if not config.packing:
            config.dataset_kwargs = {"skip_prepare_dataset": True}  # rows are tokens and labels already
        trainer = SFTTrainer(
            model=trainers.model(recipe, config),
            args=config,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=held_out and Dataset.from_list(held_out),
            processing_class=tokenizer,
            peft_config=trainers.adapter(recipe),
        )
        return trainers.run(trainer, recipe, last)


def _fitting(tokenizer: Any, files: Sequence[Path], max_length: int | None) -> list[dict[str, list[int]]]:
    rows, too_long = fitting(tokenizer, read(files), max_length)
    if too_long:
        trainers.log.warning("%d examples exceed max_length=%s and are left out", too_long, max_length)
    return rows


def remarks(recipe: SFTRecipe, tokenizer: Any) -> list[str]:
    """Warnings about settings that are often mistakes."""
    if tokenizer.chat_template is not None:
        return []
    return [
        f"{recipe.model} has no chat template, so it is trained on plain-text prompts. Fathom's local engine sends "
        "these, but servers and TRL do not; to add a template, set trainer.chat_template_path=FILE.jinja"
    ]


def fitting(
    tokenizer: Any, examples: Iterable[Example], max_length: int | None
) -> tuple[list[dict[str, list[int]]], int]:
    """The examples as tokens and labels, without those longer than `max_length`, and the number of those left out.

    Truncating them would teach rationales without a verdict. Raises FathomError if none is left.
    """
    encoded = [encode(tokenizer, example) for example in examples]
    rows = [row for row in encoded if max_length is None or len(row["input_ids"]) <= max_length]
    if not encoded:
        raise FathomError(EMPTY)
    if not rows:
        shortest = min(len(row["input_ids"]) for row in encoded)
        raise FathomError(
            f"every example exceeds trainer.max_length={max_length} tokens, the shortest has {shortest}; raise it"
        )
    return rows, len(encoded) - len(rows)


def encode(tokenizer: Any, example: Example) -> dict[str, list[int]]:
    """Tokens (prompt, completion, end token) and labels, in which the prompt is excluded from the loss."""
    prompt = encode_chat(tokenizer, [message.model_dump() for message in example.prompt])  # type: ignore[misc]
    completion = [*tokenizer.encode(example.completion[0].content, add_special_tokens=False), tokenizer.eos_token_id]
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}
