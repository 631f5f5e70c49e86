"""Trains a scalar reward model: one number per response, from labels that compare or score responses.

    from fathom.train import scalar
    from fathom.train.recipe import RewardRecipe
    scalar.train(RewardRecipe(model="mini", data="pairs.jsonl", output="runs/reward"))

The data are labelled comparisons in any layout. The input is the whole conversation, which ends with the response, in
the model's chat template. `fathom.train.losses` has the losses, and `fathom.engines.heads` describes the saved files.

Not guaranteed: rewards of different models have different scales, and those of different prompts need not be
comparable; only differences between responses to one prompt were trained.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.engines.chat import encode_conversation
from fathom.engines.heads import BACKBONE, WEIGHTS, Head, read_head
from fathom.engines.loading import CLASSIFIER, load_weights
from fathom.errors import FathomError
from fathom.train import targets, trainers
from fathom.train.recipe import GenARMRecipe, ImplicitRecipe, RewardRecipe, SlotRecipe
from fathom.train.targets import Target

LeftOut = Literal["unlabelled", "too long", "length ratio"]
REASONS: dict[LeftOut, str] = {
    "unlabelled": "have no label that loss: {loss} can use, such as a tie or none, and are left out",
    "too long": "exceed trainer.max_length={most} tokens and are left out",
    "length ratio": "have a better response over {ratio} times as long as a worse one, and are left out",
}


class Example(NamedTuple):
    """A comparison as a training example."""

    texts: list[list[int]]
    """The tokens of each response's conversation."""
    target: Target


def train(recipe: RewardRecipe, *, resume: bool = False) -> Path:
    """Train, and return the folder of the trained model. Raises FathomError for errors that the user can fix."""
    with trainers.begun(recipe, resume=resume, remove_unused_columns=False) as (config, tokenizer, last):
        from transformers import set_seed

        from fathom.train.scalar_trainer import ScalarTrainer

        if config.load_best_model_at_end and not recipe.head_spec.is_standard:
            raise FathomError(
                "trainer.load_best_model_at_end needs head: linear and pooling: last; got "
                f"head: {recipe.head} and pooling: {recipe.pooling}; leave it out"
            )
        examples = _fitting(recipe, tokenizer, read(recipe), config.max_length)
        held_out = _fitting(recipe, tokenizer, read(recipe, recipe.eval_data), config.max_length)
        for remark in remarks(recipe, tokenizer):
            trainers.log.warning(remark)
        weighted = 1 if recipe.noise else recipe.members  # the members of CRM see the same data
        set_seed(recipe.seed)  # before the head is initialized
        trainer = ScalarTrainer(
            recipe=recipe,
            model=trainers.adapted(new_model(recipe, config, tokenizer), recipe),
            args=config,
            train_dataset=trainers.dataset(rows(examples, members=weighted, seed=recipe.seed)),
            eval_dataset=trainers.dataset(rows(held_out)),
            processing_class=tokenizer,
        )
        return trainers.run(trainer, recipe, last)


def remarks(recipe: RewardRecipe, tokenizer: Any) -> list[str]:
    """Warnings about settings that are often mistakes."""
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    messages: list[ChatMessage] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "?"}]
    if not recipe.head_spec.is_standard or encode_conversation(tokenizer, messages)[-1] != pad:
        return []
    return [
        f"{recipe.model} pads with the token that ends its texts, so a sequence classifier reads the last token before "
        "it; to read the end token itself, set another pad_token of its vocabulary in tokenizer_config.json"
    ]


def read(
    recipe: RewardRecipe | GenARMRecipe | ImplicitRecipe | SlotRecipe, files: Sequence[Path] | None = None
) -> list[Comparison]:
    """The comparisons of `files`, by default the training files. Raises FathomError as `reading.read` does."""
    from fathom.data.reading import read

    return [
        item
        for path in (recipe.data if files is None else files)
        for item in read(path, mapping=recipe.mapping, seed=recipe.seed, used=recipe.columns)
    ]


def _fitting(recipe: RewardRecipe, tokenizer: Any, items: Sequence[Comparison], most: int | None) -> list[Example]:
    examples, left_out = fitting(recipe, tokenizer, items, most) if items else ([], Counter[LeftOut]())
    for line in described(recipe, left_out, most):
        trainers.log.warning(line)
    return examples


