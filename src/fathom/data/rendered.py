"""Parses conversations that a chat template has rendered to text, for trainers that send only this text.

    >>> parse("<|im_start|>user\\n2 + 2?<|im_end|>\\n<|im_start|>assistant\\n4<|im_end|>\\n")[-1].content
    '4'

`split_query` separates a prompt from the response after it. Not safe against responses that contain the template's
tokens: they are parsed as turns. Prefer the separate prompt (OpenRLHF) or messages (vLLM) if the protocol has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from fathom.data.records import Message

ROLES: Mapping[str, str] = {"human": "user", "model": "assistant", "[INST]": "user", "[/INST]": "assistant"}
"""Names of roles in templates that differ from OpenAI's."""

_OF_ROLE = r"(?P<role>system|developer|user|assistant|tool|human|model)"
TEMPLATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"<\|im_start\|>{_OF_ROLE}\n",  # ChatML: Qwen, Yi, SmolLM
        rf"<\|start_header_id\|>{_OF_ROLE}<\|end_header_id\|>\n\n",  # Llama 3
        rf"<\|header_start\|>{_OF_ROLE}<\|header_end\|>\n\n",  # Llama 4
        rf"<start_of_turn>{_OF_ROLE}\n",  # Gemma
        rf"<[|｜]{_OF_ROLE}[|｜]>\n?",  # Phi, Zephyr, GLM; DeepSeek's wide bars
        r"(?P<role>\[/?INST\]) ?",  # Mistral, Llama 2
    )
)
DIALOGUE = re.compile(r"(?:^|\n\n)(?P<role>Human|Assistant): ?")
"""Turns of HH-RLHF. Ordinary prompts quote such dialogues, so only a text that begins with a turn is one."""
_END = (
    r"<\|(?:im_end|eot_id|eom_id|eot|end|end_of_text|endoftext|return|call|user|observation)\|>"
    r"|<end_of_turn>|</s>|<eos>|<｜end▁of▁sentence｜>"
)
"""Ends of turns. GLM ends its turn with the token of the next one, `<|user|>` or `<|observation|>`."""
_ENDS = re.compile(rf"(?:\s*(?:{_END}))+\s*$")
_STARTS = re.compile(r"^(?:\s*(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|\[gMASK\]|<sop>))+")


def parse(text: str) -> tuple[Message, ...] | None:
    """The messages of a rendered conversation; None if no known template matches.

    A generation prompt at the end becomes a message of the assistant with empty content.
    """
    turns = _turns(text)
    if not turns:
        return None
    ends = [turn.start() for turn in turns[1:]] + [len(text)]
    before = _STARTS.sub("", text[: turns[0].start()]).strip()
    messages = [_message(turn["role"], text[turn.end() : end]) for turn, end in zip(turns, ends, strict=True)]
    return (Message(role="system", content=before), *messages) if before else tuple(messages)


def _turns(text: str) -> list[re.Match[str]]:
    """The beginnings of turns, by the first template that has any."""
    templates = (*TEMPLATES, DIALOGUE) if text.lstrip().startswith("Human:") else TEMPLATES
    return next((turns for template in templates if (turns := list(template.finditer(text)))), [])


def without_end(text: str) -> str:
    """The text without end-of-turn tokens at its end, and the white space around them."""
    return _ENDS.sub("", text)


def _message(role: str, content: str) -> Message:
    role = ROLES.get(role.upper() if role.startswith("[") else role.lower(), role.lower())
    return Message.model_validate({"role": role, "content": without_end(content)})


def prompt_of(text: str) -> str | tuple[Message, ...]:
    """A rendered prompt as messages, or the text itself if no known template matches."""
    messages = parse(text)
    if messages is None:
        return text
    if messages[-1].role == "assistant" and not messages[-1].content.strip():
        messages = messages[:-1]
    return messages or text


class Answered(NamedTuple):
    """A prompt, and the response to it."""

    prompt: str | tuple[Message, ...]
    response: str


def split_query(query: str, prompt: str | None) -> Answered | None:
    """Split a rendered prompt with its response, given the rendered prompt alone; None if there is no response.

    Without a prompt, and if the query does not contain it, the query must be a conversation that ends with an answer of
    the assistant.
    """
    # A tokenizer may put a token such as <s> before the prompt, or change the prompt's spaces.
    start = query.find(prompt) if prompt else -1
    if prompt and start >= 0:
        return Answered(prompt_of(prompt), without_end(query[start + len(prompt) :]))
    turns = parse(query)
    if turns is None or len(turns) < 2 or turns[-1].role != "assistant":
        return None
    return Answered(turns[:-1], turns[-1].content)
