"""Trains a process reward model: a score for every step, from solutions with labelled steps.

    from fathom.train import process
    from fathom.train.recipe import ProcessRecipe
    process.train(ProcessRecipe(model="Qwen/Qwen2.5-Math-7B", data="stepwise.jsonl", output="runs/prm"))

The data are comparisons with labelled steps, in any layout: TRL's stepwise supervision (`prompt`, `completions`,
`labels`), PRM800K, Math-Shepherd, ProcessBench, ... Solutions are rendered as by `--judge process`. The loss
is the cross-entropy of the hard or soft label at the recorded positions, averaged over the labelled steps of a batch.

The first wrong step is the first with a label of at most `error_at`, 0 by default. A soft label from rollouts, such as
0.375, is low where a problem is hard, so it does not say that the step is wrong.

With `head_epochs`, the head is trained alone before the other weights (PURE, arXiv 2504.15275): the gradients of a
randomly initialized head would otherwise change them at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import inf, nextafter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from fathom.data.records import Comparison
from fathom.data.steps import SHARED, first_error
from fathom.engines.chat import Tokens
from fathom.engines.heads import HEAD_LAYERS
from fathom.engines.loading import CAUSAL, load_weights
from fathom.engines.step_heads import TOKEN_CLASSIFIER
from fathom.engines.steps import candidate_tokens, render
from fathom.errors import FathomError
from fathom.metrics.overlap import shared
from fathom.metrics.separation import auc
from fathom.metrics.steps import best_f1, first_error_accuracy
from fathom.train import trainers
from fathom.train.recipe import ProcessRecipe

NO_LABEL = -100
Weights = TypeAdapter(dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]])
"""The contents of a file of domain weights."""
LeftOut = Literal["unlabelled", "too long", "cut"]
REASONS: dict[LeftOut, str] = {
    "unlabelled": "solutions have no labelled step and are left out",
    "too long": "solutions have no labelled step within trainer.max_length={most} tokens and are left out",
    "cut": "solutions exceed trainer.max_length={most} tokens; their last steps are left out",
}


class Solution(NamedTuple):
    """A solution with the label of each step, 0 to 1; None if it has none or is masked."""

    problem: str
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    weight: float = 1.0
    """The weight of its steps in the loss."""


class Example(NamedTuple):
    """The tokens of a solution, and the label at each position where a score is read."""

    tokens: Tokens
    labels: dict[int, float]
    weight: float = 1.0


def train(recipe: ProcessRecipe, *, resume: bool = False) -> Path:
    """Train, and return the folder of the trained model. Raises FathomError for errors that the user can fix."""
    with trainers.begun(recipe, resume=resume, remove_unused_columns=False) as (config, tokenizer, last):
        from transformers import set_seed

        trained = read(recipe)
        examples = _fitting(recipe, tokenizer, trained, config.max_length)
        evaluated = read(recipe, recipe.eval_data) if recipe.eval_data else []
        _warn_of_overlap(trained, evaluated)
        held_out = _fitting(recipe, tokenizer, evaluated, config.max_length) if recipe.eval_data else []
        set_seed(recipe.seed)  # before the head is initialized
        base = new_model(recipe, config)
        if config.disable_dropout:
            trainers.disable_dropout(base)
        model = trainers.adapted(base, recipe)
        loss = step_loss(recipe, tokenizer, examples)
        shared: dict[str, Any] = {
            "train_dataset": trainers.dataset(list(map(row, examples))),
            "processing_class": tokenizer,
            "data_collator": Collator(tokenizer.pad_token_id),
            "compute_loss_func": loss,
        }
        trainer_class = _trainer_class()
        if recipe.head_epochs and last is None:
            _train_head(recipe, model, trainer_class, shared)
        trainer = trainer_class(
            model=model,
            args=config,
            eval_dataset=trainers.dataset(list(map(row, held_out))),
            compute_metrics=partial(measures, error_at=recipe.error_at),
            preprocess_logits_for_metrics=loss.scores,
            **shared,
        )
        return trainers.run(trainer, recipe, last)


def _warn_of_overlap(trained: Sequence[Solution], evaluated: Sequence[Solution]) -> None:
    """Log how many evaluated problems overlap with training problems, because their metrics are too good."""
    problems = {solution.problem for solution in evaluated}
    if seen := shared(problems, {solution.problem for solution in trained}):
        trainers.log.warning(
            "%d of %d problems of eval_data overlap with training problems; split the data by problem",
            len(seen),
            len(problems),
        )


def new_model(recipe: ProcessRecipe, config: Any) -> Any:
    """The model with the head that its family needs: the checkpoint's, or a new one."""
    name = trainers.base_to_adapt(recipe) or recipe.model
    options = {"dtype": "float32", "trust_remote_code": config.trust_remote_code} | config.model_init_kwargs
    kind, more = (CAUSAL, {}) if recipe.convention.head == "vocabulary" else (TOKEN_CLASSIFIER, {"num_labels": 2})
    try:
        return load_weights(name, kind, **more, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise FathomError(f"cannot load {name} as a {kind.noun}: {error}") from error


def _trainer_class() -> Any:
    """Defined in a function, because importing the base class takes seconds."""
    from transformers import Trainer

    class StepTrainer(Trainer):  # type: ignore[misc]
        """A trainer whose batches have weights of their solutions, which `Trainer` does not pass to the loss."""

        compute_loss_func: Any

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **settings: Any) -> Any:
            self.compute_loss_func = self.compute_loss_func.weighted(inputs.pop("weights"))
            return super().compute_loss(model, inputs, *args, **settings)

    return StepTrainer


