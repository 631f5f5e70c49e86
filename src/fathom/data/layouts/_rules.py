"""How a label is read from one row: a rule for each way in which sources tell which response is better.

    Spelled(Path("winner"), labels.LETTERS).read({"winner": "model_b"}, kept=(0, 1))      # Label(best=1)

A rule is a value: two sources with the same rule are read alike.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fathom.data import labels
from fathom.data.conversations import BadRowError, shortened
from fathom.data.layouts._mapping import Path, Row
from fathom.data.layouts._schema import as_number, list_in
from fathom.data.records import Label


class Rule(Protocol):
    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        """The fields that it reads, by name; `flags` is no field that a mapping can name."""
        ...

    def read(self, row: Row, kept: Sequence[int]) -> Label | Row | None:
        """The label of the responses `kept`, which are indices of the source's; None where the row has none.

        Raises BadRowError.
        """
        ...


@dataclass(frozen=True)
class Spelled:
    """A column that names the better response in some spelling, or says that it is a tie."""

    path: Path
    code: labels.Code = field(hash=False)
    single: bool = False
    """Whether it speaks of a single response: 0 is that it is right, 1 that it is wrong."""

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"label": (self.path,)}

    def read(self, row: Row, kept: Sequence[int]) -> Label | None:
        value = self.path.value(row)
        if value is None or value == "":
            return None
        outcome = _outcome(value, self.path, self.code)
        if self.single:
            return Label(scores=(0.5 if outcome is None else 1.0 - outcome,))
        if outcome is None and len(kept) != 2:
            raise BadRowError(str(self.path), f"got {value!r}, a tie of {len(kept)} responses; expected one of them")
        if outcome is not None and outcome not in kept:
            raise BadRowError(str(self.path), f"got {value!r}, and there is no such response in this row")
        return _tie_or(None if outcome is None else kept.index(outcome))


@dataclass(frozen=True)
class ByModel:
    """A column that names the model of the better response (Arena: `winner` beside `model_a` and `model_b`)."""

    path: Path
    models: tuple[Path, Path]

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"label": (self.path,)}

    def read(self, row: Row, kept: Sequence[int]) -> Label | None:
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
    """A column for each response, and perhaps some for ties, of which one is 1 (Chatbot Arena's table)."""

    responses: tuple[Path, ...]
    ties: tuple[Path, ...]

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"flags": (*self.responses, *self.ties)}

    def read(self, row: Row, kept: Sequence[int]) -> Label | None:
        columns = [*(self.responses[place] for place in kept), *self.ties]
        values = [path.value(row) for path in columns]
        if all(value is None for value in values):
            return None
        numbers = [as_number(value) for value in values]
        if sorted(number for number in numbers if number is not None) != [*[0.0] * (len(values) - 1), 1.0]:
            told = ", ".join(f"{path}={value}" for path, value in zip(columns, values, strict=True))
            raise BadRowError(str(columns[0]), f"got {told}, expected that one of them is 1 and the others are 0")
        place = numbers.index(1.0)
        return _tie_or(place if place < len(kept) else None)


@dataclass(frozen=True)
class Signed:
    """A number, below 0 where the first response is better, above 0 where the second is (HelpSteer)."""

    path: Path

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"label": (self.path,)}

    def read(self, row: Row, kept: Sequence[int]) -> Label | None:
        value = self.path.value(row)
        if value is None:
            return None
        number = as_number(value)
        if number is None or isinstance(value, bool):
            expected = "a number, below 0 for the first response and above 0 for the second"
            raise BadRowError(str(self.path), f"got {value!r}, expected {expected}")
        return Label(scores=(-number / 2, number / 2))


@dataclass(frozen=True)
class Degree:
    """A number from 1 for the first response to 2 for the second; 1.5 is a tie, as is 0 in older files (AlpacaEval)."""

    path: Path

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"label": (self.path,)}

    def read(self, row: Row, kept: Sequence[int]) -> Label | None:
        value = self.path.value(row)
        if value is None:
            return None
        number = as_number(value)
        if number is None or not (number == 0 or 1 <= number <= 2):
            raise BadRowError(
                str(self.path), f"got {value!r}, expected 1 (the first response) to 2 (the second), or 0 (a tie)"
            )
        return _tie_or(None) if number == 0 else Label(scores=(2 - number, number - 1))


