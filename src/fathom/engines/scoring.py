"""Scores answers with a sequence classifier of the `transformers` library: the probability that an answer is correct.

    scorer = Scorer("path/to/checkpoint")
    [probability] = await scorer.score([(({"role": "user", "content": "2 + 2?"},), "4")])

The classifier has one output, whose sigmoid is the probability. Its input is the prompt as an engine would receive it,
the answer and the end token, exactly the tokens that `fathom.train.meta` trains on. Concurrent requests are batched.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

from fathom.engines import ChatMessage
from fathom.engines.batching import Batcher, Job
from fathom.engines.chat import encode_answer, encode_chat
from fathom.engines.checkpoints import adapter_base, fingerprint, resolve_checkpoint
from fathom.engines.loading import CLASSIFIER, load
from fathom.errors import FathomError

Turn = tuple[Sequence[ChatMessage], str]
"""A prompt and the answer to score."""


class Scorer:
    """Scores with the checkpoint `model`: a folder, or a name on the model hub. Weights are read from safetensors only.

    The folder may contain a peft adapter of task type SEQ_CLS that includes the classification layer.

    `device` and `dtype` as for `LocalEngine`. A batch has at most `max_batch_tokens` tokens; lower it if memory runs
    out. Raises FathomError if there is no usable checkpoint.
    """

    def __init__(
        self, model: str | Path, *, device: str = "auto", dtype: str = "auto", max_batch_tokens: int = 2**16
    ) -> None:
        self.name = resolve_checkpoint(model)
        self.max_batch_tokens = max_batch_tokens
        self.model, self.tokenizer, missing = load(
            self.name, CLASSIFIER, device=device, dtype=dtype, head=partial(_head, self.name)
        )
        _check_trained(self.name, self.model, missing)
        self.context: int = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 2**31
        self._batcher = Batcher(self._work)

    @cached_property
    def identity(self) -> str:
        return f"scorer:{self.name}:{fingerprint(self.name)}"

    async def score(self, turns: Sequence[Turn]) -> list[float | None]:
        """The probability of each turn, 0 to 1; None if the turn exceeds the model's context, or its score is NaN."""
        return await self._batcher(turns)

    def _work(self, jobs: Sequence[Job[Sequence[Turn], list[float | None]]]) -> list[list[float | None]]:
        scores = iter(self.score_sync([turn for job in jobs for turn in job.item]))
        return [list(islice(scores, len(job.item))) for job in jobs]

    def score_sync(self, turns: Sequence[Turn]) -> list[float | None]:
        """Blocking version of `score`."""
        encoded = self._encoded(turns)
        scores: list[float | None] = [None] * len(turns)
        fitting = [place for place, tokens in enumerate(encoded) if len(tokens) <= self.context]
        for batch in self._batches(sorted(fitting, key=lambda place: len(encoded[place])), encoded):
            for place, score in zip(batch, self._probabilities([encoded[place] for place in batch]), strict=True):
                scores[place] = score
        return scores

    def _encoded(self, turns: Sequence[Turn]) -> list[list[int]]:
        """The tokens of each turn. Votes share prompts, so each distinct prompt is encoded once."""
        prompts: dict[str, list[int]] = {}
        for messages, _ in turns:
            key = json.dumps(messages)
            if key not in prompts:
                prompts[key] = encode_chat(self.tokenizer, messages)
        return [prompts[json.dumps(messages)] + encode_answer(self.tokenizer, text) for messages, text in turns]

    def _batches(self, places: Sequence[int], encoded: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        batch: list[int] = []
        for place in places:
            # Rows come in order of length, so this one is the longest so far, and all others are padded to it.
            if batch and (len(batch) + 1) * len(encoded[place]) > self.max_batch_tokens:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _probabilities(self, rows: Sequence[list[int]]) -> list[float | None]:
        import torch

        longest = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        device = self.model.device
        try:
            with torch.inference_mode():
                logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        except torch.OutOfMemoryError:
            hint = f"lower max_batch_tokens={self.max_batch_tokens}"
            raise FathomError(f"{self.name} ran out of memory in a batch of {len(rows)}: {hint}") from None
        scores: list[float] = torch.sigmoid(logits[:, 0].float()).tolist()
        return [score if score == score else None for score in scores]  # NaN differs from itself


def _head(name: str, tokenizer: Any) -> dict[str, Any]:
    """Options that turn the base model of an adapter into a classifier; the config of a full classifier has them."""
    if adapter_base(Path(name)) is None:
        return {}
    return {"num_labels": 1, "pad_token_id": tokenizer.pad_token_id}


def _check_trained(name: str, model: Any, missing: Collection[str]) -> None:
    """Raise FathomError unless the model has one output and a trained classification layer (a new one is random)."""
    if model.config.num_labels != 1:
        raise FathomError(f"{name} has {model.config.num_labels} outputs; expected one (num_labels=1)")
    if missing:
        raise FathomError(f"{name} is not a trained classifier: it has no {', '.join(sorted(missing))}")
    has_head = any("modules_to_save" in weight for weight, _ in model.named_parameters())
    if adapter_base(Path(name)) is not None and not has_head:
        raise FathomError(
            f"{name} is an adapter without a classification layer; expected one made by fathom train meta"
        )
