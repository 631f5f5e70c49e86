"""Runs a model with vLLM in this process: like the `local` engine, with paged memory and continuous batching.

    async with VLLMEngine("Qwen/Qwen3-8B", tensor_parallel_size=2, max_model_len=16384) as engine:
        completion = await engine.complete(Request(({"role": "user", "content": "Hello"},)))

Requests are passed to vLLM's scheduler as they arrive. Prompts are rendered by the checkpoint's own chat template, as
in the `local` engine.

Not tested on a GPU: this module was written against the source of vLLM 0.33 and tested with a fake that has the same
signatures. Not guaranteed: that a completion is independent of its batch, because vLLM's floating-point rounding
depends on it.
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

from fathom.engines import (
    BaseEngine,
    Completion,
    EngineError,
    Likelihood,
    LikelihoodRequest,
    Request,
    TokenLogprob,
    check_request,
)
from fathom.engines.chat import Tokens, encode_given, prompt_tokens
from fathom.engines.checkpoints import fingerprint, resolve_checkpoint
from fathom.engines.dialect import FINISH_REASONS, seed_of
from fathom.engines.guards import Guards
from fathom.engines.loading import load_tokenizer
from fathom.engines.usage import Usage
from fathom.errors import FathomError, require

DECIDING = ("quantization", "kv_cache_dtype", "hf_overrides", "tokenizer", "speculative_config")
"""Settings of vLLM, beyond the model and its precision, that can change completions. Part of `identity`."""


class VLLMEngine(BaseEngine):
    """Completes and scores text with the checkpoint `model`: a folder, or a name on the model hub.

    `settings`: other fields of vLLM's `AsyncEngineArgs`, such as `tensor_parallel_size`, `gpu_memory_utilization` or
    `max_model_len`. Weights are read from safetensors, unless `load_format` is set.

    Raises FathomError if vLLM is not installed, does not know a setting, or cannot start the model.
    """

    provides = frozenset({"text", "logprobs", "prefix", "likelihood"})

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
        self.guards = Guards(self.name)
        self.context: int = self.engine.model_config.max_model_len
        # vLLM's engine is bound to one event loop, but callers may use several, so it gets a loop in its own thread.
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
        """Complete a request. Raises EngineError if the prompt is refused or too long, or vLLM fails."""
        prompt = prompt_tokens(self.tokenizer, request, name=self.name, context=self.context)
        output = await self._generate(prompt, _params(request, room=self.context - len(prompt)))
        return _completion(output.outputs[0], len(prompt), request.sampling.top_logprobs)

    async def likelihood(self, request: LikelihoodRequest) -> Likelihood:
        """The log-probabilities of a given answer, from vLLM's `prompt_logprobs`.

        Raises EngineError for a text that is empty or too long, and if vLLM fails; FathomError for soft values.
        """
        if request.soft_values is not None:
            check_request(self, "soft_values")
        prompt, answer = encode_given(self.tokenizer, request)
        self.guards.begin(prompt, self.tokenizer.bos_token_id)
        # One token is generated and ignored, because vLLM generates at least one.
        if (count := len(prompt) + len(answer)) >= self.context:
            message = f"the text has {count} tokens; {self.name} has a context of {self.context}, one more included"
            raise EngineError(message, hint="shorten the text or use a model with a longer context", kind="text")
        output = await self._generate((*prompt, *answer), _prompt_params())
        read = output.prompt_logprobs[len(prompt) :]
        logprobs = tuple(position[token].logprob for position, token in zip(read, answer, strict=True))
        texts = tuple(self.tokenizer.batch_decode([[token] for token in answer]))
        return Likelihood(texts, logprobs, usage=Usage(count))

    async def _generate(self, prompt: Tokens, params: Any) -> Any:
        """vLLM's final output. Its engine works in a loop of its own."""
        if not self._thread.is_alive():
            raise EngineError("the engine was closed")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._generated(prompt, params), self._loop))

    async def _generated(self, prompt: Tokens, params: Any) -> Any:
        try:
            # Closing the stream aborts the request in vLLM, also if the caller was cancelled.
            async with aclosing(
                self.engine.generate({"prompt_token_ids": list(prompt)}, params, request_id=uuid.uuid4().hex)
            ) as stream:
                [output] = [output async for output in stream]
        except Exception as error:  # vLLM's errors have no common base class
            hint = "see vLLM's log above" if getattr(self.engine, "errored", False) else ""
            raise EngineError(f"vLLM failed: {type(error).__name__}: {error}", hint=hint) from error
        return output

    async def close(self) -> None:
        """End vLLM's processes and free their memory."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.engine.shutdown()
        asyncio.run_coroutine_threadsafe(_cancel_other_tasks(), self._loop).result()
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
    """vLLM's sampling parameters. `room`: how many tokens the context leaves after the prompt."""
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


def _prompt_params() -> Any:
    """Parameters that read a prompt: 0 asks for the log-probability of each of its tokens, and for no other token's."""
    vllm = require("vllm.sampling_params", "vllm")
    kind = vllm.RequestOutputKind.FINAL_ONLY
    return vllm.SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, output_kind=kind)


def _completion(output: Any, prompt_tokens: int, top: int) -> Completion:
    if output.finish_reason not in ("stop", "length"):
        raise EngineError(f"vLLM aborted the request: finish_reason {output.finish_reason!r}", retryable=True)
    return Completion(
        text=output.text,
        finish_reason=FINISH_REASONS.get(output.finish_reason, "stop"),
        usage=Usage(prompt_tokens, len(output.token_ids)),
        logprobs=_logprobs(output.token_ids, output.logprobs, top),
    )


def _logprobs(
    tokens: Sequence[int], positions: Sequence[Mapping[int, Any]] | None, top: int
) -> tuple[TokenLogprob, ...] | None:
    """`positions`: at each position, the drawn token and the `top` most likely ones, with ranks from 1."""
    if positions is None:
        return None
    return tuple(
        TokenLogprob(
            candidates[token].decoded_token or "",
            candidates[token].logprob,
            tuple(
                (candidate.decoded_token or "", candidate.logprob)
                for candidate in sorted(candidates.values(), key=lambda candidate: candidate.rank)
                if candidate.rank <= top
            ),
        )
        for token, candidates in zip(tokens, positions, strict=True)
    )


async def _cancel_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
