"""Reads training files of supervised fine-tuning: a prompt and the completion to learn per row.

    for example in read([Path("mix.jsonl")]):
        example.prompt, example.completion

It reads both of TRL's prompt-completion layouts, from any format of `fathom.data.sources`. A prompt that is text
becomes a user message, because judges are prompted in a chat. Other columns are ignored. Preference data is refused,
because SFT on it would also teach the rejected answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from fathom.data.conversations import BadRowError, as_messages, truncated_repr
from fathom.data.records import Message
from fathom.data.sources import open_data_source
from fathom.errors import FathomError

PREFERENCES = ("chosen", "rejected", "responses", "response_a", "response_b")
"""Columns of preference data, which a row of SFT must not have."""


class Example(BaseModel):
    """A prompt and the answer to learn."""

    prompt: list[Message] = Field(min_length=1)
    completion: list[Message] = Field(min_length=1, max_length=1)


def read(files: Sequence[Path]) -> Iterator[Example]:
    """Yield the examples of all files. Raises FathomError with the file and line of an invalid row."""
    for path in files:
        for line, row in open_data_source(path).rows():
            try:
                yield _example(row)
            except BadRowError as bad:
                raise FathomError(f"{path}:{line}: {bad.field}: {bad}") from bad


def _example(row: Any) -> Example:
    if isinstance(row, BadRowError):
        raise row
    if not isinstance(row, Mapping):
        raise BadRowError("row", f"got {truncated_repr(row)}, expected an object with prompt and completion")
    _refuse_preferences(row)
    prompt, completion = _messages(row, "prompt", "user"), _messages(row, "completion", "assistant")
    if len(completion) != 1 or completion[0].role != "assistant":
        roles = ", ".join(message.role for message in completion)
        raise BadRowError("completion", f"has turns of {roles}, expected one turn of the assistant")
    return Example(prompt=list(prompt), completion=list(completion))


def _messages(row: Mapping[str, Any], column: str, role: str) -> tuple[Message, ...]:
    value = row.get(column)
    if value is None or value == "":
        columns = ", ".join(map(str, row))
        raise BadRowError(
            column,
            f"is missing; the row has {columns}; expected prompt and completion, each a text or a list of messages",
        )
    return as_messages([{"role": role, "content": value}] if isinstance(value, str) else value, column)


def _refuse_preferences(row: Mapping[str, Any]) -> None:
    present = [column for column in PREFERENCES if row.get(column) is not None]
    if present:
        raise BadRowError(
            "row",
            f"has {', '.join(present)}, which is preference data; expected prompt and completion. `fathom synth` makes "
            "such rows from comparisons; `fathom train rlvr` trains on comparisons directly",
        )
    if isinstance(row.get("label"), bool):
        raise BadRowError(
            "label",
            "is a boolean that rates the completion (KTO's layout), which SFT cannot use; keep the rows with true, "
            "and remove the column",
        )
