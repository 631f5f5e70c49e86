"""OpenAI's HTTP dialect as values: the fields of a request, and what an answer says. Nothing here talks to anybody.

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
"""OpenAI's own, those of other APIs that gateways pass on (Gemini's MAX_TOKENS, Anthropic's end_turn, Cohere's
ERROR_LIMIT), and those of serving engines; in lower case, with underscores."""
FINISH_REASONS: Mapping[str, FinishReason] = {
    spelling: reason for reason, spellings in _SPELLINGS.items() for spelling in spellings.split()
}

_BROKEN_OFF = re.compile(r"abort|cancel|error|interrupt|timeout|timed_out|malformed|insufficient_system|network")
_LIKE: Mapping[FinishReason, re.Pattern[str]] = {
    "content_filter": re.compile(r"filter|safety|block|policy|moderat|prohibit|guardrail|unsafe|harm"),
    "length": re.compile(r"length|max|limit|truncat|context|budget"),
    "stop": re.compile(r"stop|eos|end|complete|finish|done"),
}
"""Words in spellings that no table has, in the order in which they are looked for."""


def finish_reason(told: Any) -> FinishReason:
    """Why a text ended. One that no table has is read by its words; "unknown" where that says nothing.

    Raises ValueError for a text that broke off: the server was interrupted, and asking again may give the whole.
    """
    if told in FINISH_REASONS:
        return FINISH_REASONS[told]
    spelled = re.sub(r"[^a-z0-9]+", "_", str(told or "").lower()).strip("_").removeprefix("finish_reason_")
    if spelled in FINISH_REASONS:
        return FINISH_REASONS[spelled]
    if _BROKEN_OFF.search(spelled):
        raise ValueError(f"finish_reason {told!r}")
    return next((reason for reason, words in _LIKE.items() if words.search(spelled)), "unknown")


def payload(
    request: Request,
    model: str,
    api: Api = "chat",
    max_tokens_field: MaxTokensField = "max_tokens",
    prompt: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The fields of a request. What says nothing is left out: some servers refuse top_p beside temperature.

    `prompt`: the tokens of messages and prefix, for the completions endpoint; None for their text.
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
    return fields | _asked_logprobs(sampling, api)


def _continued(request: Request) -> dict[str, Any]:
    """How vLLM and SGLang are told to go on with the last message, instead of beginning another one after it."""
    begun: ChatMessage = {"role": "assistant", "content": request.prefix}
    return {"messages": (*request.messages, begun), "continue_final_message": True, "add_generation_prompt": False}


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


def parse(answer: Mapping[str, Any]) -> Completion:
    """The completion in a server's answer, chat or not. Raises ValueError, KeyError and such where none is."""
    [choice] = answer["choices"]
    if choice.get("error"):
        raise ValueError(f"the choice is an error: {choice['error']}")
    ended = finish_reason(choice.get("finish_reason"))
    message = choice.get("message")
    said = _Said([choice["text"]]) if message is None else _said(message)
    text, reasoning = "".join(said.text), "\n\n".join(said.thought)
    written = bool(text or reasoning)
    if said.refusal:
        text, ended = text or "".join(said.refusal), "refusal"
    elif not reasoning:
        reasoning, text = split_thought(text)
    if ended == "unknown" and not text and not reasoning:
        raise ValueError(f"no text, and finish_reason {choice.get('finish_reason')!r}")
    return Completion(
        text=_whole(text),
        finish_reason=ended,
        usage=usage(answer, written=written),
        logprobs=_logprobs(choice.get("logprobs")),
        reasoning=_whole(reasoning),
    )


class _Said(NamedTuple):
    """The parts of a message by what they are."""

    text: list[str]
    thought: list[str] = []  # noqa: RUF012
    refusal: list[str] = []  # noqa: RUF012


def _said(message: Mapping[str, Any]) -> _Said:
    said = _Said([], [], [])
    _sort(message.get("content"), said, said.text)
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        said.refusal.append(message["refusal"])
    if not said.thought:
        names = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
        told = next((message[name] for name in names if message.get(name)), None)
        _sort(told, said, said.thought)
    return said


def _sort(content: Any, said: _Said, into: list[str]) -> None:
    """Sorts content, which may be text, a part, or parts within parts, by what the parts say they are.

    Raises ValueError for what is none of these: a text that is not understood whole is not read in part.
    """
    if isinstance(content, str):
        into.append(content)
    elif isinstance(content, list):
        for part in content:
            _sort(part, said, into)
    elif isinstance(content, Mapping):
        kind = str(content.get("type"))
        thought = content.get("thought") is True or any(word in kind for word in ("think", "reason", "thought"))
        into = said.thought if thought else said.refusal if kind == "refusal" else into
        inner = next((content[name] for name in _INNER if content.get(name) is not None), None)
        if inner is None and not thought:  # an encrypted thought has no text
            raise ValueError(f"a part of the content has no text: {content!r}")
        _sort(inner, said, into)
    elif content is not None:
        raise ValueError(f"content {content!r} is neither text nor a list of parts")


_INNER = ("text", "thinking", "reasoning", "refusal", "summary", "content", "value")
"""Where a part of a message keeps its text, or parts of its own."""


def usage(answer: Mapping[str, Any], *, written: bool) -> Usage:
    """The tokens that an answer says it took; with an unknown call where it does not say both numbers.

    No prompt is empty, so a 0 there says that the server does not count; so does a 0 beside a text that was `written`.
    """
    told = answer.get("usage")
    told = told if isinstance(told, Mapping) else {}
    prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
    if (
        type(prompt) is type(completion) is int
        and prompt > 0 < completion
        and told.get("total_tokens") == prompt + completion
    ):
        return Usage(prompt, completion)  # nearly all servers
    prompt = _count(told, "prompt_tokens", "input_tokens")
    completion = _count(told, "completion_tokens", "output_tokens")
    total = _count(told, "total_tokens")
    if prompt and total and total > prompt:
        # Some leave the tokens of a thought out of completion_tokens, and count them in the total, as their bills do.
        completion = max(completion or 0, total - prompt)
    known = bool(prompt) and completion is not None and (completion > 0 or not written)
    return Usage(prompt or 0, completion or 0, int(not known))


def _count(told: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = told.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53:
            return int(value)
    return None


_COUNTED = re.compile(rb'"(prompt|completion)_tokens"\s*:\s*(\d{1,15})\b')


def usage_in(content: bytes) -> Usage | None:
    """The tokens in a body that cannot be decoded or read, where it says both numbers."""
    told = {name.decode(): int(count) for name, count in _COUNTED.findall(content)}
    return Usage(told["prompt"], told["completion"]) if told.get("prompt") and "completion" in told else None


def cut_at_stop(completion: Completion, stops: Sequence[str]) -> Completion:
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


def _logprobs(told: Any) -> tuple[TokenLogprob, ...] | None:
    """None where there are none, and where they are in no form that is known: whoever needs them hears that."""
    try:
        return _read_logprobs(told) or None
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _read_logprobs(told: Any) -> tuple[TokenLogprob, ...] | None:
    if not told:
        return None
    if "tokens" not in told:
        return tuple(
            TokenLogprob(entry["token"], float(entry["logprob"]), _chat_top(entry.get("top_logprobs")))
            for entry in told.get("content") or ()
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
