"""A detected layout, and the conversion of its rows to comparisons."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

from pydantic import ValidationError

from fathom.data.conversations import (
    PLAIN_ROLES,
    TURN_KEYS,
    BadRowError,
    Prompt,
    as_messages,
    as_prompt,
    as_response,
    as_turns,
    explain,
    is_message,
    split,
    truncated_repr,
    with_prompt,
    without_answer,
)
from fathom.data.layouts._mapping import Path, SourceRow, cell, remainder
from fathom.data.layouts._responses import KINDS, LayoutKind
from fathom.data.layouts._rules import Annotators, LabelRule
from fathom.data.layouts._schema import list_in
from fathom.data.records import Comparison, Domain, Label, Message, shuffled_order
from fathom.errors import map_option

_NOT_COMPARED = ("id", "domain", "source_order", "placement", "metadata", "annotators", "annotations", "flags")
KEPT = ("annotators",)
"""Fields whose columns are also kept in `metadata`: individual annotations hold more than their majority."""


@dataclass(frozen=True)
class Layout:
    """How to read the rows of one source. `paths` maps each field to its places; several places form a list."""

    kind: LayoutKind
    paths: Mapping[str, tuple[Path, ...]]
    label: LabelRule | None = None
    annotators: Annotators | None = None
    domain: Domain | None = None
    domains: Mapping[str, Domain] = field(default_factory=dict)
    """The domain of each value of the domain column, if these are not domain names. Other values mean no domain."""
    single_response: bool = False
    """Whether a row has one response. A list of messages is then one conversation."""
    json_columns: frozenset[str] = frozenset()
    """Text columns that hold lists as JSON, as in tables."""
    parallel_turns: bool = False
    """Whether prompt and responses are parallel lists of the user's turns and the answers to them."""

    def id(self, row: SourceRow) -> str | None:
        """The row's own id."""
        value = self._value(row, "id")
        return None if value is None else str(value)

    def name(self, field: str) -> str:
        """The column of a field, for messages."""
        return self._names.get(field, field)

    def digest(self, row: SourceRow) -> str:
        """A hash of the compared content, used as id. It ignores the position in the file and other columns."""
        content = {name: self._value(row, name, decode=False) for name in self.paths if name not in _NOT_COMPARED}
        content = {name: value for name, value in content.items() if value is not None}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def read(self, row: SourceRow, id: str, seed: int) -> list[Comparison]:
        """The comparisons of a row: one, or one per pair of a chosen and a rejected response.

        Raises BadRowError.
        """
        for name in KINDS.get(self.kind, ()):
            if self._value(row, name) is None:
                raise BadRowError(self.name(name), "is missing, expected text; empty text is allowed")
        if self.kind == "conversation":
            return [self._conversation(row, id)]
        if self.kind == "responses":
            return [self._list(row, id)]
        if self.kind == "pair":
            prompt, responses = self._split(row, *(self._value(row, side) for side in KINDS["pair"]))
            return [self._comparison(row, id, (0, 1), prompt=prompt, responses=responses)]
        return [pair.permuted(shuffled_order(seed, pair.id, 2)) for pair in self._winners_first(row, id)]

    # Responses --------------------------------------------------------------------------------------------------------

    def _conversation(self, row: SourceRow, id: str) -> Comparison:
        column = self.name("conversation")
        prompt, answer = without_answer(as_messages(self._value(row, "conversation"), column), column)
        return self._comparison(row, id, (0,), prompt=self._around(row, prompt), responses=(answer,))

    def _list(self, row: SourceRow, id: str) -> Comparison:
        responses = self._listed(row)
        kept = [place for place, response in enumerate(responses) if response is not None]
        if not kept:
            raise BadRowError(
                self.name("responses"), f"got {truncated_repr(responses)}, expected at least one response"
            )
        name = self.name("responses")
        if all(self._is_whole(responses[place]) for place in kept):
            shared, answers = self._common([responses[place] for place in kept], name)
            return self._comparison(
                row, id, kept, prompt=self._joined(row, self._prompt(row), shared), responses=answers
            )
        texts = [as_response(responses[place], f"{name}.{place}" if len(responses) > 1 else name) for place in kept]
        return self._comparison(row, id, kept, prompt=self._required_prompt(row), responses=texts)

    def _common(self, conversations: Sequence[Any], name: str) -> tuple[tuple[Message, ...], list[str]]:
        """The common prompt of several conversations and their last answers. Raises BadRowError if prompts differ."""
        parts = [without_answer(as_turns(turns, name), name) for turns in conversations]
        if any(prompt != parts[0][0] for prompt, _ in parts):
            raise BadRowError(name, "contains conversations with different prompts, expected answers to one prompt")
        return parts[0][0], [answer for _, answer in parts]

    def _listed(self, row: SourceRow) -> list[Any]:
        """The raw responses. With one column per response, None stands for a missing one."""
        value = self._value(row, "responses")
        if len(self.paths["responses"]) > 1:
            return list(value)
        name = self.name("responses")
        if self.single_response:
            return [value]
        if not isinstance(value, list | tuple) or not value:
            places = [f"{name}.{key}" for key in value] if isinstance(value, Mapping) else []
            keys = f" ({map_option('responses', *places)})" if places else ""
            raise BadRowError(name, f"got {truncated_repr(value)}, expected a list of at least one response{keys}")
        messages = [response for response in value if is_message(response)]
        if len(messages) == len(value) and any(
            m.get("role", m.get("from")) != messages[0].get("role", messages[0].get("from")) for m in messages
        ):
            return [value]  # one response of several turns
        for place, response in enumerate(value):
            if response is None:
                raise BadRowError(f"{name}.{place}", "is missing, expected text; empty text is allowed")
        return list(value)

    def _winners_first(self, row: SourceRow, id: str) -> Iterator[Comparison]:
        better, worse = (self._candidates(row, name) for name in KINDS["chosen"])
        several = len(better) * len(worse) > 1
        for (i, chosen), (j, rejected) in product(enumerate(better), enumerate(worse)):
            prompt, responses = self._split(row, chosen, rejected)
            pair = {"prompt": prompt, "responses": responses, "label": Label(best=0), "source_order": (0, 1)}
            more = {"chosen": i, "rejected": j} if several else {}
            yield self._comparison(row, f"{id}/{i}-{j}" if several else id, (0, 1), more, **pair)

    def _candidates(self, row: SourceRow, name: str) -> list[Any]:
        """The responses in a cell: one, or the elements of a list. A list of messages is one response."""
        value = self._value(row, name)
        if not isinstance(value, list | tuple) or (value and isinstance(value[0], Mapping)):
            return [value]
        if not value:
            raise BadRowError(self.name(name), "got an empty list, expected at least one response")
        return list(value)

    def _split(self, row: SourceRow, first: Any, second: Any) -> tuple[Prompt, tuple[str, str]]:
        """The prompt and two responses. The prompt comes from its column, or from the responses' conversations."""
        names = [self.name(name) for name in KINDS[self.kind]]
        if self.parallel_turns:
            return self._split_turns(row, first, second, names)
        prompt = self._prompt(row)
        whole = [self._is_whole(value) for value in (first, second)]
        if prompt is not None and not any(whole):
            responses = as_response(first, names[0]), as_response(second, names[1])
            return self._around(row, self._open(prompt, responses)), responses
        if "prompt" in self.paths and not any(whole) and not (is_message(first) or isinstance(first, list)):
            raise BadRowError(self.name("prompt"), "is missing, expected text or a list of messages")
        if any(whole) and not all(whole):
            turns = as_turns((first, second)[whole.index(True)], names[whole.index(True)])
            shared, answer = without_answer(turns, names[whole.index(True)])
            other = as_response((first, second)[whole.index(False)], names[whole.index(False)])
            return self._joined(row, prompt, shared), (answer, other) if whole[0] else (other, answer)
        shared, responses = split(first, second, names)
        if not shared and prompt is None:
            raise BadRowError(
                names[0], f"shares no turn with {names[1]}, expected conversations with one prompt, or a prompt column"
            )
        return self._joined(row, prompt, shared), responses

    def _is_whole(self, value: Any) -> bool:
        """Whether a response is a conversation that includes the prompt."""
        if isinstance(value, list | tuple) and value and is_message(value[0]):
            role = value[0].get("role")
            if isinstance(role, str) and role in PLAIN_ROLES:
                return role != "assistant"
            return as_messages(value[:1], self.name(KINDS[self.kind][0]))[0].role != "assistant"
        return isinstance(value, str) and value.startswith("\n\nHuman:") and "\n\nAssistant:" in value

    def _split_turns(
        self, row: SourceRow, first: Any, second: Any, names: Sequence[str]
    ) -> tuple[Prompt, tuple[str, str]]:
        asked = self._value(row, "prompt")
        conversations = []
        for name, answers in zip(names, (first, second), strict=True):
            lists = isinstance(asked, list) and isinstance(answers, list) and len(asked) == len(answers) > 0
            if not lists or not all(text is None or isinstance(text, str) for text in (*asked, *answers)):
                expected = f"a list with one text for each turn of {self.name('prompt')}, as other rows have"
                raise BadRowError(name, f"got {truncated_repr(answers)}, expected {expected}")
            turns = ({"role": role, "content": text or ""} for pair in zip(asked, answers, strict=True)
                     for role, text in zip(("user", "assistant"), pair, strict=True))  # fmt: skip
            conversations.append(list(turns))
        shared, responses = split(conversations[0], conversations[1], names)
        return self._around(row, shared[0].content if len(shared) == 1 else shared), responses

    # The prompt -------------------------------------------------------------------------------------------------------

    def _prompt(self, row: SourceRow) -> Prompt | None:
        """The prompt from its own column, with the `input` column appended."""
        value, more = self._value(row, "prompt"), self._value(row, "input")
        if value is None:
            return None
        prompt = as_prompt(value, self.name("prompt"))
        return prompt if not more else _extended(prompt, more, self.name("input"), below=True)

    def _open(self, prompt: Prompt, responses: Sequence[str]) -> Prompt:
        """Drop a final answer from the prompt if it is one of the responses. Raises BadRowError for another answer."""
        if isinstance(prompt, str) or prompt[-1].role != "assistant":
            return prompt
        if prompt[-1].content not in responses or len(prompt) == 1:
            raise BadRowError(self.name("prompt"), "ends with an answer of the assistant, expected a turn of the user")
        return prompt[:-1]

    def _required_prompt(self, row: SourceRow) -> Prompt:
        prompt = self._prompt(row)
        if prompt is None:
            raise BadRowError(self.name("prompt"), "is missing, expected text or a list of messages")
        return self._around(row, prompt)

    def _joined(self, row: SourceRow, prompt: Prompt | None, shared: tuple[Message, ...]) -> Prompt:
        """Combine the prompt column with the turns shared by the responses, which may repeat the prompt."""
        if prompt is None:
            return self._around(row, shared)
        if isinstance(prompt, tuple):
            return self._around(row, with_prompt(prompt, shared, self.name("prompt")))
        if not shared:
            return self._around(row, prompt)
        if not any(turn.content.strip() == prompt.strip() for turn in shared):
            turns = f"the turns that {' and '.join(self.name(name) for name in KINDS[self.kind])} share"
            raise BadRowError(self.name("prompt"), f"is not among {turns}; leave it out with --map prompt=")
        return self._around(row, shared)

    def _around(self, row: SourceRow, prompt: Prompt) -> Prompt:
        """Add the context passage above the prompt, and the system prompt and history before it."""
        context, history, system = (self._value(row, name) for name in ("context", "history", "system"))
        if context:
            prompt = _extended(prompt, context, self.name("context"), below=False)
        if not history and not system:
            return prompt
        turns = (Message(role="user", content=prompt),) if isinstance(prompt, str) else prompt
        if history:
            turns = _with_history(_history(history, self.name("history")), turns)
        if system:
            turns = _with_system(system, turns, self.name("system"))
        return turns

    # Rows -------------------------------------------------------------------------------------------------------------

    def _value(self, row: SourceRow, name: str, *, decode: bool = True) -> Any:
        paths = self.paths.get(name)
        if paths is None:
            return None
        if len(paths) == 1 and not self.json_columns:
            return paths[0].value(row)
        values = [path.value(row) for path in paths]
        if decode and self.json_columns:
            values = [self._decoded(value, path) for value, path in zip(values, paths, strict=True)]
        if len(values) == 1:
            return values[0]
        return values if any(value is not None for value in values) else None

    def _decoded(self, value: Any, path: Path) -> Any:
        if path.column in self.json_columns and isinstance(value, str):
            found = list_in(value)
            return value if found is None else found
        return value

    @cached_property
    def _names(self) -> Mapping[str, str]:
        return {field: ",".join(map(str, paths)) for field, paths in self.paths.items()}

    @cached_property
    def _used(self) -> Mapping[str, list[Path]]:
        """The places that are read, by column. Everything else goes to `metadata`."""
        used: dict[str, list[Path]] = {}
        for name, paths in self.paths.items():
            for path in paths if not (name in KEPT or (name == "domain" and self.domains)) else ():
                used.setdefault(path.column, []).append(path)
        return used

    def _metadata(self, row: SourceRow) -> dict[str, Any]:
        further = {column: value for column, value in row.items() if column not in self._used}
        for column, places in self._used.items():
            if any(path.steps for path in places) and (rest := remainder(row, column, places)) is not None:
                further[column] = rest
        own = cell(row, self.paths["metadata"][0].column) if "metadata" in self.paths else None
        return further | (dict(own) if isinstance(own, Mapping) else {"metadata": own} if own is not None else {})

    def _domain(self, row: SourceRow) -> Any:
        value = self._value(row, "domain")
        return self.domains.get(str(value)) if self.domains else value

    def _annotations(self, row: SourceRow) -> Any:
        if self.annotators is not None:
            return self.annotators.read(row) or None
        return self._value(row, "annotations")

    def _comparison(
        self, row: SourceRow, id: str, kept: Sequence[int], more: SourceRow | None = None, **given: Any
    ) -> Comparison:
        label = self.label.read(row, kept) if self.label is not None else None
        reference = self._value(row, "reference")
        values = {
            "id": id,
            "label": label,
            "reference": str(reference) if isinstance(reference, int | float) else reference,
            "domain": self.domain or self._domain(row),
            "source_order": self._value(row, "source_order"),
            "steps": self._value(row, "steps"),
            "step_types": self._value(row, "step_types"),
            "annotations": self._annotations(row),
            "metadata": {**self._metadata(row), **(more or {})},
            **given,
        }
        try:
            return Comparison.model_validate(values)
        except ValidationError as error:
            raise explain(error, {name: self.name(name) for name in self.paths}) from None