def _train_head(recipe: ProcessRecipe, model: Any, trainer_class: Any, shared: dict[str, Any]) -> None:
    """Train only the head. A resumed run skips this stage, because its checkpoint was written after it."""
    from transformers.trainer_callback import PrinterCallback

    frozen = [
        weight
        for name, weight in model.named_parameters()
        if weight.requires_grad and not HEAD_LAYERS & set(name.split("."))
    ]
    for weight in frozen:
        weight.requires_grad_(False)
    changes = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False, "max_steps": -1}
    rate = {"learning_rate": recipe.head_learning_rate, "num_train_epochs": recipe.head_epochs}
    config = trainers.settings(recipe, remove_unused_columns=False, **changes, **rate)
    trainer = trainer_class(model=model, args=config, **shared)
    trainer.remove_callback(PrinterCallback)
    found = trainer.train()
    trainers.log.info("head: %g epochs, loss %.4g", recipe.head_epochs, found.training_loss)
    for weight in frozen:
        weight.requires_grad_(True)


# Data -----------------------------------------------------------------------------------------------------------------


def read(recipe: ProcessRecipe, files: Sequence[Path] | None = None) -> list[Solution]:
    """The solutions of `files`, by default the training files. Raises FathomError as `reading.read` does.

    In training files, the labels of steps that several solutions of one row share are used once (`unshared`).
    """
    from fathom.data.reading import read

    items = (
        read(path, mapping=recipe.mapping, seed=recipe.seed, neutral=recipe.neutral)
        for path in (recipe.data if files is None else files)
    )
    weights = domain_weights(recipe)
    return [
        solution._replace(weight=_weight(recipe, weights, item)) if weights else solution
        for item in chain.from_iterable(items)
        for solution in (unshared if files is None else solutions)(item, recipe.after_error, recipe.error_at)
    ]


def domain_weights(recipe: ProcessRecipe) -> dict[str, float]:
    """The weight of each domain, from the recipe's file; empty without one. Raises FathomError for another content."""
    if recipe.domain_weights is None:
        return {}
    try:
        return Weights.validate_json(recipe.domain_weights.read_bytes())
    except (OSError, ValidationError) as error:
        raise FathomError(
            f"domain_weights: {recipe.domain_weights} is not an object of domains and weights of at least 0, such as "
            f'{{"gsm8k": 1.2}}: {error}'
        ) from error


def _weight(recipe: ProcessRecipe, weights: Mapping[str, float], item: Comparison) -> float:
    domain = domain_of(recipe, item)
    if domain not in weights:
        raise FathomError(f"{recipe.domain_weights} has no weight of the domain {domain!r} of {item.id!r}; add it")
    return weights[domain]


def domain_of(recipe: ProcessRecipe, item: Comparison) -> str:
    """The domain of a comparison. Raises FathomError if its column is missing."""
    domain = item.metadata.get(recipe.domain or "")
    if domain is None:
        columns = ", ".join(map(str, item.metadata)) or "none"
        raise FathomError(f"{item.id!r} has no column {recipe.domain!r} with its domain; its columns are {columns}")
    return str(domain)


