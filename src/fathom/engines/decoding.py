"""Batched sampling from a causal language model: the loop inside `fathom.engines.local`.

    for finished in decode(model, [Row(prompt=(1, 5, 9), stream=b"0")], Sampling(max_tokens=8), ends={2}, context=512):
        ...                                  # after every token: the rows that it ended, as (index, Written)

Rows with the same prompt share one prefill. A finished row leaves the batch. Every row draws from its own random
stream, so its text does not depend on the other rows, up to floating-point rounding.

Left out: speculative decoding, paged memory and continuous batching. Serving engines have these.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from fathom.engines import Sampling
from fathom.engines.chat import Tokens
from fathom.engines.forward import Forward, Passage, batch_tokens

MIN_ALIVE = 0.75
"""Finished rows stay in the batch until the share of live rows falls below this: dropping rows copies the cache."""


@dataclass(frozen=True, slots=True)
class Row:
    """One text to generate. Its random stream is seeded by the prompt's tokens and `stream`."""

    prompt: Tokens
    stream: bytes = b""


@dataclass(frozen=True, slots=True)
class Written:
    """A generated text. `ended` is False if it reached its token limit. `tokens` includes the end token, if any."""

    tokens: list[int]
    ended: bool
    logprobs: list[float] | None = None
    top: list[list[tuple[int, float]]] | None = None
    """At each position, the most likely tokens with their log-probabilities, best first."""


@dataclass
class _Batch:
    """The state of the rows still in the batch. The first dimension of every tensor is the row.

    In the shapes below, `steps` is the largest number of tokens that any row may generate.
    """

    index: torch.Tensor
    length: torch.Tensor
    """Number of prompt tokens."""
    limit: torch.Tensor
    """Maximum number of tokens to generate."""
    mask: torch.Tensor
    """(rows, padded prompt + steps): 0 at the left padding of the prompt, else 1."""
    noise: torch.Tensor | None
    """(rows, steps), uniform in [0, 1)."""
    tokens: torch.Tensor
    """(rows, steps)."""
    logprobs: torch.Tensor | None
    """(rows, steps)."""
    top: torch.Tensor | None
    """(rows, steps, top_logprobs): tokens."""
    top_logprobs: torch.Tensor | None

    def record(self, step: int, token: torch.Tensor, logits: torch.Tensor) -> None:
        """Store the drawn tokens (rows,) and, if requested, their log-probabilities and alternatives."""
        self.tokens[:, step] = token
        if self.logprobs is None:
            return
        logprobs = logits.log_softmax(-1)
        self.logprobs[:, step] = logprobs.gather(1, token[:, None])[:, 0]
        if self.top is not None and self.top_logprobs is not None:
            self.top_logprobs[:, step], self.top[:, step] = logprobs.topk(self.top.shape[-1])

    def take(self, rows: torch.Tensor) -> None:
        for field in fields(self):
            tensor = getattr(self, field.name)
            setattr(self, field.name, None if tensor is None else tensor[rows])


@torch.inference_mode()
def decode(
    model: Any,
    rows: Sequence[Row],
    sampling: Sampling,
    *,
    ends: Collection[int],
    context: int,
    hits_stop: Callable[[list[list[int]]], list[bool]] | None = None,
) -> Iterator[list[tuple[int, Written]]]:
    """Yield after every step the (index, Written) of the rows that finished in it, until all have.

    `ends`: end tokens. `context`: maximum length of prompt and answer; every prompt must be shorter. `hits_stop` gets
    the generated tokens of each row after each step, and returns which rows end (a hook for stop strings).
    """
    reader = Forward(model, max_batch_tokens=batch_tokens(model.device))
    if sampling.max_tokens == 1 and reader.head_is_known:
        yield _first_tokens(reader, rows, sampling, ends, hits_stop)
        return
    place = {prompt: place for place, prompt in enumerate(dict.fromkeys(row.prompt for row in rows))}
    forward = _Forward(model, reader if _is_precise(reader, sampling) else None)
    logits, mask = forward.prefill(list(place))
    owner = torch.tensor([place[row.prompt] for row in rows], device=mask.device)
    logits = logits[owner]
    batch = _start(rows, sampling, context, mask[owner], vocabulary=logits.shape[-1])
    forward.take(owner)
    end_tokens = torch.tensor(sorted(ends), device=mask.device)
    alive = torch.ones(len(rows), dtype=torch.bool, device=mask.device)
    for step in range(int(batch.limit.max())):
        token = draw(logits, sampling, None if batch.noise is None else batch.noise[:, step])
        batch.record(step, token, logits)
        ended = torch.isin(token, end_tokens)
        if hits_stop is not None:
            ended |= torch.tensor(hits_stop(batch.tokens[:, : step + 1].tolist()), device=ended.device)
        done = alive & (ended | (batch.limit <= step + 1))
        if done.any():
            yield _written(batch, done, ended, step + 1)
            alive &= ~done
            if not alive.any():
                return
            if alive.float().mean() < MIN_ALIVE:
                kept = alive.nonzero()[:, 0]
                batch.take(kept)
                forward.take(kept)
                token, alive = token[kept], alive[kept]
        else:
            yield []
        logits = forward.next(token, batch, step)


