"""TRL's RewardTrainer for every loss of `fathom.train.losses`, and for comparisons of any number of responses.

    ScalarTrainer(recipe=recipe, model=model, args=config, train_dataset=rows, processing_class=tokenizer)

TRL's trainer supports pairs and one output only. This subclass uses its settings, model preparation, saving and
logging. The loss is the mean over comparisons, so gradient accumulation and several processes give the loss curve of
one large batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trl import RewardTrainer

from fathom.engines.headed import HeadedModel
from fathom.train import collaborative, losses
from fathom.train.batches import LengthSampler
from fathom.train.recipe import RewardRecipe

WARMUP = 0.3
"""The share of training in which the share of pairs that members leave out grows to the assumed one."""
Row = Mapping[str, Any]
"""The fields of a `scalar.Example`: `texts`, and those of its target."""
Inputs = dict[str, Any]
"""Tensors of a batch: `input_ids` and `attention_mask` of all texts, `counts` of texts per comparison, and labels."""


class ScalarTrainer(RewardTrainer):  # type: ignore[misc]
    """Trains with the loss, the order of examples and the head of `recipe`. `options` are RewardTrainer's."""

    def __init__(self, *, recipe: RewardRecipe, model: Any, processing_class: Any, **options: Any) -> None:
        self.recipe = recipe
        # TRL refuses several outputs, because its own loss uses one; this trainer's losses do not need that check.
        names, model.config.num_labels = model.config.id2label, 1
        collator = Collator(recipe.loss, processing_class)
        super().__init__(model=model, processing_class=processing_class, data_collator=collator, **options)
        model.config.id2label, model.config.label2id = names, {name: place for place, name in names.items()}

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """Return the rows unchanged: they are tokenized already, and TRL's preparation expects pairs."""
        return dataset

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows = self.train_dataset if train_dataset is None else train_dataset
        args = self.args
        return LengthSampler(
            [max(map(len, texts)) for texts in rows["texts"]],
            batch_size=args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
            pool=self.recipe.length_pool,
            seed=self.recipe.seed,
        )

    def compute_loss(
        self, model: Any, inputs: Inputs, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        trained, rewards = rewards_of(self.recipe, outputs.logits.float(), inputs)
        each = torch.stack([LOSSES[self.recipe.loss](self.recipe, one, inputs) for one in trained])
        loss = (each * self._weights(each.detach(), inputs)).mean(0)
        if outputs.get("loss") is not None:
            loss = loss + self.recipe.kl * _means(outputs.loss.float(), inputs)
        if coefficient := self.args.center_rewards_coefficient:
            loss = loss + coefficient * losses.centring(_sums(rewards.mean(-1), inputs["of"], len(loss)))
        self._count(rewards.detach(), inputs)
        return (loss.mean(), outputs) if return_outputs else loss.mean()

    def _weights(self, each: Tensor, inputs: Inputs) -> Tensor | float:
        """The weight of each comparison for each member, given their losses, both (members, comparisons)."""
        if not (self.recipe.noise and self.model.training):
            return inputs["weights"].T if "weights" in inputs else 1.0
        grown = min(1.0, self.state.global_step / (WARMUP * self.state.max_steps))
        weights = collaborative.weights(each, self.recipe.noise * grown)
        left_out = self.accelerator.gather_for_metrics((weights == 0).float().mean(0))
        self._metrics["train"]["left_out"].extend(left_out.tolist())
        return weights

    def _count(self, rewards: Tensor, inputs: Inputs) -> None:
        """Add a batch to the metrics of the next log, over all processes, without duplicated comparisons."""
        mode = "train" if self.model.training else "eval"
        values = MEASURES[self.recipe.loss](rewards, inputs) | {"mean_reward": _means(rewards.mean(-1), inputs)}
        for name, each in values.items():
            gathered = self.accelerator.gather_for_metrics(each)
            self._metrics[mode][name].extend(gathered[~gathered.isnan()].tolist())
        if mode == "train":
            self._total_train_tokens += int(self.accelerator.gather(inputs["attention_mask"].sum()).sum())
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Also load a head that has a file of its own, which `transformers` would ignore."""
        headed = self.model if model is None else model
        if isinstance(headed, HeadedModel):
            headed.load(Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)


def rewards_of(recipe: RewardRecipe, outputs: Tensor, inputs: Inputs) -> tuple[list[Tensor], Tensor]:
    """The rewards to train, one (texts, outputs) for each member of an ensemble, and the rewards to measure."""
    if recipe.members > 1:
        return list(outputs.unsqueeze(-1).unbind(1)), outputs.mean(-1, keepdim=True)
    if recipe.objectives:
        outputs = outputs.gather(1, inputs["objectives"][inputs["of"]].unsqueeze(-1))
    if recipe.head == "bnrm":
        outputs = outputs.sum(-1, keepdim=True)
    if recipe.head == "gaussian":
        outputs = outputs[:, :1]
    return [outputs], outputs


class Collator:
    """Rows to a batch, padded to its longest text."""

    def __init__(self, loss: str, tokenizer: Any) -> None:
        self.labels, self.tokenizer = LABELS[loss], tokenizer

    def __call__(self, rows: Sequence[Row]) -> Inputs:
        counts = [len(row["texts"]) for row in rows]
        texts = [text for row in rows for text in row["texts"]]
        longest = max(map(len, texts))
        pad = self.tokenizer.pad_token_id
        return {
            # First, because trainers take the size of a batch from its first tensor.
            "counts": torch.tensor(counts),
            "of": torch.arange(len(rows)).repeat_interleave(torch.tensor(counts)),
            "input_ids": torch.tensor([text + [pad] * (longest - len(text)) for text in texts]),
            "attention_mask": torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts]),
            "objectives": torch.tensor([row.get("objective", 0) for row in rows]),
            **self.labels(rows, counts),
            **({"weights": torch.tensor([row["weights"] for row in rows])} if "weights" in rows[0] else {}),
        }


# Labels: tensors of a batch. `starts` is the place of each comparison's first text among the texts of the batch.


def _pair_labels(rows: Sequence[Row], counts: Sequence[int]) -> Inputs:
    starts = _starts(counts)
    flat = [
        (start + better, start + worse, gap, place)
        for place, (row, start) in enumerate(zip(rows, starts, strict=True))
        for better, worse, gap in row["pairs"]
    ]
    better, worse, gaps, of = zip(*flat, strict=True)
    return {
        "better": torch.tensor(better).long(),
        "worse": torch.tensor(worse).long(),
        "gaps": torch.tensor(gaps),
        "pairs_of": torch.tensor(of),
    }


def _ranking_labels(rows: Sequence[Row], counts: Sequence[int]) -> Inputs:
    """`order`, (comparisons, most responses): the texts of each from best to worst, and -1 where there is none."""
    most = max(counts)
    orders = [
        [start + place for place in row["order"]] + [-1] * (most - len(row["order"]))
        for row, start in zip(rows, _starts(counts), strict=True)
    ]
    return {"order": torch.tensor(orders), "places": torch.tensor([row["places"] for row in rows])}


def _value_labels(rows: Sequence[Row], counts: Sequence[int]) -> Inputs:
    values = [[float("nan") if value is None else value for value in each] for row in rows for each in row["values"]]
    return {"values": torch.tensor(values, dtype=torch.float32)}


def _starts(counts: Sequence[int]) -> list[int]:
    return [sum(counts[:place]) for place in range(len(counts))]


LABELS: dict[str, Callable[[Sequence[Row], Sequence[int]], Inputs]] = {
    "bradley_terry": _pair_labels,
    "ties": _pair_labels,
    "plackett_luce": _ranking_labels,
    "regression": _value_labels,
    "binary": _value_labels,
}

# Losses: one number per comparison, (comparisons,): the mean over its pairs or responses.


def _bradley_terry(recipe: RewardRecipe, rewards: Tensor, inputs: Inputs) -> Tensor:
    better, worse = rewards[inputs["better"], 0], rewards[inputs["worse"], 0]
    return _pair_means(losses.bradley_terry(better, worse, recipe.margin * inputs["gaps"]), inputs)


def _ties(recipe: RewardRecipe, rewards: Tensor, inputs: Inputs) -> Tensor:
    better, worse = rewards[inputs["better"], 0], rewards[inputs["worse"], 0]
    return _pair_means(losses.rao_kupper(better, worse, inputs["gaps"] == 0, recipe.tie_threshold), inputs)


def _plackett_luce(recipe: RewardRecipe, rewards: Tensor, inputs: Inputs) -> Tensor:
    order = inputs["order"]
    sorted_rewards = torch.where(order < 0, -torch.inf, rewards[order.clamp(min=0), 0])
    return losses.plackett_luce(sorted_rewards, inputs["places"])


def _regression(recipe: RewardRecipe, rewards: Tensor, inputs: Inputs) -> Tensor:
    return _means(losses.regression(rewards, inputs["values"]), inputs)


def _binary(recipe: RewardRecipe, rewards: Tensor, inputs: Inputs) -> Tensor:
    return _means(losses.binary(rewards, inputs["values"]).mean(-1), inputs)


LOSSES: dict[str, Callable[[RewardRecipe, Tensor, Inputs], Tensor]] = {
    "bradley_terry": _bradley_terry,
    "ties": _ties,
    "plackett_luce": _plackett_luce,
    "regression": _regression,
    "binary": _binary,
}

# Measures: one number per comparison, (comparisons,), by name; NaN where there is none.


def _pair_measures(rewards: Tensor, inputs: Inputs) -> dict[str, Tensor]:
    """Accuracy and mean difference over the pairs that are not ties. Equal rewards count 1/2."""
    difference = rewards[inputs["better"], 0] - rewards[inputs["worse"], 0]
    decided = inputs["gaps"] > 0
    right = torch.where(decided, (difference.sign() + 1) / 2, torch.nan)
    return {
        "accuracy": _pair_means(right, inputs),
        "margin": _pair_means(torch.where(decided, difference, torch.nan), inputs),
    }


def _ranking_measures(rewards: Tensor, inputs: Inputs) -> dict[str, Tensor]:
    """Whether the best response has the highest reward."""
    order = inputs["order"]
    placed = torch.where(order < 0, -torch.inf, rewards[order.clamp(min=0), 0])
    return {"accuracy": (placed[:, 0] > placed[:, 1:].amax(1)).float()}


def _regression_measures(rewards: Tensor, inputs: Inputs) -> dict[str, Tensor]:
    return {"squared_error": _means(losses.regression(rewards, inputs["values"]), inputs)}


def _binary_measures(rewards: Tensor, inputs: Inputs) -> dict[str, Tensor]:
    right = (rewards > 0) == (inputs["values"] > 0.5)
    return {"accuracy": _means(right.float().mean(-1), inputs)}


MEASURES: dict[str, Callable[[Tensor, Inputs], dict[str, Tensor]]] = {
    "bradley_terry": _pair_measures,
    "ties": _pair_measures,
    "plackett_luce": _ranking_measures,
    "regression": _regression_measures,
    "binary": _binary_measures,
}


def _sums(values: Tensor, of: Tensor, count: int) -> Tensor:
    """The sum of the values of each of `count` comparisons; `of` is the comparison of each value."""
    return values.new_zeros(count).index_add(0, of, values)


def _means(values: Tensor, inputs: Inputs) -> Tensor:
    """The mean over the texts of each comparison."""
    counts: Tensor = inputs["counts"]
    return _sums(values, inputs["of"], len(counts)) / counts


def _pair_means(values: Tensor, inputs: Inputs) -> Tensor:
    """The mean over the pairs of each comparison."""
    of, count = inputs["pairs_of"], len(inputs["counts"])
    pairs: Tensor = torch.bincount(of, minlength=count)
    return _sums(values, of, count) / pairs
