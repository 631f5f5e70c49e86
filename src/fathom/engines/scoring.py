"""Scores answers with a sequence classifier of the `transformers` library: the probability that an answer is correct.

    scorer = Scorer("path/to/checkpoint")
    [probability] = await scorer.score([(({"role": "user", "content": "2 + 2?"},), "4")])

The classifier has one output, whose sigmoid is the probability. Its input is the prompt as an engine would receive it,
the answer and the end token, exactly the tokens that `fathom.train.meta` trains on. Concurrent requests are batched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from math import exp, isfinite
from pathlib import Path

from fathom.engines import ChatMessage
from fathom.engines.batching import Batcher, Job
from fathom.engines.chat import Tokens, encode_answer, encode_chat
from fathom.engines.checkpoints import fingerprint, resolve_checkpoint
from fathom.engines.heads import load_classifier
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
        self.model, self.tokenizer, _ = load_classifier(self.name, device=device, dtype=dtype)
        if self.model.config.num_labels != 1:
            raise FathomError(f"{self.name} has {self.model.config.num_labels} outputs; expected one (num_labels=1)")
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
        outputs = self._outputs([encoded[place] for place in fitting])
        for place, [output] in zip(fitting, outputs, strict=True):
            scores[place] = 1 / (1 + exp(-output)) if isfinite(output) else None
        return scores

    def _outputs(self, texts: Sequence[Tokens]) -> list[list[float]]:
        from torch import OutOfMemoryError

        from fathom.engines.local_readings import Reader

        limits = {"context": self.context, "max_batch_tokens": self.max_batch_tokens}
        try:
            return Reader(self.model, self.tokenizer, name=self.name, **limits).outputs(texts)
        except OutOfMemoryError:
            hint = f"lower max_batch_tokens={self.max_batch_tokens}"
            raise FathomError(f"{self.name} ran out of memory in a batch of {len(texts)} texts: {hint}") from None

    def _encoded(self, turns: Sequence[Turn]) -> list[Tokens]:
        """The tokens of each turn. Votes share prompts, so each distinct prompt is encoded once."""
        prompts: dict[str, list[int]] = {}
        for messages, _ in turns:
            key = json.dumps(messages)
            if key not in prompts:
                prompts[key] = encode_chat(self.tokenizer, messages)
        return [(*prompts[json.dumps(messages)], *encode_answer(self.tokenizer, text)) for messages, text in turns]
