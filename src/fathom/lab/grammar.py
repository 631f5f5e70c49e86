"""A grammar with two states and four words, small language models of it, and a preference between its texts.

    base = language_model(seed=0, hidden=48, layers=2)
    train_on_texts(base, written(4000, 24, generator), steps=300, ...)
    texts = generated(base, 500, 24, seed=1)                # (500, 24), words as numbers 1 to 4
    defects(texts)                                          # how often `b` follows `a` directly

In the calm state a text has mostly `a` and `c`, in the other one `b` and `d`; both states last. After `a`, a `b` is
common, so a base model writes many of them. Token 0 begins every text.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fathom.train.genarm import IGNORED, pair_loss, response_logprobs

Texts = Tensor
"""Words, (texts, length)."""
BEGIN, A, B, C, D = range(5)
CHUNK = 512
"""Texts that are scored together."""
STAY = 0.8
"""The probability that the state stays."""
WORDS = torch.tensor([[0.45, 0.1, 0.35, 0.1], [0.15, 0.4, 0.1, 0.35]])
"""The probability of each word, by state."""
AFTER_A = 0.5
"""The probability that `b` follows `a`, whatever the state."""


def written(count: int, length: int, generator: torch.Generator) -> Texts:
    """Texts of the grammar."""
    state = (torch.rand(count, generator=generator) < 0.5).long()
    texts = torch.zeros(count, length, dtype=torch.long)
    for place in range(length):
        switch = torch.rand(count, generator=generator) >= STAY
        state = torch.where(switch, 1 - state, state)
        word = torch.multinomial(WORDS[state], 1, generator=generator)[:, 0] + 1
        if place:
            pulled = (texts[:, place - 1] == A) & (torch.rand(count, generator=generator) < AFTER_A)
            word = torch.where(pulled, B, word)
        texts[:, place] = word
    return texts


def defects(texts: Texts) -> Tensor:
    """How often `b` directly follows `a` in each text, (texts,)."""
    return ((texts[:, :-1] == A) & (texts[:, 1:] == B)).sum(1)


def win_rate(texts: Texts, others: Texts) -> float:
    """The share of texts with fewer defects than the other at the same place; a tie counts half."""
    return float(((defects(others) - defects(texts)).sign().float() / 2 + 0.5).mean())


def ordered(texts: Texts, count: int) -> tuple[Texts, Texts]:
    """Up to `count` pairs of neighbouring texts with different defects: the better ones, and the worse ones."""
    first, second = texts[::2], texts[1::2]
    differ = defects(first) != defects(second)
    first, second = first[differ][:count], second[differ][:count]
    swap = (defects(first) > defects(second))[:, None]
    return torch.where(swap, second, first), torch.where(swap, first, second)


def language_model(seed: int, hidden: int, layers: int) -> Any:
    """A `LlamaForCausalLM` with random weights for the five tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=5,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=BEGIN,
        eos_token_id=None,
        pad_token_id=None,
    )
    return LlamaForCausalLM(config)


def begun(texts: Texts) -> Tensor:
    """The texts after the begin token."""
    return torch.cat([torch.full((len(texts), 1), BEGIN), texts], 1)


def summed(model: Any, texts: Texts) -> Tensor:
    """The log-probability of each text, in nats, (texts,), with gradients."""
    ids = begun(texts)
    labels = ids.clone()
    labels[:, 0] = IGNORED
    return response_logprobs(model(input_ids=ids, use_cache=False).logits, labels)


@torch.inference_mode()
def logprobs(model: Any, texts: Texts) -> Tensor:
    """The log-probability of each text, in nats, (texts,)."""
    return torch.cat([summed(model, texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)])


@torch.inference_mode()
def divergence(base: Any, reward: Any, alpha: float, texts: Texts) -> float:
    """log(p_guided / p_base) per word, in nats, of texts of the guided distribution: an estimate of its divergence."""
    ids = begun(texts)
    plain = base(input_ids=ids, use_cache=False).logits
    guided = plain.log_softmax(-1) + alpha * reward(input_ids=ids, use_cache=False).logits.log_softmax(-1)
    # Texts are sampled without the begin token.
    ratios = guided[..., 1:].log_softmax(-1) - plain[..., 1:].log_softmax(-1)
    return float(ratios[:, :-1].gather(-1, texts[..., None] - 1).mean())


def train_on_texts(
    model: Any, texts: Texts, steps: int, batch: int, learning_rate: float, generator: torch.Generator
) -> None:
    def loss() -> Tensor:
        places = torch.randint(len(texts), (batch,), generator=generator)
        return -summed(model, texts[places]).mean() / texts.shape[1]

    _train(model, steps, learning_rate, loss)


def train_on_pairs(
    model: Any,
    better: Texts,
    worse: Texts,
    steps: int,
    batch: int,
    learning_rate: float,
    beta: float,
    generator: torch.Generator,
) -> None:
    """Train an autoregressive reward model by GenARM's loss."""

    def loss() -> Tensor:
        places = torch.randint(len(better), (batch,), generator=generator)
        chosen, rejected = summed(model, torch.cat([better[places], worse[places]])).chunk(2)
        return pair_loss(chosen, rejected, beta).mean()

    _train(model, steps, learning_rate, loss)


def _train(model: Any, steps: int, learning_rate: float, loss: Any) -> None:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        decay.step()
    model.eval()


def generated(model: Any, count: int, length: int, seed: int, guide: Any = None) -> Texts:
    """Texts sampled from a model at temperature 1, guided by a logits processor if there is one."""
    from transformers import LogitsProcessorList

    torch.manual_seed(seed)
    never = torch.tensor([BEGIN])

    def no_begin(ids: Tensor, scores: Tensor) -> Tensor:
        return scores.index_fill(1, never, -torch.inf)

    found: Tensor = model.generate(
        input_ids=torch.full((count, 1), BEGIN),
        attention_mask=torch.ones(count, 1, dtype=torch.long),
        logits_processor=LogitsProcessorList([*([guide] if guide else []), no_begin]),
        do_sample=True,
        top_k=0,
        max_new_tokens=length,
        min_new_tokens=length,
        pad_token_id=BEGIN,
    )
    return found[:, 1:]