def _is_precise(reader: Forward, sampling: Sampling) -> bool:
    """Whether to compute logits in a higher precision than the model's: verdicts are read from their differences."""
    half = reader.model.dtype in (torch.bfloat16, torch.float16)
    return half and (sampling.logprobs or sampling.top_logprobs > 0) and reader.head_is_known


def _first_tokens(
    reader: Forward,
    rows: Sequence[Row],
    sampling: Sampling,
    ends: Collection[int],
    hits_stop: Callable[[list[list[int]]], list[bool]] | None,
) -> list[tuple[int, Written]]:
    """All rows of a request for one token each, which needs no key-value cache."""
    prompts = {prompt: place for place, prompt in enumerate(dict.fromkeys(row.prompt for row in rows))}
    logits = _next_logits(reader, list(prompts))[[prompts[row.prompt] for row in rows]]
    mask = torch.ones(len(rows), 1, dtype=torch.long, device=logits.device)
    batch = _start(rows, sampling, 2**31, mask, vocabulary=logits.shape[-1])
    token = draw(logits, sampling, None if batch.noise is None else batch.noise[:, 0])
    batch.record(0, token, logits)
    ended = torch.isin(token, torch.tensor(sorted(ends), device=token.device))
    if hits_stop is not None:
        ended |= torch.tensor(hits_stop(batch.tokens.tolist()), device=ended.device)
    return _written(batch, torch.ones_like(ended), ended, 1)


def _next_logits(reader: Forward, prompts: Sequence[Tokens]) -> torch.Tensor:
    """The logits after each prompt, (prompts, vocabulary)."""
    passages = [Passage(prompt, (len(prompt) - 1,)) for prompt in prompts]
    batches = [(places, reader.logits(states)) for places, states in reader.states(passages)]
    logits = batches[0][1].new_empty(len(prompts), batches[0][1].shape[-1])
    for places, some in batches:
        logits[places] = some
    return logits


