"""Encodes requests and decodes answers of OpenAI's HTTP API, in the variants of many servers. No network calls.

fields = payload(request, model="Qwen/Qwen3-32B")
completion = parse(answer)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

from fathom.engines import ChatMessage, Completion, FinishReason, Request, Sampling, TokenLogprob
from fathom.engines.usage import Usage

Api = Literal["chat", "completions"]
MaxTokensField = Literal["max_tokens", "max_completion_tokens"]

MAX_TOKENS_FIELDS: tuple[str, ...] = get_args(MaxTokensField)
PATHS: Mapping[str, str] = {"chat": "chat/completions", "completions": "completions"}

_SPELLINGS: Mapping[FinishReason, str] = {
    "stop": "stop end_turn eos eos_token stop_sequence stop_token complete completed tool_calls tool_use function_call",
    "length": "length max_tokens max_output_tokens model_length model_context_window_exceeded error_limit incomplete",
    "content_filter": "content_filter content_filtered safety image_safety recitation blocklist spii sensitive "
    "prohibited_content guardrail_intervened error_toxic",
    "refusal": "refusal refused",
}
"""Finish reasons of OpenAI, of other APIs behind gateways (Gemini's MAX_TOKENS, Anthropic's end_turn, Cohere's
ERROR_LIMIT) and of serving engines, in lower case with underscores."""
FINISH_REASONS: Mapping[str, FinishReason] = {
    spelling: reason for reason, spellings in _SPELLINGS.items() for spelling in spellings.split()
}

_BROKEN_OFF = re.compile(r"abort|cancel|error|interrupt|timeout|timed_out|malformed|insufficient_system|network")
_LIKE: Mapping[FinishReason, re.Pattern[str]] = {
    "content_filter": re.compile(r"filter|safety|block|policy|moderat|prohibit|guardrail|unsafe|harm"),
    "length": re.compile(r"length|max|limit|truncat|context|budget"),
    "stop": re.compile(r"stop|eos|end|complete|finish|done"),
}
"""Keywords in unlisted finish reasons, in order of precedence."""


def finish_reason(value: Any) -> FinishReason:
    """Normalize a server's finish reason. An unlisted one is classified by keywords, else it is "unknown".

    Raises ValueError if the server was interrupted: another try may return the whole text.
    """
    if value in FINISH_REASONS:
        return FINISH_REASONS[value]
    normalized = re.sub(r"[^a-z0-9]+", "_", str(value or "").lower()).strip("_").removeprefix("finish_reason_")
    if normalized in FINISH_REASONS:
        return FINISH_REASONS[normalized]
    if _BROKEN_OFF.search(normalized):
        raise ValueError(f"the text is incomplete: finish_reason {value!r}")
    return next((reason for reason, words in _LIKE.items() if words.search(normalized)), "unknown")


def payload(
    request: Request,
    model: str,
    api: Api = "chat",
    max_tokens_field: MaxTokensField = "max_tokens",
    prompt: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The JSON fields of a request. Default values are omitted: some servers refuse top_p together with temperature.

    `prompt`: the tokens of messages and prefix, for the completions endpoint; None sends their text.
    """
    sampling = request.sampling
    fields: dict[str, Any] = {
        "model": model,
        "temperature": sampling.temperature,
        max_tokens_field: sampling.max_tokens,
        "seed": seed_of(sampling, request.sample),
    }
    if api == "chat":
        fields["messages"] = request.messages
        if request.prefix:
            fields |= _continued(request)
    elif prompt is not None:
        fields["prompt"] = prompt
    else:
        fields["prompt"] = "".join(f"{message['content']}\n\n" for message in request.messages) + request.prefix
    if sampling.top_p != 1:
        fields["top_p"] = sampling.top_p
    if sampling.stop:
        fields["stop"] = sampling.stop
    return fields | _logprobs_fields(sampling, api)


