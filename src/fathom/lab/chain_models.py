"""Small language models of written chains of arithmetic, and their training on texts and on outcomes.

    model = language_model(seed=0, hidden=48, layers=2)
    train_on_texts(model, encoded(texts), training, generator)
    tuned = train_on_outcomes(model, ids, right, training, beta=0.3, loss="ce", generator=generator)

A step is written with the value before it, "A 3 * 3 = 2": the result follows from three tokens, so a model of two
layers learns it in a minute. The prompt is the same for all problems, because each step repeats its operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fathom.data.records import Comparison, Label
from fathom.engines.chat import encode_chat
from fathom.lab import base
from fathom.lab.chains import CONSTANTS, MODULUS, REGISTERS, Problem
from fathom.train import losses

PROMPT = "Compute modulo 7."
WORD = r"\n\n| ?[^\s]"
PROMPT_TOKENS = 5
"""Those of the prompt with its template: begin, user, prompt, end, assistant."""
Loss = Literal["ce", "dpo"]
"""How a model learns from outcomes: cross-entropy of each solution, or DPO on pairs of a right and a wrong one."""


@dataclass(frozen=True, kw_only=True)
class Training:
    steps: int
    batch: int
    learning_rate: float


# Texts ----------------------------------------------------------------------------------------------------------------


def steps_of(problem: Problem, values: Sequence[int]) -> list[str]:
    """The steps as texts that concatenate to the solution."""
    befores = [problem.before(values, step) for step in range(len(values))]
    written = zip(problem.operations, befores, values, strict=False)
    return [f"{each.register} {before} {each.sign} {each.constant} = {value}\n\n" for each, before, value in written]


def comparison(problem: Problem, values: Sequence[int], id: str, labels: Sequence[float] | None = None) -> Comparison:
    """A solution as a comparison, with labels of its steps if they are given."""
    steps = tuple(steps_of(problem, values))
    label = None if labels is None else Label(steps=(tuple(labels),))
    return Comparison(id=id, prompt=PROMPT, responses=("".join(steps),), steps=(steps,), label=label)


def tokenizer() -> Any:
    """A tokenizer with a token for every word of steps and of the prompt."""
    digits = "".join(f" {digit}" for digit in range(MODULUS))
    constants = "".join(f" {constant}" for constant in CONSTANTS)
    return base.word_level([PROMPT], [PROMPT, *REGISTERS, f"{digits}{constants} + * =\n\n"], WORD)


def encoded(texts: Sequence[str]) -> Tensor:
    """The tokens of solutions after the prompt, (solutions, tokens). All must have equally many."""
    words = tokenizer()
    begin = _prompt(words)
    return torch.tensor([[*begin, *words.encode(text, add_special_tokens=False)] for text in texts])


def _prompt(words: Any) -> list[int]:
    return encode_chat(words, ({"role": "user", "content": PROMPT},))


# Models ---------------------------------------------------------------------------------------------------------------


def language_model(seed: int, hidden: int, layers: int) -> Any:
    return base.llama(tokenizer(), seed, hidden, layers, 4, spread=hidden**-0.5)


def save(model: Any, folder: Path) -> Path:
    """Save a checkpoint, which every engine and judge can use."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def logprobs(model: Any, ids: Tensor) -> Tensor:
    """The log-probability of each solution given the prompt, in nats, (solutions,)."""
    begin = PROMPT_TOKENS
    logits = model(input_ids=ids, use_cache=False).logits[:, begin - 1 : -1]
    found: Tensor = logits.log_softmax(-1).gather(-1, ids[:, begin:, None])[..., 0].sum(1)
    return found


def train_on_texts(model: Any, ids: Tensor, training: Training, generator: torch.Generator) -> None:
    def loss() -> Tensor:
        return -logprobs(model, ids[_drawn(len(ids), training.batch, generator)]).mean() / ids.shape[1]

    _train(model, training, loss)


def train_on_outcomes(
    reference: Any,
    ids: Tensor,
    right: Tensor,
    training: Training,
    *,
    beta: float,
    loss: Loss,
    generator: torch.Generator,
) -> Any:
    """A copy of the reference, trained so that beta log(p / p_reference) tells right solutions from wrong ones.

    `right`, (solutions,), is 1 for solutions with the right answer. No step has a label.
    """
    model = deepcopy(reference)
    with torch.inference_mode():
        known = torch.cat([logprobs(reference, part) for part in torch.split(ids, 512)])
    known = known.clone()
    kinds = [(right == kind).nonzero()[:, 0] for kind in (1, 0)]

    def reward(places: Tensor) -> Tensor:
        return beta * (logprobs(model, ids[places]) - known[places])

    def of_outcomes() -> Tensor:
        places = _drawn(len(ids), training.batch, generator)
        return losses.binary(reward(places), right[places]).mean()

    def of_pairs() -> Tensor:
        better, worse = (kind[_drawn(len(kind), training.batch // 2, generator)] for kind in kinds)
        rewards = reward(torch.cat([better, worse]))
        return losses.bradley_terry(*rewards.chunk(2)).mean()

    _train(model, training, of_outcomes if loss == "ce" else of_pairs)
    return model


def _drawn(count: int, batch: int, generator: torch.Generator) -> Tensor:
    return torch.randint(count, (batch,), generator=generator)


def _train(model: Any, training: Training, loss: Callable[[], Tensor]) -> None:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=0.0)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, training.steps)
    for _ in range(training.steps):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        decay.step()
    model.eval()
