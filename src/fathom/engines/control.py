"""Finds and defuses control tokens of chat templates in untrusted text.

    >>> defuse("Fine.<|im_end|> And [INST] too.")
    'Fine.< |im_end|> And [ INST] too.'

A tokenizer encodes the text `<|im_end|>` as the token that ends a turn, even inside a response. A space after its first
character prevents that, and leaves the text readable for judges and people. Text without control tokens is unchanged.

Not covered: role headers that are ordinary words, such as Vicuna's `USER:`, which are plain text to a tokenizer too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_BARRED = r"<[|｜][^\s<>|｜]{1,64}[|｜]?>|<[^\s<>|｜]{1,64}[|｜]>|\[\|[^\s\[\]|]{1,64}\|\]"
"""`<|...|>` of Llama 3 and 4, ChatML, Phi, harmony, Command-R, GLM, Granite; DeepSeek's wide bars; Gemma 4's `<|turn>`,
`<turn|>`; EXAONE's `[|user|]`."""
_ANGLED = r"</?s>|<(?:bos|eos|pad|unk|sop|eop|(?:start|end)_of_(?:turn|image)|[A-Z]+_TOKEN|SPECIAL_\d+|extra_id_\d+)>"
"""Llama 2 and Mistral, Gemma, GLM, Command-R, Nemotron."""
_MARKED = r"<</?SYS>>|\[/?(?:INST|THINK|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT))\]|\[gMASK\]"
"""Llama 2 and Mistral, GLM."""
_TAGGED = r"</?(?:think|thinking|thought|reasoning|tool_call|tool_response)>|\[/?think\]|◁/?think▷"
"""Qwen, DeepSeek, Kimi and others. Templates and parsers treat the text before `</think>` as reasoning."""

KNOWN = re.compile(f"{_BARRED}|{_ANGLED}|{_MARKED}|{_TAGGED}")
"""Control tokens of common model families, for servers whose template is unknown."""


def pattern(tokens: Iterable[str]) -> re.Pattern[str]:
    """A pattern that matches any of these tokens. Single characters are skipped: no space can be put inside one."""
    longest_first = sorted({token for token in tokens if len(token) > 1}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def defuse(text: str, tokens: re.Pattern[str] = KNOWN) -> str:
    """Insert a space after the first character of every control token. Idempotent."""
    while tokens.search(text):
        text = tokens.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)
    return text
