"""Trains an autoregressive reward model: a language model whose log-probability of a response is its reward.

    from fathom.train import genarm
    from fathom.train.recipe import GenARMRecipe
    genarm.train(GenARMRecipe(model="mini", data="pairs.jsonl", output="runs/genarm"))

Method: GenARM (arXiv 2410.08193, section 4.1). For a pair, the loss is that of Bradley and Terry on sums of
log-probabilities, without a reference model and without normalization by length:

    -log sigmoid(beta (log p(y_w | x) - log p(y_l | x)))

The end token is part of a response. The saved model is an ordinary language model; `--judge genarm` scores with it, and
`fathom.engines.guiding` guides another model of the same vocabulary by it. Prompt and response are tokenized
separately, as by engines; texts are never truncated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fathom.data.records import Comparison
from fathom.engines.chat import encode_answer, encode_chat
from fathom.errors import FathomError
from fathom.train import scalar, targets, trainers
from fathom.train.recipe import GenARMRecipe

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""The label of tokens of the prompt and of padding."""


class Pair(NamedTuple):
    """A prompt and two responses as tokens; each response ends with the end token."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


class Fitted(NamedTuple):
    pairs: list[Pair]
    too_long: int
    """The number of pairs that exceed the maximum length."""
    unlabelled: int
    """The number of comparisons without a label that orders two responses."""


def train(recipe: GenARMRecipe, *, resume: bool = False) -> Path:
    """Train, and return the folder of the trained model. Raises FathomError for errors that the user can fix."""
    with trainers.begun(recipe, resume=resume, remove_unused_columns=False) as (config, tokenizer, last):
        from transformers import set_seed

        train_rows = _rows(tokenizer, scalar.read(recipe), config.max_length)
        held_out = _rows(tokenizer, scalar.read(recipe, recipe.eval_data), config.max_length)
        set_seed(recipe.seed)
        trainer = _trainer_class()(
            model=trainers.language_model(recipe, config),
            args=config,
            train_dataset=trainers.dataset(train_rows),
            eval_dataset=trainers.dataset(held_out),
            compute_metrics=_accuracy,
            data_collator=Collator(tokenizer.pad_token_id),
            processing_class=tokenizer,
        )
        trainer.beta = recipe.beta
        # The loss is a mean over pairs, so the trainer must divide it by gradient_accumulation_steps.
        trainer.model_accepts_loss_kwargs = False
        return trainers.run(trainer, recipe, last)


def _rows(tokenizer: Any, items: Sequence[Comparison], most: int | None) -> list[dict[str, list[int]]]:
    """The pairs as rows of a data set; none for a recipe without held-out data."""
    if not items:
        return []
    fitted = fitting(tokenizer, items, most)
    for line in described(fitted):
        trainers.log.warning(line)
    return [pair._asdict() for pair in fitted.pairs]


def described(fitted: Fitted) -> list[str]:
    """One line per reason why comparisons or pairs were left out."""
    counts = (
        (fitted.unlabelled, "comparisons have no label that orders two responses, and are left out"),
        (fitted.too_long, "pairs exceed trainer.max_length tokens, and are left out"),
    )
    return [f"{count} {words}" for count, words in counts if count]


def fitting(tokenizer: Any, items: Iterable[Comparison], most: int | None) -> Fitted:
    """The pairs of responses that the labels order, with at most `most` tokens. Raises FathomError if none is left."""
    pairs: list[Pair] = []
    too_long = unlabelled = 0
    for item in items:
        ordered = [] if item.label is None else targets.pairs(item.label, len(item.responses))
        better_first = [(better, worse) for better, worse, gap in ordered if gap > 0]
        unlabelled += not better_first
        prompt = encode_chat(tokenizer, scalar.prompt_messages(item))
        answers = [encode_answer(tokenizer, response) for response in item.responses]
        for better, worse in better_first:
            longest = len(prompt) + max(len(answers[better]), len(answers[worse]))
            if most is not None and longest > most:
                too_long += 1
            else:
                pairs.append(Pair(prompt, answers[better], answers[worse]))
    if not pairs:
        raise FathomError(
            f"no pair is left to train on: {too_long} are longer than trainer.max_length={most} tokens, and "
            f"{unlabelled} comparisons have no label that orders two responses"
        )
    return Fitted(pairs, too_long, unlabelled)


class Collator:
    """Pairs to a batch of texts: first all chosen, then all rejected responses, each after its prompt."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
        import torch

        texts = [(row["prompt"], row[kind]) for kind in ("chosen", "rejected") for row in rows]
        longest = max(len(prompt) + len(answer) for prompt, answer in texts)

        def padded(parts: list[int], value: int) -> list[int]:
            return parts + [value] * (longest - len(parts))

        return {
            "input_ids": torch.tensor([padded(prompt + answer, self.pad) for prompt, answer in texts]),
            "attention_mask": torch.tensor([padded([1] * len(prompt + answer), 0) for prompt, answer in texts]),
            "labels": torch.tensor([padded([IGNORED] * len(prompt) + answer, IGNORED) for prompt, answer in texts]),
        }


def pair_loss(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """The loss of each pair, given the log-probabilities of its responses in nats (arXiv 2410.08193, Equation 6).

    It is `losses.bradley_terry` with the rewards beta log p.
    """
    from fathom.train.losses import bradley_terry

    return bradley_terry(beta * chosen, beta * rejected)


def response_logprobs(logits: Tensor, labels: Tensor) -> Tensor:
    """The log-probability of each text's tokens whose label is not ignored, in nats, (texts,).

    `logits` has shape (texts, tokens, vocabulary), `labels` (texts, tokens). The logits at a position predict the next
    token.
    """
    targets_, scored = labels[:, 1:].clamp(min=0), labels[:, 1:] != IGNORED
    chosen = logits[:, :-1].float().log_softmax(-1).gather(-1, targets_[..., None])[..., 0]
    return (chosen * scored).sum(-1)


def _trainer_class() -> Any:
    """Defined in a function, because importing the base class takes seconds."""
    from transformers import Trainer

    class PairTrainer(Trainer):  # type: ignore[misc]
        beta: float

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
            chosen, rejected = response_logprobs(outputs.logits, inputs["labels"]).chunk(2)
            loss = pair_loss(chosen, rejected, self.beta).mean()
            return (loss, {"margins": (chosen - rejected).detach()}) if return_outputs else loss

    return PairTrainer


def _accuracy(evaluated: Any) -> dict[str, float]:
    """The share of pairs whose chosen response has the higher log-probability."""
    return {"accuracy": float((evaluated.predictions > 0).mean())}
