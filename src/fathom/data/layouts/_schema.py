"""The schema of a source over all of its rows: columns, their types, and their values if these are few.

    schema = Schema()
    for row in rows:
        schema.add(row)
    schema.columns["label"].spellings     # {("text", "A"), ("text", "B")}

Layouts are inferred from the schema only. So neither the order of rows and columns nor a value that the first row
lacks can change how a source is read. Memory is bounded, because values are kept only while they are few and short.
"""

from __future__ import annotations

import json
import math
import re
from ast import literal_eval
from collections.abc import Mapping
from typing import Any, Literal

ValueKind = Literal["text", "number", "flag", "list", "object", "image", "other"]

MAX_SPELLINGS = 24
"""Columns with more distinct values are not labels."""
MAX_SPELLING = 40
"""Maximum length in characters of the values that are kept."""
MAX_LABEL = 120
"""Maximum length in characters of a label, such as a model name. Columns with longer texts hold prose."""
MAX_KEYS = 200
"""Maximum number of keys that are kept of nested objects. Objects whose keys are data may have any number."""
MAX_DEPTH = 5

_KINDS: Mapping[type, ValueKind] = {
    str: "text",
    bool: "flag",
    int: "number",
    float: "number",
    list: "list",
    tuple: "list",
    dict: "object",
}


class Shape:
    """Summary of the values of a column, or of a key inside it. Empty values (`is_empty`) are not counted."""

    __slots__ = (
        "_depth", "_ungraded", "decoded", "dialogues", "high", "in_text",
        "items", "keys", "kinds", "lengths", "longest", "low",
        "numerals", "spellings", "texts", "whole",
    )  # fmt: skip

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self.kinds: set[ValueKind] = set()
        self.spellings: set[tuple[ValueKind, Any]] | None = set()
        """The distinct values with their kinds; None once there are too many, or a long one."""
        self.numerals = True
        """Whether every text spells a number."""
        self.low, self.high, self.whole = math.inf, -math.inf, True
        """Range of the numbers, including those spelled as text, and whether all are integers."""
        self.keys: dict[str, Shape] = {}
        """Shapes of the values of objects, by key."""
        self.items: Shape | None = None
        """Shape of the elements of all lists."""
        self.lengths: set[int] = set()
        """Lengths of lists."""
        self.texts = 0
        self.dialogues = False
        """Whether some text is a dialogue of Human and Assistant."""
        self.longest = 0
        """Length in characters of the longest text."""
        self.in_text = 0
        """Number of texts that are JSON lists."""
        self.decoded: Shape | None = None
        """Shape of the lists in those texts."""
        self._ungraded = False

    @property
    def graded(self) -> bool:
        """Whether every list ends with a message that is + or -, the label of the turn before it."""
        return bool(self.lengths) and not self._ungraded

    @property
    def lists_in_text(self) -> bool:
        """Whether the column holds lists as JSON text, as in tables: at least half of its texts are lists."""
        return self.decoded is not None and 2 * self.in_text >= self.texts

    @property
    def numeric(self) -> bool:
        """Whether every value is a number, or a text that spells one."""
        return bool(self.kinds) and self.kinds <= {"number", "text"} and self.numerals

    def add(self, value: Any) -> None:
        kind = _KINDS.get(type(value)) or _kind(value)
        if kind == "text":
            if value:
                self._add_text(value)
        elif not is_empty(value):
            self.kinds.add(kind)
            if kind == "number" or kind == "flag":
                self._add_number(value)
                self._spell(kind, value)
            elif self._depth < MAX_DEPTH:
                self._add_nested(kind, value)

    def _add_text(self, text: str) -> None:
        if not self.texts:
            self.kinds.add("text")
        self.texts += 1
        length = len(text)
        if length > self.longest:
            self.longest = length
        if length > MAX_SPELLING:
            self.spellings, self.numerals = None, False
        else:
            if self.spellings is not None:
                self._spell("text", text)
            if self.numerals:
                self._add_numeral(text)
        if text[0] == "\n" and text.startswith("\n\nHuman:"):
            self.dialogues = True
        elif text[0] == "[" and self._depth < MAX_DEPTH and (value := list_in(text)) is not None:
            self.in_text += 1
            self.decoded = self.decoded or Shape(self._depth + 1)
            self.decoded.add(value)

    def _add_numeral(self, text: str) -> None:
        number = as_number(text)
        self.numerals = number is not None
        if number is not None:
            self._add_number(number)

    def _add_number(self, number: float) -> None:
        self.low, self.high = min(self.low, number), max(self.high, number)
        self.whole = self.whole and float(number).is_integer()

    def _spell(self, kind: ValueKind, value: Any) -> None:
        if self.spellings is not None:
            self.spellings.add((kind, value))
            if len(self.spellings) > MAX_SPELLINGS:
                self.spellings = None

    def _add_nested(self, kind: ValueKind, value: Any) -> None:
        if kind == "list":
            items = self.items = self.items or Shape(self._depth + 1)
            if len(self.lengths) <= MAX_SPELLINGS:
                self.lengths.add(len(value))
            self._ungraded = self._ungraded or not _is_grade(value[-1])
            for element in value:
                items.add(element)
        elif kind == "object":
            keys = self.keys
            for name, nested in value.items():
                shape = keys.get(name)
                if shape is None:
                    if len(keys) >= MAX_KEYS:
                        continue
                    shape = keys[name] = Shape(self._depth + 1)
                shape.add(nested)


class Schema:
    """The shapes of all columns, built up row by row."""

    def __init__(self) -> None:
        self.columns: dict[str, Shape] = {}
        self.first: dict[str, int] = {}
        """The line of the first row that has each column."""
        self.rows = 0

    def add(self, row: Mapping[str, Any], line: int = 0) -> None:
        self.rows += 1
        for name, value in row.items():
            shape = self.columns.get(name)
            if shape is None:
                shape = self.columns[name] = Shape()
                self.first[name] = line
            shape.add(value)

    def without(self, names: set[str]) -> Schema:
        """The schema without these columns."""
        rest = Schema()
        rest.rows, rest.first = self.rows, self.first
        rest.columns = {name: shape for name, shape in self.columns.items() if name not in names}
        return rest

    def filled(self, name: str) -> bool:
        """Whether some row has a value in this column."""
        return name in self.columns and bool(self.columns[name].kinds)


def _is_grade(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("content", value.get("value")) in ("+", "-")


def _kind(value: Any) -> ValueKind:
    if isinstance(value, Mapping):
        return "object"
    if type(value).__module__.startswith("PIL."):
        return "image"
    return "number" if isinstance(value, int | float) else "other"


def is_empty(value: Any) -> bool:
    """Whether a cell is empty: None, NaN (which tables store in place of a missing text), an empty text or list."""
    if isinstance(value, str | list | tuple | dict):
        return not value
    return value is None or (isinstance(value, float) and math.isnan(value))


_NUMERAL = re.compile(r" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *")


def as_number(value: Any) -> float | None:
    """The value as a number, including numbers spelled as text; otherwise None. True is 1, False is 0."""
    if isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in {"true", "false"}:
            return float(lowered == "true")
        return as_number(float(value)) if _NUMERAL.fullmatch(value) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def list_in(text: str) -> list[Any] | None:
    """Parse a list from text, in JSON or in Python's notation (tables written by pandas); None for other texts."""
    if not text.startswith("[") or not text.rstrip().endswith("]"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if not text.startswith(("['", '["', "[{'")):
            return None
        try:
            value = literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    return value if isinstance(value, list) else None
