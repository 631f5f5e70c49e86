"""Parsing of prompts and responses from texts and chat messages.

    >>> split("\\n\\nHuman: Hi\\n\\nAssistant: Hello", "\\n\\nHuman: Hi\\n\\nAssistant: What?", ("chosen", "rejected"))
    ((Message(role='user', content='Hi'),), ('Hello', 'What?'))

A message is an object with a role (`role` or `from`, in any spelling of `ROLES`) and a content (`content` or `value`).
Other keys are ignored. Tool calls become text (`call_text`), so that judges see them. Images are refused, because
judges cannot see them.

If two conversations include the prompt, the prompt is their common prefix, up to an answer of the assistant. A
response of several turns becomes one text; each later turn begins with its role.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from fathom.data.records import Message
from fathom.errors import map_option

Prompt = str | tuple[Message, ...]

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "ai", "model", "function_call"), "assistant"),
    **dict.fromkeys(("tool_call", "tool_calls"), "assistant"),
    "system": "system",
    "developer": "developer",
    **dict.fromkeys(("tool", "function", "observation", "function_response", "tool_response", "ipython"), "tool"),
}
"""Lower-case spellings of roles."""
PLAIN_ROLES = frozenset(ROLES.values())
CALLING_ROLES = {"function_call", "tool_call", "tool_calls"}
"""Roles of turns whose content is a tool call in JSON (ShareGPT)."""

ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text", "parts")
TEXT_KEYS = (
    "text",
    "response",
    "answer",
    "completion",
    "output",
    "generation",
    "summary",
    "solution",
    "content",
    "value",
)
"""Keys that hold the text of a response in an object that is not a message."""
PROMPT_KEYS = ("messages", "full_text", "prompt", "question", "instruction", "text", "content", "value")
"""Keys that hold a prompt in an object that is not a message."""
TURN_KEYS = (
    ("user", "assistant"), ("human", "assistant"), ("human", "gpt"), ("input", "output"), ("prompt", "response"),
    ("question", "answer"), ("instruction", "output"),
)  # fmt: skip
"""Key pairs of objects that hold one user turn and its answer."""
IMAGE_KEYS = ("image", "images", "image_url", "input_image", "image_bytes", "video", "audio", "input_audio")

NO_IMAGES = "expected text: Fathom cannot show images, audio or video to a judge yet"

_TURN = re.compile(r"\n\n(Human|Assistant):")


class BadRowError(ValueError):
    """A row that cannot be read. `field` is the column; the message says what was wrong and what was expected.

    `text` is the raw line, if the row could not be decoded.
    """

    def __init__(self, field: str, message: str, text: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.text = text


def explain(error: ValidationError, columns: Mapping[str, str]) -> BadRowError:
    """Convert pydantic's first error to a BadRowError that names the source's column instead of our field."""
    first = error.errors()[0]
    field, *rest = (str(part) for part in first["loc"]) if first["loc"] else ("row",)
    where = ".".join([columns.get(field, field), *rest])
    if first["type"] == "value_error":
        return BadRowError(where, first["msg"].removeprefix("Value error, "))
    expected = first.get("ctx", {}).get("expected") or first["msg"].lower()
    return BadRowError(where, f"got {truncated_repr(first['input'])}, expected: {expected}")


def truncated_repr(value: Any) -> str:
    """The value's repr in at most 60 characters, for messages."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# Prompts and responses ------------------------------------------------------------------------------------------------


def as_prompt(value: Any, column: str) -> Prompt:
    """Parse a prompt. Plain text stays text; dialogues in text, messages and objects that hold them become messages.

    Raises BadRowError.
    """
    if isinstance(value, str):
        return _open_dialogue(value) or value
    if isinstance(value, Mapping) and not is_message(value):
        key = only_key(value, PROMPT_KEYS, column)
        return as_prompt(value[key], f"{column}.{key}")
    return as_messages(value, column)


def as_messages(value: Any, column: str) -> tuple[Message, ...]:
    """Parse a list of messages, or a single one. Raises BadRowError."""
    if isinstance(value, Mapping):
        return (_plain_message(value) or _message(value, column),)
    if not isinstance(value, list | tuple) or not value or not all(map(_is_object, value)):
        raise BadRowError(
            column, f"got {truncated_repr(value)}, expected text or a list of messages with role and content"
        )
    return tuple(_plain_message(turn) or _message(turn, f"{column}.{index}") for index, turn in enumerate(value))


def as_response(value: Any, column: str) -> str:
    """The text of a response, given as text, messages, an object with a text, or a number (tables convert "42").

    Raises BadRowError.
    """
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, Mapping) and not is_message(value):
        key = only_key(value, TEXT_KEYS, column)
        return as_response(value[key], f"{column}.{key}")
    return continuation(as_messages(value, column), column)


def is_message(value: Any) -> bool:
    return _is_object(value) and any(value.get(key) is not None for key in ROLE_KEYS)


