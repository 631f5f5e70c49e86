"""Trains an implicit process reward model: step rewards from labels of whole solutions.

    from fathom.train import implicit
    from fathom.train.recipe import ImplicitRecipe
    implicit.train(ImplicitRecipe(model="mini", data="solutions.jsonl", output="runs/implicit"))

Method: "Free Process Rewards without Process Labels" (arXiv 2412.01981, section 3). The reward of a solution is the
log-ratio of the trained model and of its reference, the model that training starts from,

    r(y) = beta (log p(y | x) - log p_ref(y | x)).

With outcomes o, 1 (right) or 0 (wrong), or between them, the loss is the cross-entropy of a solution; DPO compares two:

    cross_entropy: -o log sigmoid(r) - (1 - o) log(1 - sigmoid(r))      dpo: -log sigmoid(r(y_w) - r(y_l))

The saved model is an ordinary language model, which `--judge implicit` compares with the reference. Tokens are those
that the judge reads: without the end token, which belongs to no step. So r is the sum of the judge's step rewards.

The reference is read once, before the first step: it needs no memory during training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fathom.data.records import Comparison
from fathom.engines import LikelihoodRequest
from fathom.engines.chat import encode_given
from fathom.errors import FathomError
from fathom.metrics.separation import auc
from fathom.rewards import conversation
from fathom.train import scalar, targets, trainers
from fathom.train.genarm import IGNORED, response_logprobs
from fathom.train.recipe import ImplicitRecipe

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

LeftOut = Literal["unlabelled", "empty", "too long"]
REASONS: dict[LeftOut, str] = {
    "unlabelled": "comparisons have no label that loss: {loss} can use, and are left out",
    "empty": "responses are empty, so they have no reward, and are left out",
    "too long": "examples exceed trainer.max_length={most} tokens and are left out",
}


class Example(NamedTuple):
    """A prompt and a solution (cross_entropy), or a better and a worse one (dpo), as tokens."""

    prompt: list[int]
    answers: list[list[int]]
    target: float
    """The outcome of the solution, 0 (wrong) to 1 (right); 1 for pairs."""


def train(recipe: ImplicitRecipe, *, resume: bool = False) -> Path:
    """Train, and return the folder of the trained model. Raises FathomError for errors that the user can fix."""
    with trainers.begun(recipe, resume=resume, remove_unused_columns=False) as (config, tokenizer, last):
        from transformers import set_seed

        examples = _fitting(recipe, tokenizer, scalar.read(recipe), config.max_length)
        held_out = _fitting(recipe, tokenizer, scalar.read(recipe, recipe.eval_data), config.max_length)
        set_seed(recipe.seed)
        trainer = _trainer_class()(
            model=trainers.language_model(recipe, config),
            args=config,
            train_dataset=trainers.dataset(list(map(row, examples))),
            eval_dataset=trainers.dataset(list(map(row, held_out))),
            compute_metrics=measures,
            data_collator=Collator(tokenizer.pad_token_id),
            processing_class=tokenizer,
        )
        trainer.beta = recipe.beta
        # The loss is a mean over examples, so the trainer must divide it by gradient_accumulation_steps.
        trainer.model_accepts_loss_kwargs = False
        trainers.disable_dropout(trainer.model)
        trainer.train_dataset = _with_reference(trainer, trainer.train_dataset)
        trainer.eval_dataset = _with_reference(trainer, trainer.eval_dataset)
        return trainers.run(trainer, recipe, last)


# Data -----------------------------------------------------------------------------------------------------------------


def _fitting(recipe: ImplicitRecipe, tokenizer: Any, items: Sequence[Comparison], most: int | None) -> list[Example]:
    examples, left_out = fitting(recipe, tokenizer, items, most) if items else ([], Counter[LeftOut]())
    for line in described(recipe, left_out, most):
        trainers.log.warning(line)
    return examples


def described(recipe: ImplicitRecipe, left_out: Counter[LeftOut], most: int | None) -> list[str]:
    """One line per reason why comparisons, responses or examples were left out."""
    return [f"{count} " + REASONS[why].format(loss=recipe.loss, most=most) for why, count in left_out.items()]


def fitting(
    recipe: ImplicitRecipe, tokenizer: Any, items: Iterable[Comparison], most: int | None
) -> tuple[list[Example], Counter[LeftOut]]:
    """The examples of at most `most` tokens, and the number left out for each reason. Texts are never truncated.

    Raises FathomError if none is left, and for an outcome outside 0 to 1.
    """
    examples, left_out = [], Counter[LeftOut]()
    for item in items:
        groups = list(outcomes(item) if recipe.loss == "cross_entropy" else pairs(item))
        left_out["unlabelled"] += not groups
        for places, target in groups:
            texts = [item.responses[place] for place in places]
            if not all(text.strip() for text in texts):
                left_out["empty"] += 1
                continue
            encoded = [encode_given(tokenizer, LikelihoodRequest(conversation(item), text)) for text in texts]
            if most is not None and max(len(prompt) + len(answer) for prompt, answer in encoded) > most:
                left_out["too long"] += 1
            else:
                examples.append(Example(list(encoded[0][0]), [list(answer) for _, answer in encoded], target))
    if not examples:
        why = "; ".join(described(recipe, +left_out, most)) or "the files contain no comparison"
        raise FathomError(f"no solution is left to train on: {why}")
    return examples, +left_out


def outcomes(item: Comparison) -> Iterator[tuple[tuple[int, ...], float]]:
    """The place of each response with a score, and that score. Raises FathomError for one outside 0 to 1."""
    scores = None if item.label is None else item.label.response_scores
    for place, score in enumerate(scores or ()):
        if not 0 <= score <= 1:
            raise FathomError(
                f"comparison {item.id!r}: response {place + 1} has the score {score:g}, expected 0 (wrong) to 1 "
                "(right) for loss: cross_entropy; use loss: dpo, which compares scores"
            )
        yield (place,), score


def pairs(item: Comparison) -> Iterator[tuple[tuple[int, ...], float]]:
    """The places of the better and of the worse response of each pair that the label orders."""
    ordered = () if item.label is None else targets.pairs(item.label, len(item.responses))
    yield from (((better, worse), 1.0) for better, worse, gap in ordered if gap > 0)


def row(example: Example) -> dict[str, Any]:
    """A row of a data set. `reference` is beta log p_ref of each solution; it is 0 until the reference is read."""
    return example._asdict() | {"reference": [0.0] * len(example.answers)}


def _with_reference(trainer: Any, rows: Any) -> Any:
    """The rows with the rewards that the model, as it is now, gives them without a reference."""
    if rows is None:
        return None
    rewards, _ = trainer.predict(rows).predictions
    return rows.remove_columns("reference").add_column("reference", rewards.tolist())


class Collator:
    """Rows to a batch of texts, each a prompt with a solution: first all texts of the first row."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        import torch

        texts = [(row["prompt"], answer) for row in rows for answer in row["answers"]]
        longest = max(len(prompt) + len(answer) for prompt, answer in texts)

        def padded(parts: list[int], value: int) -> list[int]:
            return parts + [value] * (longest - len(parts))

        return {
            "input_ids": torch.tensor([padded(prompt + answer, self.pad) for prompt, answer in texts]),
            "attention_mask": torch.tensor([padded([1] * len(prompt + answer), 0) for prompt, answer in texts]),
            "labels": torch.tensor([padded([IGNORED] * len(prompt) + answer, IGNORED) for prompt, answer in texts]),
            "reference": torch.tensor([row["reference"] for row in rows]),
            "targets": torch.tensor([row["target"] for row in rows]),
        }