def solutions(item: Comparison, after_error: Literal["mask", "keep"] = "mask", error_at: float = 0.0) -> list[Solution]:
    """The solutions of a comparison with labelled steps; none if steps or labels are missing.

    Whether a step after a wrong one is right is often undefined, so by default these have no label. A step is wrong if
    its label is at most `error_at`, 0 to 1.
    """
    label = item.label
    if item.steps is None or label is None or label.steps is None:
        return []
    masked = [labels if after_error == "keep" else _up_to_error(labels, error_at) for labels in label.steps]
    return [Solution(item.prompt_text, *each) for each in zip(item.steps, masked, strict=True)]


def unshared(item: Comparison, after_error: Literal["mask", "keep"] = "mask", error_at: float = 0.0) -> list[Solution]:
    """The solutions, without the labels of the first steps that another comparison of the same row has too.

    Layouts of trees, such as PRM800K's, count these in `metadata["shared_steps"]`. Otherwise the loss would have the
    labels of early steps once for every alternative to a later one. Raises FathomError for another value.
    """
    shared = item.metadata.get(SHARED, 0)
    if isinstance(shared, bool) or not isinstance(shared, int) or shared < 0:
        raise FathomError(f"{item.id!r}: metadata: {SHARED}: got {shared!r}, expected a number of steps")
    return [
        each._replace(labels=(*(None,) * len(each.labels[:shared]), *each.labels[shared:]))
        for each in solutions(item, after_error, error_at)
    ]


def first_wrong(labels: Sequence[float | None], error_at: float) -> int | None:
    """The index of the first step with a label of at most `error_at`; None if there is none."""
    return first_error(labels, nextafter(error_at, inf))  # at most `error_at` is below the next larger number


def _up_to_error(labels: Sequence[float | None], error_at: float) -> tuple[float | None, ...]:
    first = first_wrong(labels, error_at)
    known = labels if first is None else labels[: first + 1]
    return (*known, *[None] * (len(labels) - len(known)))


def _fitting(recipe: ProcessRecipe, tokenizer: Any, found: Sequence[Solution], most: int | None) -> list[Example]:
    examples, left_out = fitting(recipe, tokenizer, found, most)
    for line in described(left_out, most):
        trainers.log.warning(line)
    return examples


def described(left_out: Counter[LeftOut], most: int | None) -> list[str]:
    """One line per reason why solutions or steps were left out."""
    return [f"{count} {REASONS[why].format(most=most)}" for why, count in left_out.items()]


def fitting(
    recipe: ProcessRecipe, tokenizer: Any, found: Iterable[Solution], most: int | None
) -> tuple[list[Example], Counter[LeftOut]]:
    """The solutions as examples, and the number left out or cut for each reason.

    A solution is cut after the last step that fits, never inside one. Raises FathomError if none is left.
    """
    examples, left_out = [], Counter[LeftOut]()
    for solution in found:
        if all(label is None for label in solution.labels):
            left_out["unlabelled"] += 1
            continue
        rendered = render(tokenizer, solution.problem, solution.steps, recipe.convention)
        seen = rendered.seen(most or len(rendered.tokens))
        pairs = zip(rendered.positions[:seen], solution.labels, strict=False)
        labels = {position: label for position, label in pairs if label is not None}
        if labels:
            examples.append(Example(rendered.tokens[: max(labels) + 1], labels, solution.weight))
        lost = any(label is not None for label in solution.labels[seen:])
        left_out["cut" if labels else "too long"] += lost
    if not examples:
        why = "; ".join(described(+left_out, most)) or "the files contain no solution with labelled steps"
        raise FathomError(f"no solution is left to train on: {why}")
    return examples, +left_out


def row(example: Example) -> dict[str, Any]:
    """A row of a data set: tokens, one label per token, NO_LABEL where there is none, and the solution's weight."""
    labels = [example.labels.get(place, float(NO_LABEL)) for place in range(len(example.tokens))]
    return {"input_ids": list(example.tokens), "labels": labels, "weight": example.weight}


