"""Rules that read the label of one row: one class per way in which sources say which response is better.

    Spelled(Path("winner"), labels.LETTERS).read({"winner": "model_b"}, kept=(0, 1))      # Label(best=1)

Rules are values: sources with equal rules are read in the same way.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fathom.data import labels
from fathom.data.conversations import BadRowError, truncated_repr
from fathom.data.layouts._mapping import Path, SourceRow
from fathom.data.layouts._schema import as_number, list_in
from fathom.data.records import Label


class LabelRule(Protocol):
    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        """The places that the rule reads, by field. `flags` is not a field of mappings."""
        ...

    def read(self, row: SourceRow, kept: Sequence[int]) -> Label | SourceRow | None:
        """The label of the responses `kept` (their indices in the source); None if the row has no label.

        Raises BadRowError.
        """
        ...


@dataclass(frozen=True)
class Spelled:
    """A column that names the better response, or a tie, in some spelling."""

    path: Path
    code: labels.Code = field(hash=False)
    single: bool = False
    """Whether the label is about a single response: outcome 0 is right, 1 is wrong."""

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"label": (self.path,)}

    def read(self, row: SourceRow, kept: Sequence[int]) -> Label | None:
        value = self.path.value(row)
        if value is None or value == "":
            return None
        outcome = _outcome(value, self.path, self.code)
        if self.single:
            return Label(scores=(0.5 if outcome is None else 1.0 - outcome,))
        if outcome is None and len(kept) != 2:
            raise BadRowError(str(self.path), f"got {value!r}, a tie of {len(kept)} responses; expected one of them")
        if outcome is not None and outcome not in kept:
            raise BadRowError(str(self.path), f"got {value!r}, expected a response that this row has")
        return _tie_or(None if outcome is None else kept.index(outcome))


@dataclass(frozen=True)
class ByModel:
    """A column that names the model of the better response (Arena: `winner` beside `model_a` and `model_b`)."""

    path: Path
    models: tuple[Path, Path]

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"label": (self.path,)}

    def read(self, row: SourceRow, kept: Sequence[int]) -> Label | None:
        value = self.path.value(row)
        if value is None or value == "":
            return None
        models = [path.value(row) for path in self.models]
        if models.count(value) == 1:
            return Label(best=models.index(value))
        if labels.LETTERS.get(labels.normalise(value), 0) is None:
            return _tie_or(None)
        raise BadRowError(
            str(self.path), f"got {value!r}, expected one of the models {models[0]} and {models[1]}, or a tie"
        )


@dataclass(frozen=True)
class Flags:
    """One column per response, and optional ones for ties; exactly one of them is 1 (Chatbot Arena's table)."""

    responses: tuple[Path, ...]
    ties: tuple[Path, ...]

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"flags": (*self.responses, *self.ties)}

    def read(self, row: SourceRow, kept: Sequence[int]) -> Label | None:
        columns = [*(self.responses[place] for place in kept), *self.ties]
        values = [path.value(row) for path in columns]
        if all(value is None for value in values):
            return None
        numbers = [as_number(value) for value in values]
        if sorted(number for number in numbers if number is not None) != [*[0.0] * (len(values) - 1), 1.0]:
            got = ", ".join(f"{path}={value}" for path, value in zip(columns, values, strict=True))
            raise BadRowError(str(columns[0]), f"got {got}, expected 1 in one of them and 0 in the others")
        place = numbers.index(1.0)
        return _tie_or(place if place < len(kept) else None)


@dataclass(frozen=True)
class Scale:
    """A scale of numbers between the first response and the second."""

    expected: str
    """The numbers on the scale, for error messages."""
    label: Callable[[float], Label | None]
    """The label that a number stands for; None for one that is not on the scale."""


def _degree(number: float) -> Label | None:
    if number == 0:
        return _tie_or(None)
    return Label(scores=(2 - number, number - 1)) if 1 <= number <= 2 else None


SIGNED = Scale(
    "a number, below 0 for the first response and above 0 for the second",
    lambda number: Label(scores=(-number / 2, number / 2)),
)
"""HelpSteer's scale; the distance from 0 is the strength of the preference."""
DEGREE = Scale("1 (the first response) to 2 (the second), or 0 (a tie)", _degree)
"""AlpacaEval's scale. 1.5 is a tie; in older files, 0 is one too."""


@dataclass(frozen=True)
class Graded:
    """A number that says which of two responses is better, and by how much."""

    path: Path
    scale: Scale

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"label": (self.path,)}

    def read(self, row: SourceRow, kept: Sequence[int]) -> Label | None:
        value = self.path.value(row)
        if value is None:
            return None
        number = None if isinstance(value, bool) else as_number(value)
        label = None if number is None else self.scale.label(number)
        if label is None:
            raise BadRowError(str(self.path), f"got {value!r}, expected {self.scale.expected}")
        return label


