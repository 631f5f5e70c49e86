"""Weights of domains: how much the labels of each source should count when a process reward model is trained.

    recipe = ProcessRecipe(model="smollm2", data="steps.jsonl", output="runs/prm", domain="source", trainer={...})
    weights = fit(recipe, list(read("trusted.jsonl")), steps=200)       # {"clean": 1.7, "noisy": 0.3}
    Path("weights.json").write_text(json.dumps(weights))                # for `domain_weights=weights.json`

Method: DreamPRM (arXiv 2505.20241; github.com/coder-qicao/DreamPRM). The model phi is trained on all domains k by the
weighted loss sum_k a_k L_k. The weights a = softplus(raw) / mean(softplus(raw)) are trained to lower a meta loss on
trusted solutions: the loss of their labelled steps or, as the authors do, of their outcomes
(`look_ahead.outcome_loss`). In `fathom reproduce dreamprm`, weights by labels of steps train a better model than equal
weights, and weights by outcomes a worse one.

The authors differentiate through several steps of training. Here it is one. After a step of gradient descent with the
rate lr, phi' = phi - lr sum_k a_k g_k, where g_k is the gradient of L_k at phi, the chain rule gives

    d meta(phi') / d a_k = -lr g_meta(phi') . g_k                       (`look_ahead.weight_gradient`)

exactly, because g_k does not depend on a: one product of gradients per domain, and no second derivatives. The model
itself is trained by AdamW, whose step is another one; then this is the slope of gradient descent from the same point. A
domain whose gradient points where the meta loss falls gains weight.

It costs one backward pass per domain and one more per step, and the memory of as many gradients; with `lora`, these are
small. One process only. The trained model is dropped: train again with the weights. Trusted solutions must not be test
data, because the weights are chosen by them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fathom.data.records import Comparison
from fathom.engines.steps import render
from fathom.errors import FathomError
from fathom.train import process, trainers
from fathom.train.look_ahead import outcome_loss, weight_gradient
from fathom.train.process import Collator, Example, StepLoss
from fathom.train.recipe import ProcessRecipe

if TYPE_CHECKING:
    from torch import Tensor


def fit(
    recipe: ProcessRecipe, meta: Sequence[Comparison], *, steps: int = 200, batch: int = 8, meta_rate: float = 0.01
) -> dict[str, float]:
    """The weight of each domain, whose mean is 1.

    `meta`: trusted solutions with labelled steps. If none has any, their scores are used, from 0 (wrong) to 1 (right).

    `steps` of training, each on `batch` solutions of every domain and of `meta`; `meta_rate` is the learning rate of
    the weights. Raises FathomError for fewer than two domains, and without usable trusted solutions.
    """
    import torch
    from transformers import set_seed

    with trainers.quiet():
        config, tokenizer = trainers.settings(recipe), trainers.load_tokenizer(recipe)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        domains = by_domain(recipe, tokenizer, config.max_length)
        labelled = [
            solution for item in meta for solution in process.solutions(item, recipe.after_error, recipe.error_at)
        ]
        if labelled:
            trusted, meta_loss = process.fitting(recipe, tokenizer, labelled, config.max_length)[0], _loss
        else:
            trusted, meta_loss = with_outcomes(recipe, tokenizer, meta, config.max_length), _outcome_loss
        set_seed(recipe.seed)
        model = trainers.adapted(process.new_model(recipe, config), recipe)
    trainers.disable_dropout(model)
    loss = process.step_loss(recipe, tokenizer, [each for examples in domains.values() for each in examples])
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    raw = torch.zeros(len(domains), requires_grad=True)
    meta_optimizer = torch.optim.Adam([raw], lr=meta_rate)
    batches = [drawn(examples, batch, f"{recipe.seed}/{name}") for name, examples in domains.items()]
    meta_batches = drawn(trusted, batch, f"{recipe.seed}/meta")
    collate = Collator(tokenizer.pad_token_id)
    for _ in range(steps):
        gradients = torch.stack([gradient(_loss(model, loss, collate, next(each)), parameters) for each in batches])
        weights = weights_of(raw)
        _step(optimizer, parameters, weights.detach().to(gradients) @ gradients)
        after = gradient(meta_loss(model, loss, collate, next(meta_batches)), parameters)
        meta_optimizer.zero_grad()
        slopes = weight_gradient(gradients, after, rate=1.0)  # Adam, and so `meta_rate`, ignores the factor
        torch.autograd.backward((weights * slopes.to(weights)).sum())
        meta_optimizer.step()
    return dict(zip(domains, weights_of(raw).tolist(), strict=True))


# The weights ----------------------------------------------------------------------------------------------------------


def weights_of(raw: Tensor) -> Tensor:
    """Positive weights with mean 1, (domains,), from any numbers."""
    from torch.nn.functional import softplus

    positive = softplus(raw)
    return positive / positive.mean()


def gradient(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The gradient of a loss by all parameters, one after the other, (total size,); 0 for those without effect."""
    import torch

    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    each = [torch.zeros_like(own) if part is None else part for part, own in zip(found, parameters, strict=True)]
    return torch.cat([part.reshape(-1) for part in each])