def described(recipe: RewardRecipe, left_out: Counter[LeftOut], most: int | None) -> list[str]:
    """One line per reason why comparisons were left out."""
    return [
        f"{count} comparisons " + REASONS[why].format(loss=recipe.loss, most=most, ratio=recipe.length_ratio)
        for why, count in left_out.items()
    ]


def fitting(
    recipe: RewardRecipe, tokenizer: Any, items: Iterable[Comparison], most: int | None
) -> tuple[list[Example], Counter[LeftOut]]:
    """The comparisons as examples, and the number left out for each reason. Texts are never truncated.

    Raises FathomError if none is left, and for a label or column that the loss cannot read.
    """
    examples, left_out = [], Counter[LeftOut]()
    for item in items:
        target = targets.of(recipe, item)
        if target is None:
            left_out["unlabelled"] += 1
        elif recipe.length_ratio is not None and _lopsided(tokenizer, item, target, recipe.length_ratio):
            left_out["length ratio"] += 1
        elif max(map(len, texts := encode(tokenizer, item))) > (most or float("inf")):
            left_out["too long"] += 1
        else:
            examples.append(Example(texts, target))
    if not examples:
        why = "; ".join(described(recipe, left_out, most)) or "the files contain none"
        raise FathomError(f"no comparison is left to train on: {why}")
    return examples, left_out


def rows(examples: Iterable[Example], *, members: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    """The examples as rows of a data set: `texts`, the fields of their targets, and their weight for each member.

    Weights are exponential with mean 1, the Bayesian bootstrap (Rubin 1981): each member sees other data, since linear
    heads on the same data would end in the same minimum.
    """
    drawn = random.Random(f"{seed}/members")
    return [
        {"texts": example.texts}
        | asdict(example.target)
        | ({"weights": [drawn.expovariate(1.0) for _ in range(members)]} if members > 1 else {})
        for example in examples
    ]


def _lopsided(tokenizer: Any, item: Comparison, target: Target, ratio: float) -> bool:
    """Whether a better response has over `ratio` times the tokens of a worse one (arXiv 2501.12368, section 3).

    Such pairs teach the model that longer is better, which a policy then exploits.
    """
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in item.responses]
    return any(lengths[better] > ratio * lengths[worse] for better, worse in target.ordered)


def encode(tokenizer: Any, item: Comparison) -> list[list[int]]:
    """The tokens of the conversation with each response, encoded as by an engine's `classify`."""
    return [
        encode_conversation(tokenizer, [*prompt_messages(item), {"role": "assistant", "content": response}])
        for response in item.responses
    ]


def prompt_messages(item: Comparison) -> list[ChatMessage]:
    """The prompt as messages; a text becomes one user turn."""
    if isinstance(item.prompt, str):
        return [{"role": "user", "content": item.prompt}]
    return [{"role": message.role, "content": message.content} for message in item.prompt]


def new_model(recipe: RewardRecipe, config: Any, tokenizer: Any) -> Any:
    """The model with its head: the checkpoint's head if it is of the same kind, else a new one.

    Raises FathomError for a checkpoint that cannot be loaded.
    """
    name, head = trainers.base_to_adapt(recipe) or recipe.model, recipe.head_spec
    options = {"dtype": "float32", "trust_remote_code": config.trust_remote_code} | config.model_init_kwargs
    config.model_init_kwargs = None  # the trainer gets a loaded model
    try:
        if not head.is_standard:
            return _headed(name, head, options)
        names = {"id2label": dict(enumerate(head.outputs)), "label2id": {n: i for i, n in enumerate(head.outputs)}}
        return load_weights(name, CLASSIFIER, pad_token_id=tokenizer.pad_token_id, **names, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise FathomError(f"cannot load {name} as a reward model: {error}") from error


def _headed(name: str, head: Head, options: dict[str, Any]) -> Any:
    from fathom.engines.headed import HeadedModel

    model = HeadedModel(load_weights(name, BACKBONE, **options), head)
    if (Path(name) / WEIGHTS).exists() and read_head(Path(name)) == head:
        model.load_head(Path(name))
    return model
