"""Runs a model with vLLM in this process: the `local` engine's work, with paged memory and continuous batching.

    async with VLLMEngine("Qwen/Qwen3-8B", tensor_parallel_size=2, max_model_len=16384) as engine:
        completion = await engine.complete(Request(({"role": "user", "content": "Hello"},)))

Requests go to vLLM's scheduler as they come, so concurrency is a matter of how many are asked at once. Prompts are made
by the checkpoint's own chat template, as the `local` engine makes them.

Not promised: that it works on your GPU. No run on one stands behind this file: it is written to the source of vLLM
0.33 and tested with a stand-in that has its signatures. Nor that a text is independent of its batch, since vLLM's
arithmetic depends on it in the last digits.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Any, Self

from fathom.engines import BaseEngine, Completion, EngineError, Request, TokenLogprob
from fathom.engines.chat import prompt_tokens
from fathom.engines.checkpoints import fingerprint, resolve_checkpoint
from fathom.engines.dialect import FINISH_REASONS, seed_of
from fathom.engines.loading import load_tokenizer
from fathom.engines.usage import Usage
from fathom.errors import FathomError, require

DECIDING = ("quantization", "kv_cache_dtype", "hf_overrides", "tokenizer", "speculative_config")
"""Settings of vLLM that can change what is written, beyond the model and its precision. Part of `identity`."""


class VLLMEngine(BaseEngine):
    """Completes text with the checkpoint `model`: a folder, or a name on the model hub.

    `settings` are any others of vLLM's `AsyncEngineArgs`, such as `tensor_parallel_size`, `gpu_memory_utilization` or
    `max_model_len`. Weights are read from safetensors, unless `load_format` says otherwise.

    Raises FathomError where vLLM is missing, knows no such setting, or cannot start the model.
    """

    provides = frozenset({"text", "logprobs", "prefix"})

    def __init__(
        self,
        model: str | Path,
        *,
        dtype: str = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        **settings: Any,
    ) -> None:
        vllm = require("vllm", "vllm")
        self.name = resolve_checkpoint(model)
        self.revision = revision
        self.settings = settings
        given = {"revision": revision, "trust_remote_code": trust_remote_code}
        self.tokenizer = load_tokenizer(settings.get("tokenizer") or self.name, **given)
        self.engine = _started(vllm, {"load_format": "safetensors"} | settings | given, model=self.name, dtype=dtype)
        self.context: int = self.engine.model_config.max_model_len
        # vLLM's engine belongs to one event loop for good, and callers may come from several, one after another.
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()

    @cached_property
    def identity(self) -> str:
        config = self.engine.model_config
        dtype = str(config.dtype).removeprefix("torch.")
        deciding = json.dumps({name: self.settings[name] for name in DECIDING if name in self.settings}, default=str)
        return f"vllm:{self.name}:{self.revision}:{dtype}:{fingerprint(self.name, self.revision)}:{deciding}"

    async def complete(self, request: Request) -> Completion:
        """Raises EngineError when the prompt does not fit the model, the template refuses it, or vLLM fails."""
        if not self._thread.is_alive():
            raise EngineError("the engine was closed")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._complete(request), self._loop))

    async def _complete(self, request: Request) -> Completion:
        prompt = prompt_tokens(self.tokenizer, request, name=self.name, context=self.context)
        params = _params(request, room=self.context - len(prompt))
        try:
            # vLLM aborts a request whose stream is closed: also when whoever asked has been cancelled.
            async with aclosing(
                self.engine.generate({"prompt_token_ids": list(prompt)}, params, request_id=uuid.uuid4().hex)
            ) as stream:
                [output] = [output async for output in stream]
        except Exception as error:  # vLLM's have no class in common
            hint = "vLLM's log above says more" if getattr(self.engine, "errored", False) else ""
            raise EngineError(f"vLLM failed: {type(error).__name__}: {error}", hint=hint) from error
        return _completion(output.outputs[0], len(prompt), request.sampling.top_logprobs)

    async def close(self) -> None:
        """Ends vLLM's processes and gives the memory back."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.engine.shutdown()
        asyncio.run_coroutine_threadsafe(_others_ended(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _started(vllm: Any, settings: Mapping[str, Any], **model: str) -> Any:
    try:
        arguments = vllm.AsyncEngineArgs(**model, **settings)
    except TypeError as error:
        raise FathomError(f"the engine 'vllm': {error}; it takes the settings of vLLM's AsyncEngineArgs") from None
    try:
        return vllm.AsyncLLMEngine.from_engine_args(arguments)
    except (ValueError, OSError, RuntimeError) as error:
        raise FathomError(f"vLLM cannot start {model['model']}: {error}") from error


def _params(request: Request, room: int) -> Any:
    """`room`: how many tokens fit behind the prompt."""
    vllm = require("vllm.sampling_params", "vllm")
    sampling = request.sampling
    return vllm.SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=min(sampling.max_tokens, room),
        stop=list(sampling.stop),
        seed=seed_of(sampling, request.sample),
        logprobs=sampling.top_logprobs if sampling.logprobs or sampling.top_logprobs else None,
        output_kind=vllm.RequestOutputKind.FINAL_ONLY,
    )


def _completion(output: Any, prompt_tokens: int, top: int) -> Completion:
    if output.finish_reason not in ("stop", "length"):
        raise EngineError(f"vLLM broke the text off: finish_reason {output.finish_reason!r}", retryable=True)
    return Completion(
        text=output.text,
        finish_reason=FINISH_REASONS.get(output.finish_reason, "stop"),
        usage=Usage(prompt_tokens, len(output.token_ids)),
        logprobs=_logprobs(output.token_ids, output.logprobs, top),
    )


def _logprobs(
    tokens: Sequence[int], told: Sequence[Mapping[int, Any]] | None, top: int
) -> tuple[TokenLogprob, ...] | None:
    """`told` has for every place, by token, the one drawn and the `top` most likely ones with their ranks from 1."""
    if told is None:
        return None
    return tuple(
        TokenLogprob(
            here[token].decoded_token or "",
            here[token].logprob,
            tuple(
                (each.decoded_token or "", each.logprob)
                for each in sorted(here.values(), key=lambda each: each.rank)
                if each.rank <= top
            ),
        )
        for token, here in zip(tokens, told, strict=True)
    )


async def _others_ended() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
