"""Runs a model of the `transformers` library in this process, on CPU or GPU.

    engine = LocalEngine("path/to/checkpoint")
    completion = await engine.complete(Request(({"role": "user", "content": "Hello"},), Sampling(max_tokens=20)))

    likelihood = await engine.likelihood(LikelihoodRequest(({"role": "user", "content": "Hello"},), "Hi."))

A causal language model completes and reads texts. A sequence classifier, such as a scalar reward model, classifies. A
token classifier or another process reward model scores steps.

Concurrent requests are sorted by length and cut into batches; all samples of a prompt share its prefill. A completion
depends on the model, the messages, the sampling settings and the sample number. It does not depend on the other
requests in its batch, up to floating-point rounding: if two tokens are almost equally likely, the choice may change
with the batch.

Not guaranteed: the throughput of a serving engine with paged memory, or use from several event loops at once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fathom.engines import (
    Answer,
    AnyRequest,
    BaseEngine,
    Capability,
    Classification,
    ClassifyRequest,
    Completion,
    EngineError,
    Likelihood,
    LikelihoodRequest,
    ReadingRequest,
    Request,
    Sampling,
    States,
    StatesRequest,
    StepRequest,
    StepScores,
    TokenLogprob,
    check_request,
)
from fathom.engines.batching import Batcher, Job, length_batches
from fathom.engines.chat import Tokens, decode_answer, prompt_tokens
from fathom.engines.checkpoints import fingerprint, resolve_checkpoint
from fathom.engines.heads import fetch_config, is_classifier, is_encoder, load_classifier
from fathom.engines.loading import CAUSAL, Loaded, context_length, load
from fathom.engines.step_heads import load_step_model, step_head
from fathom.engines.usage import Usage
from fathom.errors import FathomError

if TYPE_CHECKING:
    from fathom.engines.decoding import Written
    from fathom.engines.local_readings import Reader


@dataclass(eq=False)
class _Prompted:
    """A request and the tokens of its prompt."""

    job: Job[AnyRequest, Answer]
    request: Request
    prompt: Tokens


CAUSAL_PROVIDES: frozenset[Capability] = frozenset(
    {"text", "logprobs", "prefix", "likelihood", "soft_values", "hidden_states", "steps"}
)
CLASSIFIER_PROVIDES: frozenset[Capability] = frozenset({"classification", "hidden_states"})
ENCODER_PROVIDES: frozenset[Capability] = frozenset({"classification"})
STEPS_PROVIDES: frozenset[Capability] = frozenset({"steps", "hidden_states"})


def local_capabilities(name: str) -> frozenset[Capability]:
    """The capabilities of the local engine with a checkpoint, without loading its weights."""
    if is_classifier(name):
        return CLASSIFIER_PROVIDES
    return STEPS_PROVIDES if step_head(name) else CAUSAL_PROVIDES


def _loaded(name: str, **options: Any) -> Loaded:
    if is_classifier(name):
        return load_classifier(name, **options)
    kind = step_head(name)
    return load_step_model(name, kind, **options) if kind else load(name, CAUSAL, **options)


class LocalEngine(BaseEngine):
    """Completes text with the checkpoint `model`: a folder, a name on the model hub, or "mini", the shipped model.

    `device`: "auto" is the first GPU if there is one, else the CPU. `dtype`: "auto" is the checkpoint's own on a GPU
    and float32 on the CPU; otherwise the name of a torch type such as "bfloat16". A batch has at most `max_batch` rows
    and `max_batch_tokens` tokens, counting prompts and the longest possible completions, which bounds the memory of
    the key-value cache; lower it if memory runs out. A batch that is not full starts after `max_wait` seconds without a
    new request.

    Weights are read from safetensors only. Raises FathomError if there is no usable checkpoint.
    """

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
        self.placement = {"device": device, "dtype": dtype}
        """As given: a model beside this one is opened with the same."""
        self.revision = revision
        self.max_batch = max_batch
        self.max_batch_tokens = max_batch_tokens
        fetch_config(self.name)
        self.provides = local_capabilities(self.name)
        loaded = _loaded(self.name, device=device, dtype=dtype, trust_remote_code=trust_remote_code, revision=revision)
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        _check_head(self.name, self.model, loaded.missing)
        if is_encoder(self.model):
            self.provides = ENCODER_PROVIDES
        self.ends = _end_tokens(self.model, self.tokenizer)
        self.context = context_length(self.model.config, self.tokenizer)
        self._batcher = Batcher(self._work, max_wait=max_wait, full=max_batch)

    @cached_property
    def identity(self) -> str:
        dtype = str(self.model.dtype).removeprefix("torch.")
        return f"local:{self.name}:{dtype}:{fingerprint(self.name, self.revision)}"

    async def complete(self, request: Request) -> Completion:
        """Complete a request. Raises EngineError if the prompt is refused or too long, or memory runs out."""
        check_request(self, "text")
        return cast(Completion, await self._batcher(request))

    async def likelihood(self, request: LikelihoodRequest) -> Likelihood:
        """The log-probabilities of a given answer. Raises EngineError for a text that is empty or too long."""
        check_request(self, "likelihood")
        return cast(Likelihood, await self._batcher(request))

    async def classify(self, request: ClassifyRequest) -> Classification:
        """The raw outputs of a sequence classifier. Raises EngineError for a text that is too long."""
        check_request(self, "classification")
        return cast(Classification, await self._batcher(request))

    async def states(self, request: StatesRequest) -> States:
        """Pooled hidden states. Raises EngineError for a text that is empty or too long."""
        return cast(States, await self._batcher(request))

    async def steps(self, request: StepRequest) -> StepScores:
        """The scores of a solution's steps; None for those beyond the context."""
        check_request(self, "steps")
        return cast(StepScores, await self._batcher(request))

    @cached_property
    def _reader(self) -> Reader:
        from fathom.engines.forward import batch_tokens
        from fathom.engines.local_readings import Reader

        most = min(self.max_batch_tokens, batch_tokens(self.model.device))
        return Reader(self.model, self.tokenizer, name=self.name, context=self.context, max_batch_tokens=most)

    def _work(self, jobs: Sequence[Job[AnyRequest, Answer]]) -> None:
        """Answer all jobs, in the worker thread."""
        live = [job for job in jobs if not job.cancelled]
        self._read([job for job in live if isinstance(job.item, ReadingRequest)])
        for batch in self._batches(list(self._encoded([job for job in live if isinstance(job.item, Request)]))):
            with self._enough_memory([each.job for each in batch]):
                self._decode(batch)

    def _read(self, jobs: Sequence[Job[AnyRequest, Answer]]) -> None:
        with self._enough_memory(jobs):
            for place, reading in self._reader.read([cast(ReadingRequest, job.item) for job in jobs]):
                jobs[place].settle(reading)

    @contextmanager
    def _enough_memory(self, jobs: Sequence[Job[AnyRequest, Answer]]) -> Iterator[None]:
        """Settle the jobs with an error if memory runs out; those that are settled keep their answers."""
        from torch import OutOfMemoryError

        try:
            yield
        except OutOfMemoryError:
            hint = f"lower max_batch_tokens={self.max_batch_tokens} or max_batch={self.max_batch}"
            error = EngineError(f"{self.name} ran out of memory in a batch of {len(jobs)}", hint=hint)
            for job in jobs:
                job.settle(error)

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

    def _encoded(self, jobs: list[Job[AnyRequest, Answer]]) -> Iterator[_Prompted]:
        """The jobs with the tokens of their prompts. Jobs without a usable prompt are settled with an error."""
        known: dict[str, Tokens | EngineError] = {}
        for job in jobs:
            request = cast(Request, job.item)
            key = json.dumps((request.messages, request.prefix))
            if key not in known:
                try:
                    known[key] = prompt_tokens(self.tokenizer, request, name=self.name, context=self.context)
                except EngineError as error:
                    known[key] = error
            prompt = known[key]
            if isinstance(prompt, EngineError):
                job.settle(prompt)
            else:
                yield _Prompted(job, request, prompt)

    def _batches(self, jobs: list[_Prompted]) -> Iterator[list[_Prompted]]:
        """Batches of rows with equal sampling settings and similar length; samples of one prompt are adjacent."""
        by_sampling: dict[Sampling, list[_Prompted]] = {}
        for each in jobs:
            by_sampling.setdefault(each.request.sampling, []).append(each)
        for sampling, group in by_sampling.items():
            group.sort(key=lambda each: (len(each.prompt), each.prompt))
            longest = partial(self._longest, sampling)
            yield from length_batches(group, longest, max_rows=self.max_batch, max_tokens=self.max_batch_tokens)

    def _longest(self, sampling: Sampling, prompted: _Prompted) -> int:
        """The number of tokens of a prompt with the longest possible completion."""
        return min(len(prompted.prompt) + sampling.max_tokens, self.context)

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


def _check_head(name: str, model: Any, missing: Collection[str]) -> None:
    """Raise FathomError for a language model whose output layer is in no file: it would be random."""
    layer = model.get_output_embeddings()
    own = [weight for weight, value in model.named_parameters() if layer is not None and value is layer.weight]
    if set(own) & set(missing):
        raise FathomError(
            f"{name} has no weights of the output layer ({', '.join(own)}), so it is no language model; expected a "
            "causal language model, or a sequence classifier, whose config.json has ...ForSequenceClassification "
            "among its architectures"
        )


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    if getattr(model, "generation_config", None) is None:  # a classifier
        return frozenset()
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(end for end in (*ends, tokenizer.eos_token_id) if end is not None)
