"""Runs a causal language model of the `transformers` library in this process, on CPU or GPU.

    engine = LocalEngine("path/to/checkpoint")
    completion = await engine.complete(Request(({"role": "user", "content": "Hello"},), Sampling(max_tokens=20)))

Requests that wait at the same time are run together: sorted by length, cut into batches, one prompt shared by all of
its samples. A request's text depends on the model, the messages, the sampling and the sample number, and not on what
else is in its batch, up to floating point: where two tokens are equally likely to the last digits, another batch may
choose the other one.

Not promised: the throughput of a serving engine with paged memory, or use from several event loops at once.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.engines import BaseEngine, ChatMessage, Completion, EngineError, Request, Sampling, TokenLogprob, control
from fathom.engines.checkpoints import fingerprint, located
from fathom.engines.loading import on_device, placed, reason
from fathom.engines.usage import Usage
from fathom.errors import FathomError, require

if TYPE_CHECKING:
    from fathom.engines.decoding import Tokens, Written

Settle = Callable[[asyncio.Future[Completion], Completion | BaseException], object]


@dataclass(eq=False)
class _Job:
    request: Request
    future: asyncio.Future[Completion]
    prompt: Tokens = field(default=())


class LocalEngine(BaseEngine):
    """Completes text with the checkpoint `model`: a folder, a name on the model hub, or "mini", which is shipped.

    `device`: "auto" is the first GPU where there is one, else the CPU. `dtype`: "auto" is the checkpoint's own on a
    GPU and float32 on the CPU; otherwise a torch name such as "bfloat16". A batch has at most `max_batch` rows and
    at most `max_batch_tokens` tokens, prompts and longest completions together, which bounds the memory of its cache;
    lower it when memory runs out. `max_wait` seconds without a new request start a batch that is not full.

    Weights are read from safetensors only. Raises FathomError when there is no usable checkpoint.
    """

    provides = frozenset({"text", "logprobs"})

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
        self.name = located_checkpoint(model)
        self.revision = revision
        self.max_batch = max_batch
        self.max_batch_tokens = max_batch_tokens
        self.max_wait = max_wait
        self.model, self.tokenizer = _load(self.name, device, dtype, trust_remote_code, revision)
        self.ends = _end_tokens(self.model, self.tokenizer)
        self.context: int = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 2**31
        self._waiting: list[_Job] = []
        self._runner: asyncio.Task[None] | None = None

    @cached_property
    def identity(self) -> str:
        dtype = str(self.model.dtype).removeprefix("torch.")
        return f"local:{self.name}:{dtype}:{fingerprint(self.name, self.revision)}"

    async def complete(self, request: Request) -> Completion:
        """Raises EngineError when the prompt does not fit the model, the template refuses it, or memory runs out."""
        loop = asyncio.get_running_loop()
        job = _Job(request, loop.create_future())
        self._waiting.append(job)
        # An event loop that was closed has left its runner behind, which will never be done.
        if self._runner is None or self._runner.done() or self._runner.get_loop() is not loop:
            self._runner = asyncio.create_task(self._run())
        return await job.future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while await self._gathered():
            jobs = [job for job in self._waiting if not job.future.done()]
            self._waiting = []
            try:
                await asyncio.to_thread(
                    self._work, jobs, lambda future, outcome: loop.call_soon_threadsafe(_settle, future, outcome)
                )
            except Exception as error:  # noqa: BLE001 - all who wait must hear of it, and those who came meanwhile be run
                for job in jobs:
                    _settle(job.future, error)

    async def _gathered(self) -> bool:
        """Waits until requests stop arriving or fill a batch. False when nothing waits."""
        count = 0
        while count < len(self._waiting) < self.max_batch:
            count = len(self._waiting)
            await asyncio.sleep(self.max_wait)
        return bool(self._waiting)

    def _work(self, jobs: list[_Job], settle: Settle) -> None:
        """In the worker thread: everything about a request but its waiting."""
        from torch import OutOfMemoryError

        for batch in self._batches(list(self._encoded(jobs, settle))):
            try:
                self._decode(batch, settle)
            except OutOfMemoryError:
                hint = f"lower max_batch_tokens={self.max_batch_tokens} or max_batch={self.max_batch}"
                error = EngineError(f"{self.name} ran out of memory in a batch of {len(batch)}", hint=hint)
                for job in batch:
                    settle(job.future, error)

    def _decode(self, batch: list[_Job], settle: Settle) -> None:
        from fathom.engines.decoding import Row, decode

        sampling = batch[0].request.sampling
        rows = [Row(job.prompt, f"{sampling.seed}:{job.request.sample}".encode()) for job in batch]
        says_stop = partial(self._says_stop, sampling.stop) if sampling.stop else None
        for finished in decode(self.model, rows, sampling, ends=self.ends, context=self.context, says_stop=says_stop):
            for index, written in finished:
                settle(batch[index].future, self._completion(batch[index], written))
            if all(job.future.cancelled() for job in batch):
                return

    def _encoded(self, jobs: list[_Job], settle: Settle) -> Iterator[_Job]:
        """The jobs with their prompts' tokens; those without a usable prompt get their error instead."""
        known: dict[str, Tokens | EngineError] = {}
        for job in jobs:
            key = json.dumps(job.request.messages)
            if key not in known:
                try:
                    known[key] = prompt_tokens(
                        self.tokenizer, job.request.messages, name=self.name, context=self.context
                    )
                except EngineError as error:
                    known[key] = error
            prompt = known[key]
            if isinstance(prompt, EngineError):
                settle(job.future, prompt)
            else:
                job.prompt = prompt
                yield job

    def _batches(self, jobs: list[_Job]) -> Iterator[list[_Job]]:
        """Rows of one sampling, of similar length, samples of one prompt side by side."""
        by_sampling: dict[Sampling, list[_Job]] = {}
        for job in jobs:
            by_sampling.setdefault(job.request.sampling, []).append(job)
        for sampling, group in by_sampling.items():
            group.sort(key=lambda job: (len(job.prompt), job.prompt))
            batch: list[_Job] = []
            for job in group:
                # Sorted, so this row is the longest of the batch so far and the others are padded to it.
                longest = min(len(job.prompt) + sampling.max_tokens, self.context)
                if batch and (len(batch) == self.max_batch or (len(batch) + 1) * longest > self.max_batch_tokens):
                    yield batch
                    batch = []
                batch.append(job)
            yield batch

    def _says_stop(self, stops: tuple[str, ...], rows: list[list[int]]) -> list[bool]:
        # Every token is a byte or more, but special ones are skipped: a few more than the longest stop string has.
        tail = max(len(stop.encode()) for stop in stops) + 8
        texts = self.tokenizer.batch_decode([row[-tail:] for row in rows], skip_special_tokens=True)
        return [any(stop in text for stop in stops) for text in texts]

    def _completion(self, job: _Job, written: Written) -> Completion:
        text = self.tokenizer.decode(written.tokens, skip_special_tokens=True)
        cuts = [at for stop in job.request.sampling.stop if (at := text.find(stop)) >= 0]
        return Completion(
            text=text[: min(cuts)] if cuts else text,
            finish_reason="stop" if written.ended else "length",
            usage=Usage(len(job.prompt), len(written.tokens)),
            logprobs=self._logprobs(written),
        )

    def _logprobs(self, written: Written) -> tuple[TokenLogprob, ...] | None:
        """Of every token written, the end token and the tokens of a stop string included."""
        if written.logprobs is None:
            return None
        tops = written.top or [[] for _ in written.tokens]
        seen = list({*written.tokens, *(token for top in tops for token, _ in top)})
        texts = dict(zip(seen, self.tokenizer.batch_decode([[token] for token in seen]), strict=True))
        return tuple(
            TokenLogprob(texts[token], logprob, tuple((texts[other], likely) for other, likely in top))
            for token, logprob, top in zip(written.tokens, written.logprobs, tops, strict=True)
        )