# Loss and metrics -----------------------------------------------------------------------------------------------------


def reward_loss(rewards: Tensor, targets: Tensor) -> Tensor:
    """The loss of each example, (examples,), given the rewards of its solutions, (examples, 1 or 2).

    One solution: the cross-entropy of its target. A better and a worse one: DPO's loss (arXiv 2305.18290, Equation 7).
    """
    from torch.nn.functional import binary_cross_entropy_with_logits

    from fathom.train.losses import bradley_terry

    if rewards.shape[1] == 2:
        return bradley_terry(rewards[:, 0], rewards[:, 1])
    return binary_cross_entropy_with_logits(rewards[:, 0], targets, reduction="none")


def _trainer_class() -> Any:
    """Defined in a function, because importing the base class takes seconds."""
    from transformers import Trainer

    class LogRatioTrainer(Trainer):  # type: ignore[misc]
        beta: float

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
            own = self.beta * response_logprobs(outputs.logits, inputs["labels"])
            rewards = own.view_as(inputs["reference"]) - inputs["reference"]
            loss = reward_loss(rewards, inputs["targets"]).mean()
            return (loss, {"rewards": rewards.detach(), "targets": inputs["targets"]}) if return_outputs else loss

    return LogRatioTrainer


def measures(evaluated: Any) -> dict[str, float]:
    """`accuracy`: the share of pairs whose better solution has the higher reward, or of solutions whose reward is
    positive if they are right, and negative if wrong; `auc` of right against wrong solutions.
    """
    rewards, targets = evaluated.predictions
    if rewards.shape[1] == 2:
        return {"accuracy": float((rewards[:, 0] > rewards[:, 1]).mean())}
    scored = list(zip(rewards[:, 0].tolist(), (targets >= 0.5).tolist(), strict=True))
    separation = auc(*([reward for reward, right in scored if right == kind] for kind in (True, False)))
    accuracy = sum((reward > 0) == right for reward, right in scored) / len(scored)
    return {"accuracy": accuracy} | ({} if separation is None else {"auc": separation})