def _step(optimizer: Any, parameters: Sequence[Tensor], gradient: Tensor) -> None:
    import torch

    parts = torch.split(gradient, [parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    optimizer.step()


# Losses ---------------------------------------------------------------------------------------------------------------


def _outputs(model: Any, batch: dict[str, Tensor]) -> Any:
    inputs = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
    return model(**inputs)


def _loss(model: Any, loss: StepLoss, collate: Collator, examples: Sequence[Example]) -> Tensor:
    batch = collate([process.row(example) for example in examples])
    found: Tensor = loss(_outputs(model, batch), batch["labels"].to(model.device))
    return found


def _outcome_loss(model: Any, loss: StepLoss, collate: Collator, examples: Sequence[Example]) -> Tensor:
    """The loss of outcomes. Each step has the outcome of its solution as its label."""
    batch = collate([process.row(example) for example in examples])
    labels = batch["labels"].to(model.device)
    known = labels != process.NO_LABEL
    outcomes = (labels * known).sum(-1) / known.sum(-1)
    return outcome_loss(loss.log_odds(_outputs(model, batch).logits), known, outcomes)


# Data -----------------------------------------------------------------------------------------------------------------


def by_domain(recipe: ProcessRecipe, tokenizer: Any, most: int | None) -> dict[str, list[Example]]:
    """The training examples of each domain. Raises FathomError for fewer than two domains."""
    from fathom.data.reading import read

    groups: dict[str, list[process.Solution]] = {}
    for path in recipe.data:
        for item in read(path, mapping=recipe.mapping, seed=recipe.seed, neutral=recipe.neutral):
            found = process.unshared(item, recipe.after_error, recipe.error_at)
            groups.setdefault(process.domain_of(recipe, item), []).extend(found)
    if len(groups) < 2:
        listed = ", ".join(groups) or "no domain"
        raise FathomError(f"the column {recipe.domain!r} has {listed}; expected two or more domains to weigh")
    return {domain: process.fitting(recipe, tokenizer, groups[domain], most)[0] for domain in sorted(groups)}


def with_outcomes(recipe: ProcessRecipe, tokenizer: Any, meta: Sequence[Comparison], most: int | None) -> list[Example]:
    """Each whole trusted solution as an example, whose steps have its outcome as their label.

    Raises FathomError if none is left: without steps, without an outcome, or too long.
    """
    examples = []
    for item in meta:
        scores = None if item.label is None else item.label.response_scores
        for steps, score in zip(item.steps or (), scores or (), strict=False):
            if not 0 <= score <= 1:
                raise FathomError(f"trusted solution {item.id!r}: score {score:g}; expected 0 (wrong) to 1 (right)")
            rendered = render(tokenizer, item.prompt_text, steps, recipe.convention)
            if most is None or len(rendered.tokens) <= most:
                examples.append(Example(rendered.tokens, dict.fromkeys(rendered.positions, score)))
    if not examples:
        raise FathomError(
            "no trusted solution is left; expected comparisons with steps, and labels of these or a score from 0 to 1"
        )
    return examples


def drawn(examples: Sequence[Example], count: int, seed: str) -> Iterator[list[Example]]:
    """Endless batches: the examples in random order, again and again."""
    source = random.Random(seed)
    waiting: list[Example] = []
    while True:
        while len(waiting) < count:
            waiting += source.sample(examples, len(examples))
        yield waiting[:count]
        waiting = waiting[count:]