def _is_object(value: Any) -> bool:
    return type(value) is dict or isinstance(value, Mapping)  # the second check is ten times slower


def only_key(value: Mapping[str, Any], keys: Sequence[str], column: str) -> str:
    """The only one of `keys` that the object has. Raises BadRowError if it has none or several."""
    found = [key for key in keys if value.get(key) is not None]
    if len(found) == 1:
        return found[0]
    if not found:
        there = ", ".join(map(str, value)) or "no keys"
        raise BadRowError(
            column,
            f"got an object with {there}, expected text; give the path of the text with "
            f"{map_option('FIELD', f'{column}.KEY')}",
        )
    choices = " or ".join(map_option("FIELD", f"{column}.{key}") for key in found)
    raise BadRowError(column, f"{' and '.join(found)} could each be the text; choose one with {choices}")


# Pairs of conversations -----------------------------------------------------------------------------------------------


def split(first: Any, second: Any, columns: Sequence[str]) -> tuple[tuple[Message, ...], tuple[str, str]]:
    """Split two conversations into their common prompt and the response that follows it in each.

    Conversations are lists of messages, or texts with "\\n\\nHuman:" and "\\n\\nAssistant:" before the turns. The
    prompt is empty if they share no turn. Raises BadRowError.
    """
    turns = [as_turns(value, column) for value, column in zip((first, second), columns, strict=True)]
    shared = _shared(*turns)
    a, b = (continuation(turn[shared:], column) for turn, column in zip(turns, columns, strict=True))
    return turns[0][:shared], (a, b)


def as_turns(value: Any, column: str) -> tuple[Message, ...]:
    """Parse messages, or a dialogue in text. Raises BadRowError, also for text that is not a dialogue."""
    if not isinstance(value, str):
        return as_messages(value, column)
    start, *parts = _TURN.split(value)
    if start.strip() or len(parts) < 4:
        expected = "a dialogue of Human and Assistant turns, or a prompt column (--map prompt=COLUMN)"
        raise BadRowError(column, f"is a text without a prompt, expected {expected}")
    return tuple(_dialogue(parts))


def without_answer(turns: Sequence[Message], column: str) -> tuple[tuple[Message, ...], str]:
    """Split a conversation into its prompt and the final answer of the assistant. Raises BadRowError.

    Tool calls and results after the last user turn belong to the answer.
    """
    last = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
    if last < 0 or last == len(turns) - 1:
        raise BadRowError(column, "expected a conversation that ends with an answer to a turn of the user")
    return tuple(turns[: last + 1]), continuation(turns[last + 1 :], column)


def with_prompt(prompt: tuple[Message, ...], shared: tuple[Message, ...], column: str) -> tuple[Message, ...]:
    """Join the prompt column with the turns that both responses share, which often repeat that prompt.

    Raises BadRowError if they do not fit: two consecutive user turns would be a prompt that nobody wrote.
    """
    bare = tuple(turn for turn in prompt if turn.role not in {"system", "developer"})
    if not shared or shared[: len(prompt)] == prompt:
        return shared or prompt
    if bare and shared[: len(bare)] == bare:  # only the prompt column has the system turn
        return (*prompt, *shared[len(bare) :])
    if prompt[: len(shared)] == shared and [turn.role for turn in prompt[len(shared) :]] == ["assistant"]:
        return shared  # the prompt column holds the whole conversation, including an answer
    if prompt[-1].role != "user" or shared[0].role == "assistant":
        return (*prompt, *shared)
    raise BadRowError(
        column, "differs from the turns that both responses share; leave this column out with --map prompt="
    )


def continuation(turns: Sequence[Message], column: str) -> str:
    """The text of an assistant turn and all turns after it. Raises BadRowError if the first turn is another role's."""
    answer, *rest = turns
    if answer.role != "assistant":
        raise BadRowError(column, f"continues with a turn of the {answer.role}, expected an answer of the assistant")
    return answer.content + "".join(f"\n\n{turn.role.capitalize()}: {turn.content}" for turn in rest)


def _shared(first: Sequence[Message], second: Sequence[Message]) -> int:
    """Number of common leading turns after which both conversations continue with a turn of the assistant."""
    shared, most = 0, min(len(first), len(second)) - 1
    while shared < most and first[shared] == second[shared]:
        shared += 1
    while shared and not (first[shared].role == second[shared].role == "assistant"):
        shared -= 1
    return shared


def _open_dialogue(text: str) -> tuple[Message, ...] | None:
    """The turns of a text like "Human: Hi\\n\\nAssistant:", which ends before the next answer; None for other texts."""
    if not text.rstrip().endswith("\n\nAssistant:") or not text.lstrip().startswith("Human:"):
        return None
    _, *parts = _TURN.split(f"\n\n{text.strip()}")
    return tuple(_dialogue(parts[:-2]))