class Collator:
    """Rows to a batch, padded to its longest solution."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        import torch

        longest = max(len(each["input_ids"]) for each in rows)
        gaps = [longest - len(each["input_ids"]) for each in rows]
        pairs = list(zip(rows, gaps, strict=True))
        return {
            "input_ids": torch.tensor([each["input_ids"] + [self.pad] * gap for each, gap in pairs]),
            "attention_mask": torch.tensor([[1] * (longest - gap) + [0] * gap for gap in gaps]),
            "labels": torch.tensor([each["labels"] + [float(NO_LABEL)] * gap for each, gap in pairs]),
            "weights": torch.tensor([float(each.get("weight", 1.0)) for each in rows]),
        }


# Loss and metrics -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepLoss:
    """The loss of a batch, for `Trainer(compute_loss_func=...)`.

    With two outputs, the cross-entropy of a label y is -y log p - (1 - y) log(1 - p), with p = sigmoid(right - wrong).
    """

    candidates: tuple[int, int] | None
    """The tokens that mean right and wrong; None for a classifier with outputs for wrong and right."""
    weights: tuple[float, float] = (1.0, 1.0)
    """The weights of wrong and of right steps."""
    solutions: Any = None
    """The weight of each solution of the batch, (solutions,); 1 by default."""

    def weighted(self, solutions: Any) -> StepLoss:
        """The loss of a batch whose solutions have these weights."""
        return replace(self, solutions=solutions)

    def __call__(self, outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        from torch.nn.functional import binary_cross_entropy_with_logits

        known = labels != NO_LABEL
        target = labels[known].float()
        weight = target * self.weights[1] + (1 - target) * self.weights[0]
        if self.solutions is not None:
            weight = weight * self.solutions[:, None].expand_as(labels)[known]
        losses = binary_cross_entropy_with_logits(self.log_odds(outputs.logits[known]), target, weight, reduction="sum")
        return losses / (known.sum() if num_items_in_batch is None else num_items_in_batch)

    def log_odds(self, logits: Any) -> Any:
        """log p / (1 - p) of the probability p that a step is right, from logits (..., outputs)."""
        right, wrong = self.candidates or (1, 0)
        return (logits[..., right] - logits[..., wrong]).float()

    def scores(self, logits: Any, labels: Any) -> Any:
        """The score at every position, so that evaluation does not store logits over the vocabulary."""
        return self.log_odds(logits[0] if isinstance(logits, tuple) else logits).sigmoid()


def step_loss(recipe: ProcessRecipe, tokenizer: Any, examples: Sequence[Example]) -> StepLoss:
    """The recipe's loss. `class_weights: balanced` gives wrong and right steps the same total weight."""
    vocabulary = recipe.convention.head == "vocabulary"
    candidates = candidate_tokens(tokenizer, recipe.convention) if vocabulary else None
    if recipe.class_weights != "balanced":
        return StepLoss(candidates, recipe.class_weights or (1.0, 1.0))
    right = sum(label for example in examples for label in example.labels.values())
    wrong = sum(len(example.labels) for example in examples) - right
    if not right or not wrong:
        raise FathomError(
            "class_weights: balanced needs right and wrong steps; the data have only one kind; leave class_weights out"
        )
    return StepLoss(candidates, ((right + wrong) / (2 * wrong), (right + wrong) / (2 * right)))


def measures(evaluated: Any, error_at: float = 0.0) -> dict[str, float]:
    """Metrics of held-out solutions.

    `f1` is ProcessBench's: the harmonic mean of the accuracy on solutions with a wrong step (a label of at most
    `error_at`), whose first one must be the first score below 0.5, and on those without one. `f1_tuned` is the same at
    the threshold that is best on these solutions, so it is too high by their noise. A model of soft labels may score
    right steps far below 0.5. `accuracy` and `auc` are of single steps, which are right if their label is at least 0.5.
    Metrics without data are left out.
    """
    found = [
        (scores[known].tolist(), labels[known].tolist())
        for scores, labels in zip(evaluated.predictions, evaluated.label_ids, strict=True)
        if (known := labels != NO_LABEL).any()
    ]
    steps = [pair for scores, labels in found for pair in zip(scores, labels, strict=True)]
    groups = [[score for score, label in steps if (label >= 0.5) == kind] for kind in (True, False)]
    errors = [(scores, first_wrong(labels, error_at)) for scores, labels in found]
    values = {
        "f1": first_error_accuracy(((first_error(scores),), wrong) for scores, wrong in errors).f1,
        "f1_tuned": best_f1(errors),
        "accuracy": sum((score >= 0.5) == (label >= 0.5) for score, label in steps) / len(steps),
        "auc": auc(*groups),
    }
    return {name: value for name, value in values.items() if value is not None}
