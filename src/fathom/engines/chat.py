"""Encodes messages as tokens, by the model's own tokenizer and chat template.

encode_chat(tokenizer, messages)                # up to where the answer begins
encode_turn(tokenizer, messages, "Paris.")      # with the answer and the end token, as in training
encode_conversation(tokenizer, messages)        # a finished conversation, as classifiers read it
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fathom.engines import ChatMessage, EngineError, LikelihoodRequest, Request, control

Tokens = tuple[int, ...]


def prompt_tokens(tokenizer: Any, request: Request, *, name: str, context: int = 2**31) -> Tokens:
    """The tokens of the messages and the prefix, for the model `name` with a context length of `context` tokens.

    Raises EngineError for an empty prompt, one that does not fit, and messages that the chat template refuses.
    """
    from jinja2 import TemplateError

    try:
        prompt = (*encode_chat(tokenizer, request.messages), *encode_prefix(tokenizer, request.prefix))
    except TemplateError as error:
        raise EngineError(f"the chat template of {name} refuses these messages: {error}", kind="text") from error
    if not prompt:
        raise EngineError("the prompt is empty; expected a message with text", kind="text")
    if len(prompt) >= context:
        message = f"the prompt has {len(prompt)} tokens; {name} has a context of {context}, answer included"
        raise EngineError(message, hint="shorten the responses or use a model with a longer context", kind="text")
    return prompt


def encode_chat(tokenizer: Any, messages: Sequence[ChatMessage]) -> list[int]:
    """The tokens of a prompt, up to the start of the answer.

    One call renders and tokenizes, so the begin token that the template writes is not added twice. A tokenizer without
    a chat template (a base model's) encodes the contents, each followed by an empty line, after its own begin token.
    Only the template can produce control tokens: those in a message's content are encoded as text.
    """
    messages = without_control(tokenizer, messages)
    if tokenizer.chat_template is None:
        tokens: list[int] = tokenizer("".join(f"{message['content']}\n\n" for message in messages))["input_ids"]
        return tokens
    tokens = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=True, return_dict=False)
    return tokens


def encode_conversation(tokenizer: Any, messages: Sequence[ChatMessage]) -> list[int]:
    """The tokens of a finished conversation, whose last message is the answer to be scored by a classifier.

    The chat template renders all of it, as public reward models and TRL's RewardTrainer expect. Without a template the
    contents are separated by empty lines, after the tokenizer's own begin token and before its end token; an encoder's
    tokenizer, which has a separator token, encodes prompt and answer as a pair of texts. Control tokens in a message's
    content are encoded as text.
    """
    messages = without_control(tokenizer, messages)
    if tokenizer.chat_template is None and tokenizer.sep_token is not None:
        *prompt, answer = (message["content"] for message in messages)
        pair: list[int] = tokenizer("\n\n".join(prompt), answer)["input_ids"]
        return pair
    if tokenizer.chat_template is None:
        tokens: list[int] = tokenizer("\n\n".join(message["content"] for message in messages))["input_ids"]
        end = tokenizer.eos_token_id
        return tokens if end is None or tokens[-1:] == [end] else [*tokens, end]
    tokens = tokenizer.apply_chat_template(list(messages), tokenize=True, return_dict=False)
    return tokens


def encode_prefix(tokenizer: Any, prefix: str) -> list[int]:
    """The tokens of the beginning of an answer, encoded as in training. Names of special tokens in it stay text.

    Prompt and prefix are encoded separately, because a generated answer never shares a token with the prompt. A prefix
    that ends inside a word may be tokenized differently than the model would have generated it.
    """
    tokens: list[int] = tokenizer.encode(prefix, add_special_tokens=False, split_special_tokens=True) if prefix else []
    return tokens


def decode_answer(tokenizer: Any, prefix: str, tokens: Sequence[int]) -> str:
    """The text of `tokens` after `prefix`. Both are decoded together: some tokenizers drop a leading space."""
    alone: str = tokenizer.decode(tokens, skip_special_tokens=True)
    if not prefix:
        return alone
    before = encode_prefix(tokenizer, prefix)
    start: str = tokenizer.decode(before, skip_special_tokens=True)
    whole: str = tokenizer.decode([*before, *tokens], skip_special_tokens=True)
    return whole[len(start) :] if whole.startswith(start) else alone


def without_control(tokenizer: Any, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages, with a space inserted into each control token of this tokenizer that occurs in their contents."""
    tokens = _control_tokens(tokenizer, str(tokenizer.chat_template), len(tokenizer))
    return [{"role": message["role"], "content": control.defuse(message["content"], tokens)} for message in messages]


@lru_cache(maxsize=16)
def _control_tokens(tokenizer: Any, template: str, _size: int) -> re.Pattern[str]:
    """Matches special tokens, and marks such as `<tool_call>` that the template uses and that are not flagged special.

    Other added tokens, such as runs of spaces and Gemma's HTML tags, are ordinary text.
    """
    added = {str(token): token.special for token in tokenizer.added_tokens_decoder.values()}
    marks = [text for text, special in added.items() if special or (text[:1] in "<[" and text in template)]
    return control.pattern(text for text in [*marks, *tokenizer.all_special_tokens] if text.strip())


def encode_given(tokenizer: Any, request: LikelihoodRequest) -> tuple[Tokens, Tokens]:
    """The tokens of a prompt and of the given answer to score, encoded apart.

    The prompt ends where the answer begins: with the header of the answer's turn. Raises EngineError for an answer
    without tokens, for one without a token before it, and for an end token that the tokenizer does not have.
    """
    if request.template == "plain":
        prompt = _encode_plain(tokenizer, request.messages)
    elif request.role == "assistant":
        prompt = encode_chat(tokenizer, request.messages)
    else:
        prompt = _encode_header(tokenizer, request.messages, request.role)
    if request.end and tokenizer.eos_token_id is None:
        raise EngineError(
            "this tokenizer has no end token (eos_token), so it cannot be scored", hint="set end=false", kind="text"
        )
    answer = encode_prefix(tokenizer, request.answer) + ([tokenizer.eos_token_id] if request.end else [])
    if not answer:
        raise EngineError("the answer is empty, so it has no likelihood", kind="text")
    if not prompt:
        raise EngineError(
            "nothing precedes the answer, so its first token has no probability: this tokenizer has no begin token",
            hint="give a prompt",
            kind="text",
        )
    return tuple(prompt), tuple(answer)


def _encode_plain(tokenizer: Any, messages: Sequence[ChatMessage]) -> list[int]:
    """The contents without a template, after the tokenizer's begin token if it has one."""
    text = "".join(message["content"] for message in without_control(tokenizer, messages))
    tokens = encode_prefix(tokenizer, text)
    return tokens if tokenizer.bos_token_id is None else [tokenizer.bos_token_id, *tokens]


_ANSWER = "(the answer begins here)"


def _encode_header(tokenizer: Any, messages: Sequence[ChatMessage], role: str) -> list[int]:
    """The tokens of the messages and the header of the next turn, which is of another role than assistant."""
    answer: ChatMessage = {"role": role, "content": _ANSWER}
    if tokenizer.chat_template is None:
        return encode_chat(tokenizer, messages)
    shown = [*without_control(tokenizer, messages), answer]
    text = tokenizer.apply_chat_template(shown, tokenize=False)
    tokens: list[int] = tokenizer.encode(text[: text.rindex(_ANSWER)], add_special_tokens=False)
    return tokens


def encode_turn(tokenizer: Any, messages: Sequence[ChatMessage], text: str) -> list[int]:
    """The tokens of a prompt, its answer and the end token."""
    return encode_chat(tokenizer, messages) + encode_answer(tokenizer, text)


def encode_answer(tokenizer: Any, text: str) -> list[int]:
    return [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
