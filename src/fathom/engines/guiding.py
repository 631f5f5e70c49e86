"""Guides the decoding of a language model by autoregressive reward models, token by token.

    base, tokenizer = AutoModelForCausalLM.from_pretrained(...), AutoTokenizer.from_pretrained(...)
    guide = Guide([(reward_model, 1.0)], prompt["attention_mask"])
    check_vocabulary(tokenizer, reward_tokenizer)
    base.generate(**prompt, logits_processor=LogitsProcessorList([guide]), do_sample=True)

Method: GenARM (arXiv 2410.08193; github.com/Yuancheng-Xu/GenARM). A reward model of this kind is a language model whose
log-probabilities are the rewards of tokens, r(x, y) = sum_t log p_r(y_t | x, y_<t). The guided distribution is

    p(y_t | x, y_<t)  proportional to  p_base(y_t | x, y_<t) * prod_i p_i(y_t | x, y_<t)^alpha_i

With all alpha_i = 0 it is the base model's. It is normalized token by token, so a sampled text is only approximately a
draw from the base model's distribution over texts, weighted by exp(alpha r). The sum of log-probabilities prefers short
texts, and a large alpha follows the reward model alone. The authors' decoding library divides the logits by the sum of
the weights, so its temperature of T / (1 + alpha) is a temperature of T here.

Base and reward models must have the same vocabulary, which `check_vocabulary` checks. Every reward model costs one more
forward pass per token. `LocalEngine` does not use guides: pass them to `generate` of `transformers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from fathom.errors import FathomError


class Guide(LogitsProcessor):  # type: ignore[misc]
    """Adds alpha times the log-probabilities of each reward model to those of the base model.

    `mask` has shape (rows, prompt tokens) and is 0 for padding on the left; None if no row is padded. Negative weights
    steer away from a reward model. A guide holds caches for one call of `generate`; make a new one for the next.
    """

    def __init__(self, weighted: Sequence[tuple[Any, float]], mask: torch.Tensor | None = None) -> None:
        self.readers = [(_Reader(model, mask), alpha) for model, alpha in weighted if alpha]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        guided = scores.float().log_softmax(-1)
        for reader, alpha in self.readers:
            rewards = reader(input_ids).to(guided.device)
            # Some checkpoints pad the output layer, by different amounts. Rows that only one of them has are no token.
            shared = min(guided.shape[-1], rewards.shape[-1])
            guided[:, :shared] += alpha * rewards[:, :shared]
            guided[:, shared:] = -torch.inf
        return guided


class _Reader:
    """The log-probabilities of the next token under a reward model, with a cache over the calls of one `generate`."""

    def __init__(self, model: Any, mask: torch.Tensor | None) -> None:
        self.model = model
        self.mask = mask
        self.read: torch.Tensor | None = None
        """The tokens in the cache."""
        self.cache: Any = None

    @torch.inference_mode()
    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        ids = ids.to(self.model.device)
        known = 0 if self.read is None or not self._continues(ids) else self.read.shape[1]
        mask = torch.ones_like(ids)
        if self.mask is not None:
            mask[:, : self.mask.shape[1]] = self.mask.to(ids)
        # Padded rows begin later, so their positions count from their first token.
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, known:]
        cache = self.cache if known else None
        output = self.model(
            input_ids=ids[:, known:], attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        self.read, self.cache = ids, output.past_key_values
        log_probabilities: torch.Tensor = output.logits[:, -1].float().log_softmax(-1)
        return log_probabilities

    def _continues(self, ids: torch.Tensor) -> bool:
        """Whether the rows are those in the cache with more tokens; beam search changes the order of rows."""
        assert self.read is not None
        rows, known = self.read.shape
        return ids.shape[0] == rows and ids.shape[1] > known and torch.equal(ids[:, :known], self.read)


def check_vocabulary(base: Any, reward: Any) -> None:
    """Raise FathomError unless two tokenizers give every token the same number."""
    ours, theirs = base.get_vocab(), reward.get_vocab()
    other = sorted(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
    if other:
        shown = ", ".join(f"{token!r} ({ours.get(token)} and {theirs.get(token)})" for token in other[:3])
        raise FathomError(
            f"the tokenizers of the base model and the reward model differ in {len(other)} of {len(ours)} tokens, such "
            f"as {shown}; expected one vocabulary: train the reward model from a model of the base model's family"
        )