def _extended(prompt: Prompt, more: Any, column: str, *, below: bool) -> Prompt:
    """Add a text below or above the prompt; in a conversation, to the last turn of the user."""
    text = "\n\n".join(more) if isinstance(more, list) and all(isinstance(part, str) for part in more) else more
    if not isinstance(text, str):
        raise BadRowError(column, f"got {truncated_repr(more)}, expected text to add to the prompt")
    if isinstance(prompt, str):
        return f"{prompt}\n\n{text}" if below else f"{text}\n\n{prompt}"
    last = max((place for place, turn in enumerate(prompt) if turn.role == "user"), default=None)
    if last is None:
        raise BadRowError(
            column,
            "is added to the last turn of the user, but the prompt has none; leave it out with --map ignore=COLUMN",
        )
    content = _extended(prompt[last].content, text, column, below=below)
    return (*prompt[:last], Message(role="user", content=str(content)), *prompt[last + 1 :])


def _history(value: Any, column: str) -> tuple[Message, ...]:
    """Parse earlier turns: messages, or pairs of a user turn and its answer."""
    value = list_in(value) or value if isinstance(value, str) else value
    if not isinstance(value, list | tuple):
        raise BadRowError(
            column,
            f"got {truncated_repr(value)}, expected a list of turns; to read text, use {map_option('context', column)}",
        )
    pairs = [_turn(turn) for turn in value]
    if any(pair is None for pair in pairs):
        return as_messages(value, column)
    turns = [
        {"role": role, "content": text or ""}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair or (), strict=True)
    ]
    return as_messages(turns, column)


def _turn(turn: Any) -> Sequence[Any] | None:
    """A user turn and its answer; None for values of another form."""
    if isinstance(turn, Mapping):
        keys = next((keys for keys in TURN_KEYS if set(keys) <= turn.keys()), None)
        return None if keys is None else [turn[key] for key in keys]
    return turn if isinstance(turn, list | tuple) and len(turn) == 2 else None


def _with_history(history: tuple[Message, ...], turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """Insert earlier turns after the system turn, unless the conversation already begins with them."""
    system = tuple(turn for turn in turns[:1] if turn.role in {"system", "developer"})
    rest = turns[len(system) :]
    return turns if rest[: len(history)] == history else (*system, *history, *rest)


def _with_system(system: Any, turns: tuple[Message, ...], column: str) -> tuple[Message, ...]:
    if not isinstance(system, str):
        raise BadRowError(column, f"got {truncated_repr(system)}, expected the text of a system prompt")
    if turns[0].role not in {"system", "developer"}:
        return (Message(role="system", content=system), *turns)
    if turns[0].content.strip() != system.strip():
        raise BadRowError(column, "differs from the system turn of the conversation; leave it out with --map system=")
    return turns
