"""OpenAI's HTTP dialect as values: the fields of a request, and what an answer says. Nothing here talks to anybody.

fields = body(request, model="Qwen/Qwen3-32B")
completion = read(answer)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from fathom.engines import Completion, FinishReason, Request, Sampling, TokenLogprob
from fathom.verdict import Usage

Api = Literal["chat", "completions"]
MaxTokensField = Literal["max_tokens", "max_completion_tokens"]

MAX_TOKENS_FIELDS: tuple[str, ...] = get_args(MaxTokensField)
PATHS: Mapping[str, str] = {"chat": "chat/completions", "completions": "completions"}

FINISH_REASONS: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
}
"""Any other one is "stop", but for those of `BROKEN_OFF`."""

BROKEN_OFF = (None, "abort", "error")
"""Finish reasons of a text that nobody can say is whole."""


def body(
    request: Request, model: str, api: Api = "chat", max_tokens_field: MaxTokensField = "max_tokens"
) -> dict[str, Any]:
    """The fields of a request. What says nothing is left out: some servers refuse top_p beside temperature."""
    sampling = request.sampling
    fields: dict[str, Any] = {
        "model": model,
        "temperature": sampling.temperature,
        max_tokens_field: sampling.max_tokens,
        "seed": seed_of(sampling, request.sample),
    }
    if api == "chat":
        fields["messages"] = request.messages
    else:
        fields["prompt"] = "".join(f"{message['content']}\n\n" for message in request.messages)
    if sampling.top_p != 1:
        fields["top_p"] = sampling.top_p
    if sampling.stop:
        fields["stop"] = sampling.stop
    return fields | _asked_logprobs(sampling, api)


def _asked_logprobs(sampling: Sampling, api: Api) -> dict[str, Any]:
    if not sampling.logprobs and not sampling.top_logprobs:
        return {}
    if api == "completions":
        return {"logprobs": max(1, sampling.top_logprobs)}
    # llama-cpp-python gives none at all where top_logprobs is left out.
    return {"logprobs": True, "top_logprobs": max(1, sampling.top_logprobs)}


def seed_of(sampling: Sampling, sample: int) -> int:
    """31 bits that differ between samples, and between seeds: one number is all that servers take."""
    digest = hashlib.sha256(f"{sampling.seed}:{sample}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


def read(answer: Mapping[str, Any]) -> Completion:
    """The completion in a server's answer, chat or not. Raises ValueError, KeyError and such where none is."""
    [choice] = answer["choices"]
    if choice["finish_reason"] in BROKEN_OFF:
        raise ValueError(f"finish_reason {choice['finish_reason']!r}")
    message = choice.get("message")
    if message is None:
        text, reasoning = choice["text"], None
    else:
        text = message.get("content") or message.get("refusal") or ""
        reasoning = message.get("reasoning_content") or message.get("reasoning")
    if reasoning is None:
        reasoning, text = split_thought(text)
    usage = answer.get("usage") or {}
    return Completion(
        text=_whole(text),
        finish_reason=FINISH_REASONS.get(choice["finish_reason"], "stop"),
        usage=Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)),
        logprobs=_logprobs(choice.get("logprobs")),
        reasoning=_whole(reasoning),
    )


def stopped(completion: Completion, stops: Sequence[str]) -> Completion:
    """The text up to the first of its stop strings, which `transformers serve` leaves in it."""
    cuts = [at for stop in stops if (at := completion.text.find(stop)) >= 0]
    return replace(completion, text=completion.text[: min(cuts)], finish_reason="stop") if cuts else completion


def _whole(text: str) -> str:
    """Half of a surrogate pair, which JSON can carry and no file can, becomes a question mark."""
    return text.encode(errors="replace").decode()


_THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*|(.*?)^[ \t]*</think>[ \t]*(?:\n\s*|\Z)", re.DOTALL | re.MULTILINE)


def split_thought(text: str) -> tuple[str, str]:
    """The think block that a text begins with, and the rest: ("", text) where it begins with none.

    A block may lack its opening tag, which some chat templates put into the prompt; then the closing one stands alone
    at the start of a line. A block that never ends stays in the text, so that whoever reads it sees that.
    """
    match = _THOUGHT.match(text) if "</think>" in text else None
    return ((match[1] or match[2] or "").strip(), text[match.end() :]) if match else ("", text)


def _logprobs(told: Mapping[str, Any] | None) -> tuple[TokenLogprob, ...] | None:
    if not told:
        return None
    if told.get("content") is not None:
        return tuple(
            TokenLogprob(entry["token"], float(entry["logprob"]), _chat_top(entry.get("top_logprobs")))
            for entry in told["content"]
        )
    tops = told.get("top_logprobs") or [None] * len(told["tokens"])
    return tuple(
        TokenLogprob(token, float(logprob), _best_first((top or {}).items()))
        for token, logprob, top in zip(told["tokens"], told["token_logprobs"], tops, strict=True)
    )


def _chat_top(told: Sequence[Mapping[str, Any]] | None) -> tuple[tuple[str, float], ...]:
    return _best_first((entry["token"], entry["logprob"]) for entry in told) if told else ()


def _best_first(pairs: Iterable[tuple[str, Any]]) -> tuple[tuple[str, float], ...]:
    """Sorted here, because servers put the token that was drawn anywhere among the most likely ones."""
    return tuple(sorted(((token, float(logprob)) for token, logprob in pairs), key=lambda pair: -pair[1]))


def read_error(content: bytes) -> str:
    """What the server says went wrong, wherever its dialect puts it."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")
    for name in ("error", "message", "detail"):
        told = told[name] if isinstance(told, dict) and name in told else told
    return told if isinstance(told, str) else json.dumps(told)