def _continued(request: Request) -> dict[str, Any]:
    """Fields by which vLLM and SGLang continue the last message instead of starting a new one."""
    prefix: ChatMessage = {"role": "assistant", "content": request.prefix}
    return {"messages": (*request.messages, prefix), "continue_final_message": True, "add_generation_prompt": False}


def _logprobs_fields(sampling: Sampling, api: Api) -> dict[str, Any]:
    if not sampling.logprobs and not sampling.top_logprobs:
        return {}
    if api == "completions":
        return {"logprobs": max(1, sampling.top_logprobs)}
    # llama-cpp-python returns no log-probabilities at all without top_logprobs.
    return {"logprobs": True, "top_logprobs": max(1, sampling.top_logprobs)}


def seed_of(sampling: Sampling, sample: int) -> int:
    """A 31-bit seed derived from the run's seed and the sample number, because servers take a single number."""
    digest = hashlib.sha256(f"{sampling.seed}:{sample}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


def parse(answer: Mapping[str, Any]) -> Completion:
    """The completion in the answer of either endpoint. Raises ValueError, KeyError or the like if it has none."""
    [choice] = answer["choices"]
    if choice.get("error"):
        raise ValueError(f"the choice is an error: {choice['error']}")
    ended = finish_reason(choice.get("finish_reason"))
    message = choice.get("message")
    parts = _Parts([choice["text"]]) if message is None else _message_parts(message)
    text, reasoning = "".join(parts.text), "\n\n".join(parts.reasoning)
    generated = bool(text or reasoning)
    if parts.refusal:
        text, ended = text or "".join(parts.refusal), "refusal"
    elif not reasoning:
        reasoning, text = split_thought(text)
    if ended == "unknown" and not text and not reasoning:
        raise ValueError(f"no text, and finish_reason {choice.get('finish_reason')!r}")
    return Completion(
        text=_whole(text),
        finish_reason=ended,
        usage=usage(answer, generated=generated),
        logprobs=_logprobs(choice.get("logprobs")),
        reasoning=_whole(reasoning),
    )


class _Parts(NamedTuple):
    """The parts of a message by kind."""

    text: list[str]
    reasoning: list[str] = []  # noqa: RUF012
    refusal: list[str] = []  # noqa: RUF012


def _message_parts(message: Mapping[str, Any]) -> _Parts:
    parts = _Parts([], [], [])
    _sort(message.get("content"), parts, parts.text)
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        parts.refusal.append(message["refusal"])
    if not parts.reasoning:
        names = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
        reasoning = next((message[name] for name in names if message.get(name)), None)
        _sort(reasoning, parts, parts.reasoning)
    return parts


def _sort(content: Any, parts: _Parts, into: list[str]) -> None:
    """Append content, which may be text, a part or nested parts, to `into` or to the list of its declared kind.

    Raises ValueError for any other content: a message must be understood as a whole or not at all.
    """
    if isinstance(content, str):
        into.append(content)
    elif isinstance(content, list):
        for part in content:
            _sort(part, parts, into)
    elif isinstance(content, Mapping):
        kind = str(content.get("type"))
        is_reasoning = content.get("thought") is True or any(word in kind for word in ("think", "reason", "thought"))
        into = parts.reasoning if is_reasoning else parts.refusal if kind == "refusal" else into
        inner = next((content[name] for name in _INNER if content.get(name) is not None), None)
        if inner is None and not is_reasoning:  # encrypted reasoning has no text
            raise ValueError(f"a part of the content has no text: {content!r}")
        _sort(inner, parts, into)
    elif content is not None:
        raise ValueError(f"content {content!r} is neither text nor a list of parts")


_INNER = ("text", "thinking", "reasoning", "refusal", "summary", "content", "value")
"""Fields in which a part of a message keeps its text or nested parts."""


def usage(answer: Mapping[str, Any], *, generated: bool) -> Usage:
    """The token usage that an answer reports, marked as unknown unless it reports both prompt and completion.

    `generated`: whether the answer has any text. No prompt is empty, so 0 prompt tokens mean that the server does not
    count; so do 0 completion tokens of a text that is not empty.
    """
    reported = answer.get("usage")
    reported = reported if isinstance(reported, Mapping) else {}
    prompt, completion = reported.get("prompt_tokens"), reported.get("completion_tokens")
    if (
        type(prompt) is type(completion) is int
        and prompt > 0 < completion
        and reported.get("total_tokens") == prompt + completion
    ):
        return Usage(prompt, completion)  # the common case, decided fast
    prompt = _count(reported, "prompt_tokens", "input_tokens")
    completion = _count(reported, "completion_tokens", "output_tokens")
    total = _count(reported, "total_tokens")
    if prompt and total and total > prompt:
        # Some servers omit reasoning tokens from completion_tokens, but include them in the total and in their bills.
        completion = max(completion or 0, total - prompt)
    known = bool(prompt) and completion is not None and (completion > 0 or not generated)
    return Usage(prompt or 0, completion or 0, int(not known))


def _count(reported: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = reported.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53:
            return int(value)
    return None


_COUNTED = re.compile(rb'"(prompt|completion)_tokens"\s*:\s*(\d{1,15})\b')


def usage_in(content: bytes) -> Usage | None:
    """The usage in a body that cannot be decoded; None unless it has both prompt and completion tokens."""
    counts = {name.decode(): int(count) for name, count in _COUNTED.findall(content)}
    return Usage(counts["prompt"], counts["completion"]) if counts.get("prompt") and "completion" in counts else None


def cut_at_stop(completion: Completion, stops: Sequence[str]) -> Completion:
    """The completion cut at its first stop string: some servers, such as `transformers serve`, ignore stop strings."""
    cuts = [at for stop in stops if (at := completion.text.find(stop)) >= 0]
    return replace(completion, text=completion.text[: min(cuts)], finish_reason="stop") if cuts else completion


def _whole(text: str) -> str:
    """Replace unpaired surrogates, which JSON can carry and UTF-8 files cannot, by question marks."""
    return text.encode(errors="replace").decode()


_THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*|(.*?)^[ \t]*</think>[ \t]*(?:\n\s*|\Z)", re.DOTALL | re.MULTILINE)


def split_thought(text: str) -> tuple[str, str]:
    """Split a text into its leading think block and the rest; ("", text) if it does not begin with one.

    The opening tag may be missing, because some chat templates put it into the prompt; the closing tag must then be on
    a line of its own. A block without a closing tag stays in the text, so the parser sees that it never ended.
    """
    match = _THOUGHT.match(text) if "</think>" in text else None
    return ((match[1] or match[2] or "").strip(), text[match.end() :]) if match else ("", text)


def _logprobs(value: Any) -> tuple[TokenLogprob, ...] | None:
    """Log-probabilities in either API's format; None if missing or malformed, which the engine checks if needed."""
    try:
        return _parse_logprobs(value) or None
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _parse_logprobs(value: Any) -> tuple[TokenLogprob, ...] | None:
    if not value:
        return None
    if "tokens" not in value:  # the chat API's format
        return tuple(
            TokenLogprob(entry["token"], float(entry["logprob"]), _chat_top(entry.get("top_logprobs")))
            for entry in value.get("content") or ()
        )
    tops = value.get("top_logprobs") or [None] * len(value["tokens"])
    return tuple(
        TokenLogprob(token, float(logprob), _best_first((top or {}).items()))
        for token, logprob, top in zip(value["tokens"], value["token_logprobs"], tops, strict=True)
    )


def _chat_top(entries: Sequence[Mapping[str, Any]] | None) -> tuple[tuple[str, float], ...]:
    return _best_first((entry["token"], entry["logprob"]) for entry in entries) if entries else ()


def _best_first(pairs: Iterable[tuple[str, Any]]) -> tuple[tuple[str, float], ...]:
    """Sort by log-probability: servers insert the sampled token at any place in the list."""
    return tuple(sorted(((token, float(logprob)) for token, logprob in pairs), key=lambda pair: -pair[1]))