def prompt_tokens(tokenizer: Any, messages: Sequence[ChatMessage], *, name: str, context: int) -> Tokens:
    """A prompt for the model `name`, which reads `context` tokens. Raises EngineError for one that does not fit."""
    from jinja2 import TemplateError

    try:
        prompt = tuple(encode_chat(tokenizer, messages))
    except TemplateError as error:
        raise EngineError(f"the chat template of {name} refuses these messages: {error}") from error
    if not prompt:
        raise EngineError("the prompt is empty")
    if len(prompt) >= context:
        message = f"the prompt has {len(prompt)} tokens; {name} reads {context}, answer included"
        raise EngineError(message, hint="shorten the responses or take a model with a longer context")
    return prompt


def encode_chat(tokenizer: Any, messages: Sequence[ChatMessage]) -> list[int]:
    """The tokens of a prompt, ready for the answer.

    Rendering and tokenising are one step, so that the begin token the template writes is not added again. A tokenizer
    without a chat template (a base model's) gets the contents, an empty line after each, and its own begin token.
    Control tokens are the template's alone: those in a message's content stay text.
    """
    messages = without_control(tokenizer, messages)
    if tokenizer.chat_template is None:
        tokens: list[int] = tokenizer("".join(f"{message['content']}\n\n" for message in messages))["input_ids"]
        return tokens
    tokens = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=True, return_dict=False)
    return tokens


