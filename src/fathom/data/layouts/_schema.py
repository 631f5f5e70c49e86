"""What the rows of a source hold, over all of its rows: which columns, of what kinds, with which few values.

    schema = Schema()
    for row in rows:
        schema.add(row)
    schema.columns["label"].spellings     # {("text", "A"), ("text", "B")}

A layout is recognised from this and nothing else, so neither the order of rows or columns nor what the first row
happens to lack can change how a source is read. Memory is bounded: values are kept while they are few.
"""

from __future__ import annotations

import json
import math
import re
from ast import literal_eval
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["text", "number", "flag", "list", "object", "image", "other"]

MAX_SPELLINGS = 24
"""Columns with more different values are no labels."""
MAX_SPELLING = 40
"""Characters of the values that are kept."""
MAX_LABEL = 120
"""Characters of a label, such as a model's name: columns with longer texts hold prose."""
MAX_KEYS = 200
"""Keys of nested objects that are kept: objects whose keys are data (token ids, say) have any number of them."""
MAX_DEPTH = 5

_KINDS: Mapping[type, Kind] = {
    str: "text",
    bool: "flag",
    int: "number",
    float: "number",
    list: "list",
    tuple: "list",
    dict: "object",
}


class Shape:
    """What the values of a column, or of a key inside it, have in common. Empty values (`is_empty`) leave no trace."""

    __slots__ = (
        "_depth", "decoded", "dialogues", "high", "in_text", "items", "keys", "kinds", "lengths", "longest", "low",
        "numerals", "spellings", "texts", "whole",
    )  # fmt: skip

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self.kinds: set[Kind] = set()
        self.spellings: set[tuple[Kind, Any]] | None = set()
        """The different short values with their kinds; None once they are many, or long."""
        self.numerals = True
        """Whether every text is a number in text."""
        self.low, self.high, self.whole = math.inf, -math.inf, True
        """Of the numbers, also of those in text."""
        self.keys: dict[str, Shape] = {}
        """Of objects."""
        self.items: Shape | None = None
        """Of the elements of all lists."""
        self.lengths: set[int] = set()
        """Of lists."""
        self.texts = 0
        self.dialogues = False
        """Whether some text is a dialogue of Human and Assistant."""
        self.longest = 0
        """Characters of the longest text."""
        self.in_text = 0
        """How many texts are lists in JSON."""
        self.decoded: Shape | None = None
        """Of the lists in those texts."""

    @property
    def lists_in_text(self) -> bool:
        """Whether this is a column of lists that a table holds as JSON: at least half of its texts are."""
        return self.decoded is not None and 2 * self.in_text >= self.texts

    @property
    def numeric(self) -> bool:
        """Whether every value is a number, or a number in text."""
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

    def _spell(self, kind: Kind, value: Any) -> None:
        if self.spellings is not None:
            self.spellings.add((kind, value))
            if len(self.spellings) > MAX_SPELLINGS:
                self.spellings = None

    def _add_nested(self, kind: Kind, value: Any) -> None:
        if kind == "list":
            items = self.items = self.items or Shape(self._depth + 1)
            if len(self.lengths) <= MAX_SPELLINGS:
                self.lengths.add(len(value))
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
    """The shapes of all columns."""

    def __init__(self) -> None:
        self.columns: dict[str, Shape] = {}
        self.first: dict[str, int] = {}
        """The line of the first row that has the column."""
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
        """The same schema as if these columns were not there."""
        rest = Schema()
        rest.rows, rest.first = self.rows, self.first
        rest.columns = {name: shape for name, shape in self.columns.items() if name not in names}
        return rest

    def filled(self, name: str) -> bool:
        """Whether some row has a value in this column."""
        return name in self.columns and bool(self.columns[name].kinds)


def _kind(value: Any) -> Kind:
    if isinstance(value, Mapping):
        return "object"
    if type(value).__module__.startswith("PIL."):
        return "image"
    return "number" if isinstance(value, int | float) else "other"


def is_empty(value: Any) -> bool:
    """Whether there is nothing in a cell: no value, the NaN that tables have in place of one, an empty text or list."""
    if isinstance(value, str | list | tuple | dict):
        return not value
    return value is None or (isinstance(value, float) and math.isnan(value))


_NUMERAL = re.compile(r" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *")


def as_number(value: Any) -> float | None:
    """The number that a value is, or that a text spells as tables do; None where it is neither. True is 1, False 0."""
    if isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in {"true", "false"}:
            return float(lowered == "true")
        return as_number(float(value)) if _NUMERAL.fullmatch(value) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def list_in(text: str) -> list[Any] | None:
    """The list that a text is, in JSON or as Python writes it (tables made by pandas); None where it is none."""
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