def draw(logits: torch.Tensor, sampling: Sampling, uniform: torch.Tensor | None) -> torch.Tensor:
    """Draw one token per row by inverse transform sampling. Returns tokens of shape (rows,).

    `logits`: (rows, vocabulary). `uniform`: (rows,) in [0, 1), unused at temperature 0. Top-p keeps the smallest set of
    most probable tokens whose total probability reaches `sampling.top_p`.
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    assert uniform is not None
    # float64: in float32, rounding errors of a cumulative sum over a large vocabulary distort the last tokens.
    mass = (logits / sampling.temperature).softmax(-1, dtype=torch.float64)
    if sampling.top_p >= 1:
        return _invert(mass.cumsum(-1), uniform)
    mass, tokens = mass.sort(stable=True, dim=-1, descending=True)
    cumulative = mass.cumsum(-1)
    beyond = cumulative - mass >= sampling.top_p
    place = _invert(mass.masked_fill(beyond, 0).cumsum(-1), uniform)
    return tokens.gather(1, place[:, None])[:, 0]


def _invert(cumulative: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    threshold = (uniform * cumulative[:, -1])[:, None]
    # right=True finds the first cumulative value strictly above the threshold, so a token of mass 0 is never drawn.
    token: torch.Tensor = torch.searchsorted(cumulative, threshold, right=True)[:, 0]
    return token.clamp(max=cumulative.shape[1] - 1)


def _start(rows: Sequence[Row], sampling: Sampling, context: int, mask: torch.Tensor, vocabulary: int) -> _Batch:
    limits = [min(sampling.max_tokens, context - len(row.prompt)) for row in rows]
    most, device = max(limits), mask.device
    noise = None
    if sampling.temperature > 0:
        noise = torch.from_numpy(numpy.stack([_stream(row).random(most) for row in rows])).to(device)
    top = (len(rows), most, min(sampling.top_logprobs, vocabulary)) if sampling.top_logprobs else None
    return _Batch(
        index=torch.arange(len(rows), device=device),
        length=mask.sum(-1),
        limit=torch.tensor(limits, device=device),
        mask=torch.nn.functional.pad(mask, (0, most), value=1),
        noise=noise,
        tokens=torch.zeros(len(rows), most, dtype=torch.long, device=device),
        logprobs=torch.zeros(len(rows), most, device=device) if sampling.logprobs or top else None,
        top=torch.zeros(top, dtype=torch.long, device=device) if top else None,
        top_logprobs=torch.zeros(top, device=device) if top else None,
    )


def _stream(row: Row) -> numpy.random.Generator:
    seed = row.stream + b"\x1f" + numpy.array(row.prompt, dtype=numpy.int64).tobytes()
    return numpy.random.Generator(numpy.random.Philox(key=int.from_bytes(hashlib.sha256(seed).digest()[:16])))


def _written(batch: _Batch, done: torch.Tensor, ended: torch.Tensor, count: int) -> list[tuple[int, Written]]:
    rows = done.nonzero()[:, 0]
    logprobs: list[Any] = [None] * len(rows) if batch.logprobs is None else batch.logprobs[rows, :count].tolist()
    columns = (batch.index[rows].tolist(), batch.tokens[rows, :count].tolist(), ended[rows].tolist(), logprobs)
    tops = _tops(batch, rows, count)
    return [(index, Written(*written)) for index, *written in zip(*columns, tops, strict=True)]


def _tops(batch: _Batch, rows: torch.Tensor, count: int) -> list[Any]:
    if batch.top is None or batch.top_logprobs is None:
        return [None] * len(rows)
    tokens, logprobs = batch.top[rows, :count].tolist(), batch.top_logprobs[rows, :count].tolist()
    return [
        [list(zip(*best, strict=True)) for best in zip(*row, strict=True)] for row in zip(tokens, logprobs, strict=True)
    ]


class _Forward:
    """The model with its key-value cache. Returns logits of the next token: (rows, vocabulary), float32.

    With `reader`, the output layer is computed in float32 too, and not only returned in it.
    """

    def __init__(self, model: Any, reader: Forward | None = None) -> None:
        self.model = model
        self.reader = reader
        self.cache = _roomy_cache(model.config)
        # The `forward` of an adapter takes **kwargs; the base model's signature shows which arguments it accepts.
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        if reader is not None:
            base = reader.backbone
        self.accepted = inspect.signature(base.forward).parameters

    def prefill(self, prompts: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits after each prompt, and the mask (prompts, longest prompt) of the left-padded batch."""
        longest = max(map(len, prompts))
        padded = [(0,) * (longest - len(prompt)) + prompt for prompt in prompts]
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        mask = mask.to(self.model.device)
        tokens = torch.tensor(padded, device=self.model.device)
        return self._logits(tokens, mask, (mask.cumsum(-1) - 1).clamp(min=0)), mask

    def next(self, token: torch.Tensor, batch: _Batch, step: int) -> torch.Tensor:
        seen = batch.mask.shape[1] - batch.tokens.shape[1] + step + 1
        # A row at its limit is computed along for a while: it must not ask a model for a position that it lacks.
        position = batch.length + (batch.limit - 1).clamp(max=step)
        return self._logits(token[:, None], batch.mask[:, :seen], position[:, None])

    def take(self, rows: torch.Tensor) -> None:
        self.cache.reorder_cache(rows)

    def _logits(self, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        optional = {"position_ids": positions, "logits_to_keep": 1}
        output = (self.model if self.reader is None else self.reader.backbone)(
            input_ids=tokens,
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
            **{name: value for name, value in optional.items() if name in self.accepted},
        )
        if self.reader is not None:
            return self.reader.logits(output.last_hidden_state[:, -1])
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Appends keys and values to preallocated buffers; the parent class copies its whole cache for every token."""

    room = 0

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        start, added = self.keys.shape[-2], key_states.shape[-2]
        if self.room < added:
            self.room = added + max(64, start // 4)
            self.key_buffer, self.value_buffer = (_with_room(tensor, self.room) for tensor in (self.keys, self.values))
        self.key_buffer[..., start : start + added, :] = key_states
        self.value_buffer[..., start : start + added, :] = value_states
        self.keys = self.key_buffer[..., : start + added, :]
        self.values = self.value_buffer[..., : start + added, :]
        self.room -= added
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        super().reorder_cache(beam_idx)
        self.room = 0


def _with_room(tensor: torch.Tensor, room: int) -> torch.Tensor:
    buffer = tensor.new_empty(*tensor.shape[:-2], tensor.shape[-2] + room, tensor.shape[-1])
    buffer[..., : tensor.shape[-2], :] = tensor
    return buffer


def _roomy_cache(config: Any) -> Any:
    """The model's own cache, with preallocated buffers in plain layers; sliding windows and the like are unchanged."""
    cache = DynamicCache(config=config)
    cache.layers = [_RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