def without_control(tokenizer: Any, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages, with what this tokenizer would take for control tokens in their contents broken by a space."""
    tokens = _control_tokens(tokenizer, str(tokenizer.chat_template), len(tokenizer))
    return [{"role": message["role"], "content": control.broken(message["content"], tokens)} for message in messages]


@lru_cache(maxsize=16)
def _control_tokens(tokenizer: Any, template: str, _size: int) -> re.Pattern[str]:
    """Special tokens, and marks such as `<tool_call>` that the chat template writes but that are not called special.

    Other added tokens, such as runs of spaces and Gemma's HTML tags, are ordinary text.
    """
    added = {str(token): token.special for token in tokenizer.added_tokens_decoder.values()}
    marks = [text for text, special in added.items() if special or (text[:1] in "<[" and text in template)]
    return control.pattern(text for text in [*marks, *tokenizer.all_special_tokens] if text.strip())


def _settle(future: asyncio.Future[Completion], outcome: Completion | BaseException) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def located_checkpoint(model: str | Path) -> str:
    """The absolute folder of a checkpoint, or the name unchanged where it can only be one on the hub.

    A shipped model goes by its name: "mini" is the folder inside the package.
    """
    model = model if isinstance(model, Path) else located(model)
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists() and not (folder / "adapter_config.json").exists():
            raise FathomError(f"{folder} is no checkpoint: it holds neither config.json nor adapter_config.json")
        if (folder / "adapter_config.json").exists() and not (folder / "adapter_model.safetensors").exists():
            raise FathomError(f"{folder} holds an adapter without adapter_model.safetensors; save it as safetensors")
        return str(folder.resolve())
    if (
        isinstance(model, Path)
        or folder.is_absolute()
        or str(model).startswith((".", "~"))
        or str(model).count("/") > 1
    ):
        raise FathomError(f"there is no folder {folder}; give a checkpoint's folder, or a name on the model hub")
    return model


def _load(name: str, device: str, dtype: str, trust_remote_code: bool, revision: str | None) -> tuple[Any, Any]:
    transformers = require("transformers", "local")
    device, dtype = placed(device, dtype)
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    options = {"trust_remote_code": trust_remote_code, "revision": revision}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **options)
        model = transformers.AutoModelForCausalLM.from_pretrained(name, dtype=dtype, use_safetensors=True, **options)
    except Exception as error:  # damaged files raise whatever the library that reads them likes
        raise FathomError(f"cannot load {name} as a causal language model: {reason(error)}") from error
    return on_device(model, device, name), tokenizer


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(end for end in (*ends, tokenizer.eos_token_id) if end is not None)