@dataclass(frozen=True)
class Annotators:
    """A column for each annotator of two responses, and how they spell what they say."""

    paths: tuple[Path, ...]
    code: labels.Code = field(hash=False)

    def read(self, row: Row) -> dict[str, Label]:
        """What each of them said who said something. Raises BadRowError."""
        values = {path: path.value(row) for path in self.paths}
        return {
            str(path): _tie_or(_outcome(value, path, self.code))
            for path, value in values.items()
            if value is not None and value != ""
        }


@dataclass(frozen=True)
class Majority:
    """What more than half of the annotators say."""

    annotators: Annotators

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"annotators": self.annotators.paths}

    def read(self, row: Row, kept: Sequence[int]) -> Label | None:
        said = Counter(label.winner for label in self.annotators.read(row).values())
        if not said:
            return None
        outcome, votes = said.most_common(1)[0]
        return _tie_or(outcome) if 2 * votes > said.total() else None


@dataclass(frozen=True)
class Scores:
    """A number for each response, in a column each, in one list, or within the responses' objects."""

    columns: tuple[Path, ...]

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"scores": self.columns}

    def read(self, row: Row, kept: Sequence[int]) -> Label | None:
        found = _numbers(row, self.columns, kept)
        return None if found is None else Label(scores=tuple(found))


@dataclass(frozen=True)
class Ranks:
    """A rank for each response, the lowest the best; equal ranks are equal scores."""

    columns: tuple[Path, ...]

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {"ranks": self.columns}

    def read(self, row: Row, kept: Sequence[int]) -> Label | None:
        found = _numbers(row, self.columns, kept)
        if found is None:
            return None
        if len(set(found)) < len(found):
            return Label(scores=tuple(-rank for rank in found))
        return Label(ranking=tuple(sorted(range(len(found)), key=found.__getitem__)))


@dataclass(frozen=True)
class Listed:
    """Fathom's own columns: `label` (an object, an index or a letter), `ranking` and `scores`, one of them in a row."""

    columns: Mapping[str, Path] = field(hash=False)

    @property
    def paths(self) -> Mapping[str, tuple[Path, ...]]:
        return {name: (path,) for name, path in self.columns.items()}

    def read(self, row: Row, kept: Sequence[int]) -> Label | Row | None:
        given = {name: _decoded(path.value(row)) for name, path in self.columns.items()}
        told = {name: value for name, value in given.items() if value is not None}
        label = told.pop("label", None)
        if isinstance(label, Mapping) and not told:
            return {kind: value for kind, value in label.items() if value is not None}
        if isinstance(label, str) and (code := _letters(len(kept))).keys() & {labels.normalise(label)} and not told:
            return _tie_or(code[labels.normalise(label)])
        return {**told, "best": label} if label is not None else told or None


def _decoded(value: Any) -> Any:
    """A list or an object that a table holds as JSON."""
    if not isinstance(value, str) or value[:1] not in {"[", "{"}:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _letters(n: int) -> labels.Code:
    """The letters of n responses in a list; ties where there are two."""
    return labels.LETTERS if n == 2 else {chr(ord("a") + place): place for place in range(min(n, 26))}


def _outcome(value: Any, path: Path, code: labels.Code) -> int | None:
    try:
        return labels.outcome(value, code)
    except ValueError as error:
        raise BadRowError(str(path), str(error)) from None


def _tie_or(best: int | None) -> Label:
    return Label(scores=(0.5, 0.5)) if best is None else Label(best=best)


def _numbers(row: Row, columns: Sequence[Path], kept: Sequence[int]) -> list[float] | None:
    """The numbers of the responses that are there; None where the row has none at all. Raises BadRowError."""
    several = len(columns) > 1
    values = [path.value(row) for path in columns] if several else columns[0].value(row)
    values = (list_in(values) or values) if isinstance(values, str) else values
    values = list(values) if isinstance(values, list | tuple) else [values]
    if len(values) != len(kept) and len(values) > max(kept):  # of all numbered columns, some of which the row lacks
        values = [values[place] for place in kept]
    if all(value is None or value == "" for value in values):
        return None
    numbers = [labels.WORTH.get(labels.normalise(value), as_number(value)) for value in values]
    if None in numbers:
        bad = columns[numbers.index(None) if several else 0]
        raise BadRowError(
            str(bad), f"got {shortened(values[numbers.index(None)])}, expected a number for each response"
        )
    return [number for number in numbers if number is not None]
