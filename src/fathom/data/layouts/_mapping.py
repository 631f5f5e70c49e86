"""What `--map` says: which column, or which place inside a column, has which field of a comparison.

    path = resolve("completions[].score", schema)
    path.value({"completions": [{"score": 3}, {"score": 5}]})    # [3, 5]

A path is a column, `.key` into an object, `[]` for every element of a list, `[0]` or `[-1]` for one of them. A column
whose name has such signs in it goes before a path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, get_args

from fathom.data.conversations import BadRowError, shortened
from fathom.data.layouts._schema import Schema, Shape, is_empty, list_in
from fathom.data.records import Domain
from fathom.errors import FathomError

Row = Mapping[str, Any]
Step = str | int | None
"""A key, a place in a list, or None for every element."""

FIELDS: Mapping[str, str] = {
    "id": "names the comparison; with an empty column, ids are made of the content",
    "prompt": "text, or a list of messages",
    "system": "the system prompt, put before the prompt",
    "history": "earlier turns, put before the prompt: pairs of texts, or messages",
    "context": "a passage that the prompt speaks of, put above it",
    "input": "text that goes on with the prompt, put below it",
    "responses": "a list of responses, several columns, or one column with one response",
    "response_a": "the first of two responses",
    "response_b": "the second of two responses",
    "chosen": "the better response, or a list of them",
    "rejected": "the worse response, or a list of them",
    "label": "which response is better; with an empty column, labels are left out",
    "label.a": "the label's value where the first of two responses is better, or a single one right",
    "label.b": "the label's value where the second is better, or a single response wrong",
    "label.tie": "the label's value for a tie",
    "annotators": "one column for each annotator of two responses, which say what labels say",
    "ranking": "indices into `responses`, best first",
    "ranks": "one rank for each response, the lowest is the best",
    "scores": "one number for each response, higher is better",
    "reference": "a reference answer",
    "domain": "a column; or preference or correctness, for every row",
    "domain.preference": "the domain column's values for rows where one response is liked better",
    "domain.correctness": "the domain column's values for rows where one response is right",
    "ignore": "columns to leave out: they are not read, and nobody asks about them",
    "layout": "FILE.py:FUNCTION or MODULE:FUNCTION that makes comparisons of a row",
}
"""What a mapping can name. A field mapped to an empty column is left out."""

OUTCOMES: Mapping[str, int | None] = {"label.a": 0, "label.b": 1, "label.tie": None}
"""The fields that give spellings of labels, and what those mean."""
DOMAINS: Mapping[str, Domain] = {"domain.preference": "preference", "domain.correctness": "correctness"}
"""The fields that give values of the domain's column, and what those mean."""
SEVERAL = ("responses", "annotators", "ranks", "scores", "ignore")
"""Fields that take several columns, separated by commas."""
CONSTANTS = frozenset(get_args(Domain))
"""Words that stand for themselves as `domain`, unless a column is called so."""

_STEP = re.compile(r"\.([^.\[\]]+)|\[(-?\d*)\]")


@dataclass(frozen=True)
class Path:
    """A place in a row."""

    column: str
    steps: tuple[Step, ...] = ()
    text: str = field(default="", compare=False)
    """As somebody spelled it."""

    def __str__(self) -> str:
        return self.text or self.column

    @property
    def each(self) -> bool:
        """Whether it names one value for every element of a list."""
        return None in self.steps

    def value(self, row: Row) -> Any:
        """What is there, None where nothing is. Raises BadRowError where the row has another shape."""
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
                raise BadRowError(str(self), f"got {shortened(value)}, expected an object with {step}")
            return self._below(value.get(step), rest)
        if not isinstance(value, list | tuple):
            raise BadRowError(str(self), f"got {shortened(value)}, expected a list")
        if step is None:
            return [self._below(element, rest) for element in value]
        if not -len(value) <= step < len(value):
            raise BadRowError(str(self), f"there are {len(value)} elements, expected one at {step}")
        return self._below(value[step], rest)


def cell(row: Row, column: str) -> Any:
    """The value, `None` where there is none: tables have NaN in place of a missing text."""
    value = row.get(column)
    return None if isinstance(value, float) and value != value else value


@dataclass(frozen=True)
class Mapped:
    """A mapping whose columns have been found in the schema."""

    paths: Mapping[str, tuple[Path, ...]]
    """For each field that a column was given for, its places."""
    empty: frozenset[str] = frozenset()
    """Fields that are to be left out."""
    spellings: Mapping[int | None, tuple[str, ...]] = field(default_factory=dict)
    """Of labels: for the first response, the second and a tie."""
    domain: Domain | None = None
    domains: Mapping[Domain, tuple[str, ...]] = field(default_factory=dict)
    """Values of the domain's column, by what they mean."""

    def one(self, name: str) -> Path | None:
        paths = self.paths.get(name)
        return paths[0] if paths else None


def split_mapping(mapping: Mapping[str, str | Sequence[str]], schema: Schema) -> tuple[Mapped, Schema]:
    """What the mapping says, and the schema without the columns that it ignores.

    Raises FathomError for a field or a column that is not there.
    """
    unknown = [name for name in mapping if name not in FIELDS]
    if unknown:
        raise FathomError(f"--map {unknown[0]}=...: there is no such field; there are {', '.join(FIELDS)}")
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
    """Spellings of a label: text has them separated by commas, and may itself be one that has a comma in it."""
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
    """The path that `text` spells. Raises FathomError, with what comes close, where no row has that place."""
    if text in schema.columns:
        return Path(text, (), text)
    column, steps = _parsed(text, schema)
    path = Path(column, steps, text)
    if shape_at(path, schema) is None:
        there = places(schema)
        close = get_close_matches(text, there, n=3)
        meant = f"did you mean {' or '.join(close)}? There are" if close else "there are"
        raise FathomError(f"--map {name}={text} names no column of the rows; {meant} {', '.join(there)}")
    return path


def shape_at(path: Path, schema: Schema) -> Shape | None:
    """What the values at a place are; None where no row has it."""
    shape = schema.columns.get(path.column)
    for step in path.steps:
        shape = _inside(shape, step)
    return shape


def _parsed(text: str, schema: Schema) -> tuple[str, tuple[Step, ...]]:
    """The longest column that the text begins with, and the steps that the rest spells."""
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
    """The paths of all columns, and of what is one or two levels inside them."""
    found = []
    for column, shape in schema.columns.items():
        nested = _nested(column, shape)
        found += [column, *nested, *(path for place, inner in nested.items() for path in _nested(place, inner))]
    return found


def _nested(place: str, shape: Shape) -> dict[str, Shape]:
    inner = {f"{place}.{key}": nested for key, nested in shape.keys.items()}
    items = shape.items or (shape.decoded.items if shape.decoded else None)
    return inner | ({f"{place}[].{key}": nested for key, nested in items.keys.items()} if items else {})


def remainder(row: Row, column: str, paths: Sequence[Path]) -> Any:
    """What a column holds beside these places in it; None where that is nothing."""
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
