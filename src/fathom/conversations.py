"""Prompts and responses out of texts and chat messages, as sources hold them.

    >>> split("\\n\\nHuman: Hi\\n\\nAssistant: Hello", "\\n\\nHuman: Hi\\n\\nAssistant: What?", ("chosen", "rejected"))
    ((Message(role='user', content='Hi'),), ('Hello', 'What?'))

Where two conversations hold the prompt within them, the prompt is what they share, up to an answer of the assistant. A
response that goes on for several turns is one text, its later turns headed by their roles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from fathom.records import Message

Prompt = str | tuple[Message, ...]

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


class BadRow(ValueError):  # noqa: N818
    """A row that cannot be read. `field` is the column; the message says what was wrong and what is allowed.

    `text` is the row as it stood in the file, where no more than text could be made of it.
    """

    def __init__(self, field: str, message: str, text: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.text = text


def explain(error: ValidationError, columns: Mapping[str, str]) -> BadRow:
    """The first of pydantic's complaints, about the source's column instead of our field."""
    first = error.errors()[0]
    field, *rest = (str(part) for part in first["loc"]) if first["loc"] else ("row",)
    where = ".".join([columns.get(field, field), *rest])
    if first["type"] == "value_error":
        return BadRow(where, first["msg"].removeprefix("Value error, "))
    allowed = first.get("ctx", {}).get("expected") or first["msg"].lower()
    return BadRow(where, f"got {shortened(first['input'])}, allowed: {allowed}")


def shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def as_prompt(value: Any, column: str) -> Prompt:
    """Text as it is, messages as messages. Raises BadRow."""
    if isinstance(value, str):
        return value
    return as_messages(value, column)


def as_messages(value: Any, column: str) -> tuple[Message, ...]:
    if not _is_conversation(value):
        raise BadRow(column, f"got {shortened(value)}, allowed is text or a list of messages with role and content")
    return tuple(_message(message, f"{column}.{index}") for index, message in enumerate(value))


def as_response(value: Any, column: str) -> str:
    """Text as it is, an answer in messages as text, a number as text: tables make numbers of answers like 42.

    Raises BadRow.
    """
    if isinstance(value, str | int | float):
        return str(value)
    return _continuation(as_messages(value, column), column)


def split(first: Any, second: Any, columns: Sequence[str]) -> tuple[tuple[Message, ...], tuple[str, str]]:
    """The prompt that two conversations share, and the response in which each goes on.

    They may be lists of messages or texts with "\\n\\nHuman:" and "\\n\\nAssistant:" before the turns. The prompt is
    empty where nothing is shared. Raises BadRow.
    """
    turns = [_turns(value, column) for value, column in zip((first, second), columns, strict=True)]
    shared = _shared(*turns)
    a, b = (_continuation(turn[shared:], column) for turn, column in zip(turns, columns, strict=True))
    return turns[0][:shared], (a, b)


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(message, Mapping) for message in value)


def _message(value: Mapping[str, Any], where: str) -> Message:
    """A table fills the keys that other rows have with None: those are left out."""
    given = {key: part for key, part in value.items() if part is not None}
    if isinstance(given.get("content"), list):
        given["content"] = _parts_as_text(given["content"], f"{where}.content")
    try:
        return Message.model_validate(given)
    except ValidationError as error:
        bad = explain(error, {})
        raise BadRow(f"{where}.{bad.field}", str(bad)) from None


def _parts_as_text(parts: list[Any], where: str) -> str:
    if not all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in parts):
        raise BadRow(where, f"got {shortened(parts)}, allowed are parts of text only")
    return "".join(part["text"] for part in parts)


def _turns(value: Any, column: str) -> tuple[Message, ...]:
    if not isinstance(value, str):
        return as_messages(value, column)
    start, *parts = _TURN.split(value)
    if start.strip() or len(parts) < 4:
        wanted = "a dialogue of Human and Assistant turns, or a prompt column (--map prompt=COLUMN)"
        raise BadRow(column, f"is a text without a prompt, allowed is {wanted}")
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return tuple(Message.model_validate({"role": _ROLES[role], "content": text.strip()}) for role, text in pairs)


def _shared(first: Sequence[Message], second: Sequence[Message]) -> int:
    """How many leading turns are the same, so that both go on with a turn of the assistant."""
    shared, most = 0, min(len(first), len(second)) - 1
    while shared < most and first[shared] == second[shared]:
        shared += 1
    while shared and not (first[shared].role == second[shared].role == "assistant"):
        shared -= 1
    return shared


def _continuation(turns: Sequence[Message], column: str) -> str:
    answer, *rest = turns
    if answer.role != "assistant":
        raise BadRow(column, f"goes on with a turn of the {answer.role}, allowed is an answer of the assistant")
    return answer.content + "".join(f"\n\n{turn.role.capitalize()}: {turn.content}" for turn in rest)
