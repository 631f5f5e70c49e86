"""The `--map` option: assigns columns, or places inside columns, to fields of a comparison.

    path = resolve("completions[].score", schema)
    path.value({"completions": [{"score": 3}, {"score": 5}]})    # [3, 5]

A path is a column, followed by `.key` for a key of an object, `[]` for every element of a list, or `[0]` or `[-1]` for
one element. A column whose name contains such characters takes precedence over a path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, get_args

from fathom.data.conversations import BadRowError, truncated_repr
from fathom.data.layouts._schema import Schema, Shape, is_empty, list_in
from fathom.data.records import Domain
from fathom.errors import FathomError

SourceRow = Mapping[str, Any]
Step = str | int | None
"""A key, an index into a list, or None for every element."""

FIELDS: Mapping[str, str] = {
    "id": "the id of the comparison; with an empty column, ids are hashes of the content",
    "prompt": "text, or a list of messages",
    "system": "the system prompt, put before the prompt",
    "history": "earlier turns, put before the prompt: pairs of texts, or messages",
    "context": "a passage that the prompt refers to, put above it",
    "input": "text that continues the prompt, put below it",
    "responses": "a list of responses, several columns, or one column with one response",
    "response_a": "the first of two responses",
    "response_b": "the second of two responses",
    "chosen": "the better response, or a list of them",
    "rejected": "the worse response, or a list of them",
    "label": "which response is better; with an empty column, labels are ignored",
    "label.a": "the label's value if the first of two responses is better, or a single response is right",
    "label.b": "the label's value if the second of two responses is better, or a single response is wrong",
    "label.tie": "the label's value for a tie",
    "annotators": "one column per annotator of two responses, with values like those of labels",
    "ranking": "indices into `responses`, best first",
    "ranks": "one rank per response, lowest is best",
    "scores": "one number per response, higher is better",
    "reference": "a reference answer",
    "domain": "a column; or preference or correctness, for every row",
    "domain.preference": "values of the domain column that mean preference",
    "domain.correctness": "values of the domain column that mean correctness",
    "ignore": "columns to ignore: they are not read, and no error is raised because of them",
    "layout": "FILE.py:FUNCTION or MODULE:FUNCTION that converts a row to comparisons",
}
"""The fields of a mapping. A field mapped to an empty column is ignored."""

OUTCOMES: Mapping[str, int | None] = {"label.a": 0, "label.b": 1, "label.tie": None}
"""The fields that declare spellings of labels: the index of the better response, or None for a tie."""
DOMAINS: Mapping[str, Domain] = {"domain.preference": "preference", "domain.correctness": "correctness"}
"""The fields that declare values of the domain column."""
SEVERAL = ("responses", "annotators", "ranks", "scores", "ignore")
"""Fields that take several columns, separated by commas."""
CONSTANTS = frozenset(get_args(Domain))
"""Values of `domain` that are constants, unless a column has that name."""

_STEP = re.compile(r"\.([^.\[\]]+)|\[(-?\d*)\]")


@dataclass(frozen=True)
class Path:
    """A place in a row."""

    column: str
    steps: tuple[Step, ...] = ()
    text: str = field(default="", compare=False)
    """The original spelling, for messages."""

    def __str__(self) -> str:
        return self.text or self.column

    @property
    def each(self) -> bool:
        """Whether the path gives one value per element of a list."""
        return None in self.steps

    def value(self, row: SourceRow) -> Any:
        """The value at this place, or None. Raises BadRowError if the row has another structure."""
        value = cell(row, self.column)
        if not self.steps:
            return value
        if isinstance(value, str) and isinstance(self.steps[0], int | None):
            value = list_in(value) or value
        return self._below(value, self.steps)

    def _below(self, value: Any, steps: tuple[Step, ...]) -> Any:
        if not steps or value is None:
            return value
        step, rest = steps[0], steps[1:]
        if isinstance(step, str):
            if not isinstance(value, Mapping):
                raise BadRowError(str(self), f"got {truncated_repr(value)}, expected an object with {step}")
            return self._below(value.get(step), rest)
        if not isinstance(value, list | tuple):
            raise BadRowError(str(self), f"got {truncated_repr(value)}, expected a list")
        if step is None:
            return [self._below(element, rest) for element in value]
        if not -len(value) <= step < len(value):
            raise BadRowError(str(self), f"got {len(value)} elements, expected one at index {step}")
        return self._below(value[step], rest)


def cell(row: SourceRow, column: str) -> Any:
    """The value of a cell, or None. NaN counts as None, since tables store it in place of a missing text."""
    value = row.get(column)
    return None if isinstance(value, float) and value != value else value


@dataclass(frozen=True)
class Mapped:
    """A mapping whose columns were resolved against the schema."""

    paths: Mapping[str, tuple[Path, ...]]
    """The places of each mapped field."""
    empty: frozenset[str] = frozenset()
    """Fields to ignore."""
    spellings: Mapping[int | None, tuple[str, ...]] = field(default_factory=dict)
    """Spellings of labels: for the first response, the second and a tie."""
    domain: Domain | None = None
    domains: Mapping[Domain, tuple[str, ...]] = field(default_factory=dict)
    """Values of the domain column, by domain."""

    def one(self, name: str) -> Path | None:
        paths = self.paths.get(name)
        return paths[0] if paths else None


def split_mapping(mapping: Mapping[str, str | Sequence[str]], schema: Schema) -> tuple[Mapped, Schema]:
    """Resolve a mapping, and drop the columns that it ignores from the schema.

    Raises FathomError for an unknown field or column.
    """
    unknown = [name for name in mapping if name not in FIELDS]
    if unknown:
        raise FathomError(f"--map {unknown[0]}=...: unknown field, expected one of {', '.join(FIELDS)}")
    empty = frozenset(name for name, given in mapping.items() if not given)
    spellings = {outcome: _words(mapping[name]) for name, outcome in OUTCOMES.items() if mapping.get(name)}
    domains = {meant: _texts(mapping[name]) for name, meant in DOMAINS.items() if mapping.get(name)}
    domain = mapping.get("domain")
    constant = domain if domain in CONSTANTS and domain not in schema.columns else None
    paths = {
        name: tuple(resolve(text, schema, name) for text in _columns(name, given, schema))
        for name, given in mapping.items()
        if given and name not in {*OUTCOMES, *DOMAINS, "layout"} and not (name == "domain" and constant)
    }
    ignored = paths.pop("ignore", ())
    if any(path.steps for path in ignored):
        raise FathomError(f"--map ignore={mapping['ignore']}: expected columns, not places inside them")
    return Mapped(paths, empty, spellings, constant, domains), schema.without({path.column for path in ignored})  # type: ignore[arg-type]


def _words(given: str | Sequence[str]) -> tuple[str, ...]:
    """Spellings of a label. A text is split at commas; the whole text is a spelling too, since it may have commas."""
    if not isinstance(given, str):
        return tuple(given)
    return tuple(dict.fromkeys((given, *given.split(","))))


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _columns(name: str, given: str | Sequence[str], schema: Schema) -> Sequence[str]:
    if not isinstance(given, str):
        return given
    if name not in SEVERAL or given in schema.columns or shape_at(Path(*_parsed(given, schema)), schema) is not None:
        return [given]
    return given.split(",")


def resolve(text: str, schema: Schema, name: str = "FIELD") -> Path:
    """Parse a path. Raises FathomError with close matches if it occurs in no row."""
    if text in schema.columns:
        return Path(text, (), text)
    column, steps = _parsed(text, schema)
    path = Path(column, steps, text)
    if shape_at(path, schema) is None:
        there = places(schema)
        close = get_close_matches(text, there, n=3)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise FathomError(f"--map {name}={text} names no column of the rows{hint}; expected one of {', '.join(there)}")
    return path


def shape_at(path: Path, schema: Schema) -> Shape | None:
    """The shape of the values at a place; None if no row has it."""
    shape = schema.columns.get(path.column)
    for step in path.steps:
        shape = _inside(shape, step)
    return shape


def _parsed(text: str, schema: Schema) -> tuple[str, tuple[Step, ...]]:
    """Split a path into the longest column name that it begins with, and the steps after it."""
    starts = [match.start() for match in re.finditer(r"[.\[]", text)]
    for start in reversed(starts):
        column, rest = text[:start], text[start:]
        if column in schema.columns and "".join(match[0] for match in _STEP.finditer(rest)) == rest:
            steps = [match[1] or (int(match[2]) if match[2] else None) for match in _STEP.finditer(rest)]
            return column, tuple(steps)
    return text, ()


def _inside(shape: Shape | None, step: Step) -> Shape | None:
    if shape is None:
        return None
    if isinstance(step, str):
        return shape.keys.get(step)
    return shape.items or (shape.decoded.items if shape.decoded else None)


def places(schema: Schema) -> list[str]:
    """The paths of all columns and of the values up to two levels inside them."""
    found = []
    for column, shape in schema.columns.items():
        nested = _nested(column, shape)
        found += [column, *nested, *(path for place, inner in nested.items() for path in _nested(place, inner))]
    return found


def _nested(place: str, shape: Shape) -> dict[str, Shape]:
    inner = {f"{place}.{key}": nested for key, nested in shape.keys.items()}
    items = shape.items or (shape.decoded.items if shape.decoded else None)
    return inner | ({f"{place}[].{key}": nested for key, nested in items.keys.items()} if items else {})


def remainder(row: SourceRow, column: str, paths: Sequence[Path]) -> Any:
    """The value of a column without these places; None if nothing remains."""
    return _rest(cell(row, column), [path.steps for path in paths])


def _rest(value: Any, taken: Sequence[tuple[Step, ...]]) -> Any:
    if not taken or () in taken:
        return None if taken else value
    rest: Any = value
    if isinstance(value, Mapping):
        inner = {key: _rest(nested, [steps[1:] for steps in taken if steps[0] == key]) for key, nested in value.items()}
        rest = {key: nested for key, nested in inner.items() if not is_empty(nested)}
    elif isinstance(value, list | tuple):
        rest = [
            _rest(nested, [steps[1:] for steps in taken if steps[0] in (None, place, place - len(value))])
            for place, nested in enumerate(value)
        ]
        rest = rest if any(not is_empty(nested) for nested in rest) else None
    return None if is_empty(rest) else rest
