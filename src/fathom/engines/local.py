"""Runs a causal language model of the `transformers` library in this process, on CPU or GPU.

    engine = LocalEngine("path/to/checkpoint")
    completion = await engine.complete(Request(({"role": "user", "content": "Hello"},), Sampling(max_tokens=20)))

Concurrent requests are sorted by length and cut into batches; all samples of a prompt share its prefill. A completion
depends on the model, the messages, the sampling settings and the sample number. It does not depend on the other
requests in its batch, up to floating-point rounding: if two tokens are almost equally likely, the choice may change
with the batch.

Not guaranteed: the throughput of a serving engine with paged memory, or use from several event loops at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.engines import BaseEngine, Completion, EngineError, Request, Sampling, TokenLogprob
from fathom.engines.batching import Batcher, Job
from fathom.engines.chat import Tokens, decode_answer, prompt_tokens
from fathom.engines.checkpoints import fingerprint, resolve_checkpoint
from fathom.engines.loading import CAUSAL, load
from fathom.engines.usage import Usage

if TYPE_CHECKING:
    from fathom.engines.decoding import Written


@dataclass(eq=False)
class _Prompted:
    """A request and the tokens of its prompt."""

    job: Job[Request, Completion]
    prompt: Tokens

    @property
    def request(self) -> Request:
        return self.job.item


class LocalEngine(BaseEngine):
    """Completes text with the checkpoint `model`: a folder, a name on the model hub, or "mini", the shipped model.

    `device`: "auto" is the first GPU if there is one, else the CPU. `dtype`: "auto" is the checkpoint's own on a GPU
    and float32 on the CPU; otherwise the name of a torch type such as "bfloat16". A batch has at most `max_batch` rows
    and `max_batch_tokens` tokens, counting prompts and the longest possible completions, which bounds the memory of
    the key-value cache; lower it if memory runs out. A batch that is not full starts after `max_wait` seconds without a
    new request.

    Weights are read from safetensors only. Raises FathomError if there is no usable checkpoint.
    """

    provides = frozenset({"text", "logprobs", "prefix"})

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        max_batch: int = 128,
        max_batch_tokens: int = 2**17,
        max_wait: float = 0.005,
        trust_remote_code: bool = False,
        revision: str | None = None,
    ) -> None:
        self.name = resolve_checkpoint(model)
        self.revision = revision
        self.max_batch = max_batch
        self.max_batch_tokens = max_batch_tokens
        self.model, self.tokenizer, _ = load(
            self.name, CAUSAL, device=device, dtype=dtype, trust_remote_code=trust_remote_code, revision=revision
        )
        self.ends = _end_tokens(self.model, self.tokenizer)
        self.context: int = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 2**31
        self._batcher = Batcher(self._work, max_wait=max_wait, full=max_batch)

    @cached_property
    def identity(self) -> str:
        dtype = str(self.model.dtype).removeprefix("torch.")
        return f"local:{self.name}:{dtype}:{fingerprint(self.name, self.revision)}"

    async def complete(self, request: Request) -> Completion:
        """Complete a request. Raises EngineError if the prompt is refused or too long, or memory runs out."""
        return await self._batcher(request)

    def _work(self, jobs: Sequence[Job[Request, Completion]]) -> None:
        """Complete all jobs, in the worker thread."""
        from torch import OutOfMemoryError

        for batch in self._batches(list(self._encoded([job for job in jobs if not job.cancelled]))):
            try:
                self._decode(batch)
            except OutOfMemoryError:
                hint = f"lower max_batch_tokens={self.max_batch_tokens} or max_batch={self.max_batch}"
                error = EngineError(f"{self.name} ran out of memory in a batch of {len(batch)}", hint=hint)
                for each in batch:
                    each.job.settle(error)

    def _decode(self, batch: list[_Prompted]) -> None:
        from fathom.engines.decoding import Row, decode

        sampling = batch[0].request.sampling
        rows = [Row(each.prompt, f"{sampling.seed}:{each.request.sample}".encode()) for each in batch]
        hits_stop = partial(self._hits_stop, sampling.stop) if sampling.stop else None
        for finished in decode(self.model, rows, sampling, ends=self.ends, context=self.context, hits_stop=hits_stop):
            for index, written in finished:
                batch[index].job.settle(self._completion(batch[index], written))
            if all(each.job.cancelled for each in batch):
                return

    def _encoded(self, jobs: list[Job[Request, Completion]]) -> Iterator[_Prompted]:
        """The jobs with the tokens of their prompts. Jobs without a usable prompt are settled with an error."""
        known: dict[str, Tokens | EngineError] = {}
        for job in jobs:
            key = json.dumps((job.item.messages, job.item.prefix))
            if key not in known:
                try:
                    known[key] = prompt_tokens(self.tokenizer, job.item, name=self.name, context=self.context)
                except EngineError as error:
                    known[key] = error
            prompt = known[key]
            if isinstance(prompt, EngineError):
                job.settle(prompt)
            else:
                yield _Prompted(job, prompt)

    def _batches(self, jobs: list[_Prompted]) -> Iterator[list[_Prompted]]:
        """Batches of rows with equal sampling settings and similar length; samples of one prompt are adjacent."""
        by_sampling: dict[Sampling, list[_Prompted]] = {}
        for each in jobs:
            by_sampling.setdefault(each.request.sampling, []).append(each)
        for sampling, group in by_sampling.items():
            group.sort(key=lambda each: (len(each.prompt), each.prompt))
            batch: list[_Prompted] = []
            for each in group:
                # Sorted, so this row is the longest of the batch so far and the others are padded to it.
                longest = min(len(each.prompt) + sampling.max_tokens, self.context)
                if batch and (len(batch) == self.max_batch or (len(batch) + 1) * longest > self.max_batch_tokens):
                    yield batch
                    batch = []
                batch.append(each)
            yield batch

    def _hits_stop(self, stops: tuple[str, ...], rows: list[list[int]]) -> list[bool]:
        # Each token is at least one byte, so this many tokens contain any stop string. The 8 more allow for special
        # tokens, which decode to nothing.
        tail = max(len(stop.encode()) for stop in stops) + 8
        texts = self.tokenizer.batch_decode([row[-tail:] for row in rows], skip_special_tokens=True)
        return [any(stop in text for stop in stops) for text in texts]

    def _completion(self, prompted: _Prompted, written: Written) -> Completion:
        text = decode_answer(self.tokenizer, prompted.request.prefix, written.tokens)
        cuts = [at for stop in prompted.request.sampling.stop if (at := text.find(stop)) >= 0]
        return Completion(
            text=text[: min(cuts)] if cuts else text,
            finish_reason="stop" if written.ended else "length",
            usage=Usage(len(prompted.prompt), len(written.tokens)),
            logprobs=self._logprobs(written),
        )

    def _logprobs(self, written: Written) -> tuple[TokenLogprob, ...] | None:
        """Log-probabilities of all generated tokens, including the end token and those of a stop string."""
        if written.logprobs is None:
            return None
        tops = written.top or [[] for _ in written.tokens]
        seen = list({*written.tokens, *(token for top in tops for token, _ in top)})
        texts = dict(zip(seen, self.tokenizer.batch_decode([[token] for token in seen]), strict=True))
        return tuple(
            TokenLogprob(texts[token], logprob, tuple((texts[other], likely) for other, likely in top))
            for token, logprob, top in zip(written.tokens, written.logprobs, tops, strict=True)
        )


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(end for end in (*ends, tokenizer.eos_token_id) if end is not None)