def _dialogue(parts: Sequence[str]) -> Iterator[Message]:
    for role, text in zip(parts[::2], parts[1::2], strict=True):
        yield Message.model_validate({"role": ROLES[role.lower()], "content": text.strip()})


# Messages -------------------------------------------------------------------------------------------------------------


def _plain_message(value: Mapping[str, Any]) -> Message | None:
    """Fast path for a message with only role and content, as nearly all are; None for others."""
    role, content = value.get("role"), value.get("content")
    plain = len(value) == 2 and type(role) is str and role in PLAIN_ROLES and type(content) is str
    return Message(role=role, content=content) if plain else None


def _message(value: Mapping[str, Any], where: str) -> Message:
    """Parse any message. None counts as missing, because tables fill keys of other rows with None."""
    given = next((value[key] for key in ROLE_KEYS if value.get(key) is not None), None)
    if given is None:
        raise BadRowError(f"{where}.role", f"is missing, expected one of {', '.join(ROLES)}")
    role = ROLES.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        raise BadRowError(f"{where}.role", f"got {truncated_repr(given)}, expected one of {', '.join(ROLES)}")
    image = next((key for key in IMAGE_KEYS if value.get(key)), None)
    if image:
        raise BadRowError(f"{where}.{image}", f"got {truncated_repr(value[image])}, {NO_IMAGES}")
    return Message(role=role, content=_content(value, given.strip().lower(), where))


def _content(value: Mapping[str, Any], role: str, where: str) -> str:
    key = next((key for key in CONTENT_KEYS if value.get(key) is not None), CONTENT_KEYS[0])
    content = value.get(key)
    if role in CALLING_ROLES and isinstance(content, str):
        return _calls(content, f"{where}.{key}")
    calls = [_calls(value[name], f"{where}.{name}") for name in ("tool_calls", "function_call") if value.get(name)]
    if content is None and not calls:
        raise BadRowError(f"{where}.{key}", "is missing, expected text")
    texts = [] if content is None else [_text(content, role, f"{where}.{key}")]
    return "\n".join(text for text in (*texts, *calls) if text or not calls)


def _text(content: Any, role: str, where: str) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return _parts_as_text(content, where)
    if ROLES[role] == "tool" and isinstance(content, Mapping):
        return json.dumps(content, ensure_ascii=False)
    raise BadRowError(where, f"got {truncated_repr(content)}, expected text or a list of parts of text")


def _parts_as_text(parts: Sequence[Any], where: str) -> str:
    texts = [_part(part, f"{where}.{index}") for index, part in enumerate(parts)]
    separator = "\n" if any(isinstance(part, Mapping) and part.get("type") == "tool_use" for part in parts) else ""
    return separator.join(text for text in texts if text)


def _part(part: Any, where: str) -> str:
    """The text of a message part, including tool calls and results; empty for reasoning."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise BadRowError(where, f"got {truncated_repr(part)}, expected a part with a text")
    kind = part.get("type")
    image = next((key for key in IMAGE_KEYS if part.get(key)), None)
    if image or kind in IMAGE_KEYS:
        raise BadRowError(f"{where}.{image or kind}", f"got {truncated_repr(part)}, {NO_IMAGES}")
    if kind in {"thinking", "redacted_thinking", "reasoning"}:
        return ""
    if kind == "tool_use":
        return _calls([part], where)
    if part.get("functionCall"):
        return _calls([part["functionCall"]], f"{where}.functionCall")
    if kind == "tool_result":
        return _text(part.get("content") or "", "tool", f"{where}.content")
    if isinstance(part.get("text"), str):
        return str(part["text"])
    raise BadRowError(where, f"got {truncated_repr(part)}, expected a part with a text")


# Tool calls -----------------------------------------------------------------------------------------------------------


def call_text(name: str, arguments: Any) -> str:
    """Render a tool call as text for judges.

    >>> call_text("weather", {"city": "Lima"}) == call_text("weather", '{"city":"Lima"}')
    True
    >>> call_text("weather", {"city": "Lima"})
    'Tool call: weather({"city": "Lima"})'
    """
    if isinstance(arguments, str):
        arguments = _decoded(arguments)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False, default=str)
    return f"Tool call: {name}({text})"


def _calls(value: Any, where: str) -> str:
    """Render one or more calls, one per line. Text that is not JSON is kept."""
    decoded = _decoded(value) if isinstance(value, str) else value
    if isinstance(decoded, str):
        return f"Tool call: {decoded}"
    calls = decoded if isinstance(decoded, list | tuple) else [decoded]
    return "\n".join(_call(call, where) for call in calls)


def _call(call: Any, where: str) -> str:
    function = call.get("function") or call if isinstance(call, Mapping) else call
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise BadRowError(where, f"got {truncated_repr(call)}, expected a tool call with a name and arguments")
    keys = ("arguments", "input", "parameters", "args")
    return call_text(name, next((function[key] for key in keys if function.get(key) is not None), None))


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
