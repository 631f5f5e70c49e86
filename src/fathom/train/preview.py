"""Dry runs of training: `fathom train ... --dry-run`.

    print(preview.sft(recipe))

A dry run raises the errors that training would raise before its first step. What cannot be checked on this machine,
such as a model that is not on disk if the hub cannot be reached, is listed under "not checked". No weights are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from fathom.data.records import Comparison
from fathom.engines.chat import encode_chat
from fathom.engines.masked import check_mask, word_tokens
from fathom.errors import FathomError
from fathom.judges import required_label
from fathom.metrics.answers import checking
from fathom.train import data, scalar, trainers
from fathom.train import genarm as autoregressive
from fathom.train import implicit as log_ratios
from fathom.train import meta as meta_reward
from fathom.train import process as step_rewards
from fathom.train import rlvr as reinforcement
from fathom.train import sft as fine_tuning
from fathom.train import slot as slots
from fathom.train.recipe import (
    GenARMRecipe,
    ImplicitRecipe,
    MetaRecipe,
    ProcessRecipe,
    Recipe,
    RewardRecipe,
    RLVRRecipe,
    SFTRecipe,
    SlotRecipe,
)

EXAMPLES = 10
Lengths = Callable[[Any, Sequence[Comparison], int | None], list[str]]
"""From tokenizer, comparisons and the maximum length, lines about what fits."""


def sft(recipe: SFTRecipe) -> str:
    """The resolved recipe, its size, ten examples with their tokens, and what could not be checked."""
    examples = list(data.read(recipe.data))
    if not examples:
        raise FathomError(fine_tuning.EMPTY)  # `fitting` checks this too, but needs the model's tokenizer
    config, tokenizer, unchecked = _resolved(recipe)
    size = [f"{len(examples)} examples; {_batch(config, 'examples')}"]
    if recipe.eval_data:
        size.append(f"{sum(1 for _ in data.read(recipe.eval_data))} examples held out")
    if tokenizer is not None:
        rows, too_long = fine_tuning.fitting(tokenizer, examples, config.max_length)
        size.append(f"{too_long} are longer than max_length={config.max_length} and left out")
        size.append(f"{sum(len(row['input_ids']) for row in rows)} tokens per epoch")
        size += fine_tuning.remarks(recipe, tokenizer)
    previews = [_example(tokenizer, item.model_dump()) for item in examples[:EXAMPLES]]
    return _page(recipe, size, previews, unchecked)


def rlvr(recipe: RLVRRecipe) -> str:
    """The resolved recipe, its size, ten prompts with their tokens and labels, and what could not be checked."""
    items = reinforcement.read(recipe)
    with checking(recipe.judge.build()) as judge:
        asked = reinforcement.rows(judge, items)
    config, tokenizer, unchecked = _resolved(recipe)
    size = [f"{len(items)} comparisons; {_batch(config, 'completions')}, {config.num_generations} per prompt"]
    if recipe.eval_data:
        size.append(f"{len(reinforcement.read(recipe, recipe.eval_data))} comparisons held out")
    if tokenizer is not None:
        reinforcement.check_template(recipe, tokenizer)
        most = reinforcement.max_prompt_tokens(recipe, config.max_completion_length)
        _, too_long = reinforcement.fitting(tokenizer, asked, most)
        size.append(f"{too_long} prompts leave no room for a completion and are left out")
    if config.use_vllm and find_spec("vllm") is None:
        unchecked.append("vLLM's settings: vllm is not installed")
    previews = [
        f"{_example(tokenizer, row)}\n--- label: {_label(item)}"
        for row, item in islice(zip(asked, items, strict=True), EXAMPLES)
    ]
    return _page(recipe, size, previews, unchecked)


def _label(item: Comparison) -> str:
    label, count = required_label(item), len(item.responses)
    if label.steps is not None:
        return f"the steps are worth {', '.join('?' if step is None else f'{step:g}' for step in label.steps[0])}"
    if count == 1 and label.scores is not None:
        return f"the response is worth {label.scores[0]:g}"
    assert label.winner is not None, f"comparison {item.id} has no winner"
    return (
        f"response {'AB'[label.winner]} is better" if count == 2 else f"response {label.winner + 1} of {count} is best"
    )


def meta(recipe: MetaRecipe) -> str:
    """The resolved recipe, its size, ten votes with their token counts and labels, and what could not be checked."""
    votes = list(meta_reward.read(recipe))
    config, tokenizer, unchecked = _resolved(recipe)
    right = sum(vote.right for vote in votes)
    size = [f"{len(votes)} votes, {right} of them right; {_batch(config, 'votes')}"]
    if recipe.eval_data:
        size.append(f"{sum(1 for _ in meta_reward.read(recipe, recipe.eval_data))} votes held out")
    if tokenizer is not None:
        _, too_long = meta_reward.fitting(tokenizer, votes, config.max_length)
        size.append(f"{too_long} are longer than max_length={config.max_length} and left out")
    previews = [
        f"{_example(tokenizer, _turns(vote))}\n--- {'right' if vote.right else 'wrong'}" for vote in votes[:EXAMPLES]
    ]
    return _page(recipe, size, previews, unchecked)


def _turns(vote: meta_reward.Example) -> dict[str, Any]:
    return {"prompt": vote.prompt, "completion": [{"role": "assistant", "content": vote.text}]}


def reward(recipe: RewardRecipe) -> str:
    """The resolved recipe, its size, ten comparisons with their token counts, and what could not be checked."""

    def lengths(tokenizer: Any, items: Sequence[Comparison], most: int | None) -> list[str]:
        examples, left_out = scalar.fitting(recipe, tokenizer, items, most)
        tokens = sum(len(text) for example in examples for text in example.texts)
        lines = [*scalar.described(recipe, left_out, most), f"{tokens} tokens per epoch"]
        return lines + scalar.remarks(recipe, tokenizer)

    return _compared(recipe, "comparisons", lengths)


def genarm(recipe: GenARMRecipe) -> str:
    """The resolved recipe, its size, ten comparisons with their token counts, and what could not be checked."""

    def lengths(tokenizer: Any, items: Sequence[Comparison], most: int | None) -> list[str]:
        fitted = autoregressive.fitting(tokenizer, items, most)
        return [f"{len(fitted.pairs)} pairs", *autoregressive.described(fitted)]

    return _compared(recipe, "pairs", lengths)


def implicit(recipe: ImplicitRecipe) -> str:
    """The resolved recipe, its size, ten comparisons with their token counts, and what could not be checked."""

    def lengths(tokenizer: Any, items: Sequence[Comparison], most: int | None) -> list[str]:
        examples, left_out = log_ratios.fitting(recipe, tokenizer, items, most)
        return [f"{len(examples)} examples", *log_ratios.described(recipe, left_out, most)]

    return _compared(recipe, "solutions" if recipe.loss == "cross_entropy" else "pairs", lengths)


def slot(recipe: SlotRecipe) -> str:
    """The resolved recipe, its size, ten filled clozes, and what could not be checked."""
    explained = slots.read(recipe)
    filled = list(slots.examples(recipe, explained))
    config, tokenizer, unchecked = _resolved(recipe)
    count = sum(example.explained for example in filled)
    size = [f"{len(filled)} examples, {count} with an explanation; {_batch(config, 'examples')}"]
    if tokenizer is not None:
        check_mask(tokenizer, recipe.model)
        word_tokens(tokenizer, recipe.cloze.words)
        rows, too_long = slots.fitting(tokenizer, filled, config.max_length)
        slots.check_not_empty("train on", rows, too_long, config.max_length)
        size += slots.described(recipe, explained, filled, too_long, config.max_length)
    words = recipe.cloze.words
    previews = [f"{each.request.answer} [{words[each.label]}]{each.request.after}" for each in filled[:EXAMPLES]]
    return _page(recipe, size, previews, unchecked)


def _compared(recipe: RewardRecipe | GenARMRecipe | ImplicitRecipe, unit: str, lengths: Lengths) -> str:
    """The page of a recipe that trains on labelled comparisons in batches of `unit`."""
    items = scalar.read(recipe)
    config, tokenizer, unchecked = _resolved(recipe)
    size = [f"{len(items)} comparisons; {_batch(config, unit)}"]
    if recipe.eval_data:
        size.append(f"{len(scalar.read(recipe, recipe.eval_data))} comparisons held out")
    if tokenizer is not None:
        size += lengths(tokenizer, items, config.max_length)
    previews = [_comparison(tokenizer, item) for item in items[:EXAMPLES]]
    return _page(recipe, size, previews, unchecked)


def process(recipe: ProcessRecipe) -> str:
    """The resolved recipe, its size, ten solutions with the labels of their steps, and what could not be checked."""
    found = step_rewards.read(recipe)
    config, tokenizer, unchecked = _resolved(recipe)
    labels = [label for each in found for label in each.labels if label is not None]
    right = sum(label >= 0.5 for label in labels)
    size = [
        f"{len(found)} solutions with {len(labels)} labelled steps, {right} of them right; "
        + _batch(config, "solutions")
    ]
    if recipe.eval_data:
        size.append(f"{len(step_rewards.read(recipe, recipe.eval_data))} solutions held out")
    if tokenizer is not None:
        examples, left_out = step_rewards.fitting(recipe, tokenizer, found, config.max_length)
        size += step_rewards.described(left_out, config.max_length)
        size.append(f"{sum(len(example.tokens) for example in examples)} tokens per epoch")
    return _page(recipe, size, list(map(_solution, found[:EXAMPLES])), unchecked)


def _solution(solution: step_rewards.Solution) -> str:
    labels = ("none" if label is None else f"{label:g}" for label in solution.labels)
    shown = [
        f"--- step {number}, label {label}\n{step}"
        for number, (step, label) in enumerate(zip(solution.steps, labels, strict=True), 1)
    ]
    return "\n".join([f"--- problem\n{solution.problem}", *shown])


def _comparison(tokenizer: Any | None, item: Comparison) -> str:
    counts = [""] * len(item.responses)
    if tokenizer is not None:
        counts = [f", {len(text)} tokens with the prompt" for text in scalar.encode(tokenizer, item)]
    label = "none" if item.label is None else item.label.model_dump_json(exclude_none=True)
    numbered = enumerate(zip(counts, item.responses, strict=True), 1)
    shown = [f"--- response {number}{count}\n{text}" for number, (count, text) in numbered]
    return "\n".join([f"--- prompt\n{item.prompt_text}", *shown, f"--- label: {label}"])


def _resolved(recipe: Recipe) -> tuple[Any, Any | None, list[str]]:
    """TRL's config, the tokenizer if available, and what could not be checked."""
    import torch

    unchecked = []
    here: dict[str, Any] = {}
    if not torch.cuda.is_available():
        here = {"use_cpu": True}  # otherwise TRL refuses recipes for GPUs (bf16, tf32) on this machine
        unchecked.append("whether a GPU supports the recipe's precision: this machine has none")
    with trainers.quiet():
        config = trainers.settings(recipe, **here)
        trainers.base_to_adapt(recipe)
        trainers.adapter(recipe)
        try:
            tokenizer = trainers.load_tokenizer(recipe)
        except FathomError as error:
            if Path(recipe.model).is_dir():
                raise
            unchecked.append(f"tokens, lengths and weights: {error}")
            tokenizer = None
        if tokenizer is not None and recipe.trl_config == "RewardConfig":  # of the recipes whose data Fathom prepares
            trainers.limit_length(recipe, config, tokenizer)
    return config, tokenizer, unchecked