@dataclass(frozen=True)
class Annotators:
    """One column per annotator of two responses, and the code of their labels."""

    paths: tuple[Path, ...]
    code: labels.Code = field(hash=False)

    def read(self, row: SourceRow) -> dict[str, Label]:
        """The label of each annotator who gave one. Raises BadRowError."""
        values = {path: path.value(row) for path in self.paths}
        return {
            str(path): _tie_or(_outcome(value, path, self.code))
            for path, value in values.items()
            if value is not None and value != ""
        }


@dataclass(frozen=True)
class Majority:
    """The outcome that more than half of the annotators named."""

    annotators: Annotators

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"annotators": self.annotators.paths}

    def read(self, row: SourceRow, kept: Sequence[int]) -> Label | None:
        outcomes = Counter(label.winner for label in self.annotators.read(row).values())
        if not outcomes:
            return None
        outcome, votes = outcomes.most_common(1)[0]
        return _tie_or(outcome) if 2 * votes > outcomes.total() else None


@dataclass(frozen=True)
class Scores:
    """One number per response: in one column each, in one list, or inside the responses' objects."""

    columns: tuple[Path, ...]

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"scores": self.columns}

    def read(self, row: SourceRow, kept: Sequence[int]) -> Label | None:
        scores = _numbers(row, self.columns, kept)
        return None if scores is None else Label(scores=tuple(scores))


@dataclass(frozen=True)
class Ranks:
    """One rank per response, lowest is best. Equal ranks become equal scores."""

    columns: tuple[Path, ...]

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"ranks": self.columns}

    def read(self, row: SourceRow, kept: Sequence[int]) -> Label | None:
        ranks = _numbers(row, self.columns, kept)
        if ranks is None:
            return None
        if len(set(ranks)) < len(ranks):
            return Label(scores=tuple(-rank for rank in ranks))
        return Label(ranking=tuple(sorted(range(len(ranks)), key=ranks.__getitem__)))


@dataclass(frozen=True)
class Listed:
    """Fathom's own columns, one of them per row: `label` (an object, an index or a letter), `ranking` or `scores`."""

    columns: Mapping[str, Path] = field(hash=False)

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {name: (path,) for name, path in self.columns.items()}

    def read(self, row: SourceRow, kept: Sequence[int]) -> Label | SourceRow | None:
        given = {name: _decoded(path.value(row)) for name, path in self.columns.items()}
        others = {name: value for name, value in given.items() if value is not None}
        label = others.pop("label", None)
        if isinstance(label, Mapping) and not others:
            return {kind: value for kind, value in label.items() if value is not None}
        if isinstance(label, str) and (code := _letters(len(kept))).keys() & {labels.normalise(label)} and not others:
            return _tie_or(code[labels.normalise(label)])
        # `Label` refuses rows that have several of the columns.
        return {**others, "best": label} if label is not None else others or None


def _decoded(value: Any) -> Any:
    """Decode a list or an object that a table holds as JSON text."""
    if not isinstance(value, str) or value[:1] not in {"[", "{"}:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _letters(n: int) -> labels.Code:
    """The code of letters for a list of n responses. For n = 2 it includes ties."""
    return labels.LETTERS if n == 2 else {chr(ord("a") + place): place for place in range(min(n, 26))}


def _outcome(value: Any, path: Path, code: labels.Code) -> int | None:
    try:
        return labels.outcome(value, code)
    except ValueError as error:
        raise BadRowError(str(path), str(error)) from None


def _tie_or(best: int | None) -> Label:
    return Label(scores=(0.5, 0.5)) if best is None else Label(best=best)


def _numbers(row: SourceRow, columns: Sequence[Path], kept: Sequence[int]) -> list[float] | None:
    """The numbers of the responses `kept`; None if the row has no number at all. Raises BadRowError."""
    several = len(columns) > 1
    values = [path.value(row) for path in columns] if several else columns[0].value(row)
    values = (list_in(values) or values) if isinstance(values, str) else values
    values = list(values) if isinstance(values, list | tuple) else [values]
    if len(values) != len(kept) and len(values) > max(kept):  # numbers of all columns, of which this row lacks some
        values = [values[place] for place in kept]
    if all(value is None or value == "" for value in values):
        return None
    numbers = [labels.WORTH.get(labels.normalise(value), as_number(value)) for value in values]
    if None in numbers:
        bad = columns[numbers.index(None) if several else 0]
        raise BadRowError(
            str(bad), f"got {truncated_repr(values[numbers.index(None)])}, expected a number for each response"
        )
    return [number for number in numbers if number is not None]
