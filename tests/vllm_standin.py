"""What `fathom.engines.vllm` uses of vLLM 0.33, with its names and signatures, over a small model on the CPU.

    monkeypatch.setitem(sys.modules, "vllm", vllm_standin)

Every request is decoded by itself, a token a turn of the event loop, as vLLM's scheduler would give its turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch


class RequestOutputKind(Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: list[str] | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE


@dataclass
class AsyncEngineArgs:
    model: str = ""
    tokenizer: str | None = None
    dtype: str = "auto"
    revision: str | None = None
    trust_remote_code: bool = False
    load_format: str = "auto"
    max_model_len: int | None = None
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    quantization: str | None = None


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput]
    finished: bool


class VLLMServerError(Exception):
    pass


@dataclass
class AsyncLLMEngine:
    """`aborted`: the requests that were given up. `most`: the most at once. `steps`: the tokens drawn."""

    model: Any
    tokenizer: Any
    model_config: Any
    aborted: list[str] = field(default_factory=list)
    running: int = 0
    most: int = 0
    steps: int = 0
    errored: bool = False

    @classmethod
    def from_engine_args(cls, engine_args: AsyncEngineArgs) -> AsyncLLMEngine:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if engine_args.tensor_parallel_size > 1:
            raise RuntimeError("no GPU")
        model = AutoModelForCausalLM.from_pretrained(engine_args.model, dtype=torch.float32).eval()
        config = ModelConfig(
            engine_args.max_model_len or model.config.max_position_embeddings, torch.float32, model.config
        )
        return cls(model, AutoTokenizer.from_pretrained(engine_args.tokenizer or engine_args.model), config)

    async def generate(
        self, prompt: Mapping[str, list[int]], sampling_params: SamplingParams, request_id: str
    ) -> AsyncGenerator[RequestOutput, None]:
        assert sampling_params.output_kind is RequestOutputKind.FINAL_ONLY
        if self.errored:
            raise VLLMServerError("EngineCore encountered an issue")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            output = await self._decoded(prompt["prompt_token_ids"], sampling_params)
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted.append(request_id)
            raise
        finally:
            self.running -= 1
        read = None if sampling_params.prompt_logprobs is None else self._read(prompt["prompt_token_ids"])
        yield RequestOutput(request_id, prompt["prompt_token_ids"], read, [output], finished=True)

    def _read(self, prompt: list[int]) -> list[dict[int, Logprob] | None]:
        """The log-probability of each token of a prompt; None for the first, which nothing precedes."""
        with torch.inference_mode():
            logprobs = self.model(torch.tensor([prompt])).logits[0].float().log_softmax(-1)
        return [None, *(self._told(logprobs[at], token, 0) for at, token in enumerate(prompt[1:]))]

    async def _decoded(self, prompt: list[int], params: SamplingParams) -> CompletionOutput:
        assert params.max_tokens is not None
        draws = torch.Generator().manual_seed(params.seed or 0)
        written: list[int] = []
        told: list[dict[int, Logprob]] = []
        for _ in range(params.max_tokens):
            await asyncio.sleep(0)
            self.steps += 1
            with torch.inference_mode():
                logprobs = self.model(torch.tensor([[*prompt, *written]])).logits[0, -1].float().log_softmax(-1)
            token = self._drawn(logprobs, params, draws)
            written.append(token)
            told.append(self._told(logprobs, token, params.logprobs or 0))
            text = self.tokenizer.decode(written, skip_special_tokens=True)
            stops = [at for stop in params.stop or () if (at := text.find(stop)) >= 0]
            if stops or token == self.tokenizer.eos_token_id:
                return self._output(text[: min(stops)] if stops else text, written, told, params, "stop")
        return self._output(text, written, told, params, "length")

    def _drawn(self, logprobs: torch.Tensor, params: SamplingParams, draws: torch.Generator) -> int:
        if params.temperature == 0:
            return int(logprobs.argmax())
        return int(torch.multinomial((logprobs / params.temperature).softmax(-1), 1, generator=draws))

    def _told(self, logprobs: torch.Tensor, token: int, count: int) -> dict[int, Logprob]:
        """The drawn token first, then the most likely ones, as `append_logprobs_for_next_position` puts them."""
        rank = 1 + int((logprobs > logprobs[token]).sum())
        likely = [int(other) for other in logprobs.topk(count).indices] if count else []
        ranked = [(token, rank), *((other, place) for place, other in enumerate(likely, 1))]
        return {each: Logprob(float(logprobs[each]), place, self.tokenizer.decode([each])) for each, place in ranked}

    def _output(
        self, text: str, written: list[int], told: list[dict[int, Logprob]], params: SamplingParams, reason: str
    ) -> CompletionOutput:
        total = sum(here[token].logprob for token, here in zip(written, told, strict=True))
        logprobs = None if params.logprobs is None else told
        return CompletionOutput(0, text, written, total, logprobs, reason)

    def shutdown(self, timeout: float | None = None) -> None:
        self.errored = True


@dataclass
class ModelConfig:
    max_model_len: int
    dtype: torch.dtype
    hf_config: Any