def _batch(config: Any, of: str) -> str:
    each, accumulated, processes = (
        config.per_device_train_batch_size,
        config.gradient_accumulation_steps,
        config.world_size,
    )
    length = f"{config.max_steps} steps" if config.max_steps > 0 else f"{config.num_train_epochs:g} epochs"
    batch = each * accumulated * processes
    return f"{length} of {batch} {of} ({each} per device x {accumulated} accumulated x {processes} processes)"


def _example(tokenizer: Any | None, row: dict[str, Any]) -> str:
    parts = [("prompt", row["prompt"][0]["content"])]
    counts = [None if tokenizer is None else len(encode_chat(tokenizer, row["prompt"]))]
    if "completion" in row:
        parts.append(("completion", row["completion"][0]["content"]))
        counts.append(None if tokenizer is None else len(tokenizer.encode(parts[1][1], add_special_tokens=False)) + 1)
    return "\n".join(
        f"--- {name}{'' if count is None else f', {count} tokens'}\n{text}"
        for (name, text), count in zip(parts, counts, strict=True)
    )


def _page(recipe: Recipe, size: Iterable[str], examples: Sequence[str], unchecked: Sequence[str]) -> str:
    resolved = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).strip()
    numbered = (f"=== example {number}\n{text}" for number, text in enumerate(examples, 1))
    missing = [f"not checked: {what}" for what in unchecked]
    return "\n\n".join(["# recipe\n" + resolved, "# run\n" + "\n".join([*size, *missing]), *numbered])
