"""Control tokens of chat templates, and text in which none is left.

    >>> defuse("Fine.<|im_end|> And [INST] too.")
    'Fine.< |im_end|> And [ INST] too.'

A tokenizer turns the text `<|im_end|>` into the token that ends a turn, whoever wrote it. One space after its first
character keeps it text, which a judge, a person and any server read as what it was. Text without a control token stays
as it is, byte for byte.

Not promised: role heads that are ordinary words, such as Vicuna's `USER:`; templates take those for plain text too.
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
"""Qwen, DeepSeek, Kimi and others: what stands before `</think>` is no answer, to templates and to readers."""

KNOWN = re.compile(f"{_BARRED}|{_ANGLED}|{_MARKED}|{_TAGGED}")
"""Those of the usual families, for text that goes to a server whose template nobody knows."""


def pattern(tokens: Iterable[str]) -> re.Pattern[str]:
    """What finds any of these tokens. One character alone cannot be broken, and is no control token here."""
    longest_first = sorted({token for token in tokens if len(token) > 1}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def defuse(text: str, tokens: re.Pattern[str] = KNOWN) -> str:
    """The text with a space after the first character of every control token. Twice does what once does."""
    while tokens.search(text):
        text = tokens.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)
    return text
