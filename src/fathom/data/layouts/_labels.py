"""Detection of the label: infers the rule that reads it from the schema of a source.

    rule = find_label(schema, mapped, responses)
    rule.read(row, [0, 1])      # Label(best=1), or a mapping that pydantic converts to a label, or None

Ambiguous sources are refused: two columns that could be the label, numbers that could mean either response, or a column
that looks like a label and is not recognised. The message shows the mappings that resolve them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fathom.data import labels
from fathom.data.conversations import TEXT_KEYS
from fathom.data.layouts import _names as names
from fathom.data.layouts._evidence import ANNOTATOR, flag_columns, is_numbers, refuse_lookalikes, score_columns
from fathom.data.layouts._mapping import FIELDS, Mapped, Path, shape_at
from fathom.data.layouts._responses import Responses
from fathom.data.layouts._rules import (
    DEGREE,
    SIGNED,
    Annotators,
    ByModel,
    Flags,
    Graded,
    LabelRule,
    Listed,
    Majority,
    Ranks,
    Scores,
    Spelled,
)
from fathom.data.layouts._schema import MAX_LABEL, Schema, Shape
from fathom.data.records import Label
from fathom.errors import FathomError, map_option


def find_annotators(schema: Schema, mapped: Mapped, responses: Responses) -> Annotators | None:
    """Find the columns of the annotators of two responses: 1, 2 or 0 for a tie (PandaLM), or any spelling of labels.

    Raises FathomError for ambiguous numbers.
    """
    if responses.kind != "pair" or "annotators" in mapped.empty:
        return None
    found = [Path(column) for column in schema.columns if ANNOTATOR.fullmatch(names.plain(column))]
    paths = mapped.paths.get("annotators") or tuple(sorted(found, key=lambda path: names.plain(path.column)))
    if not paths:
        return None
    if mapped.spellings:
        return Annotators(paths, labels.explicit_code(mapped.spellings))
    values = [value for path in paths for _, value in (shape_at(path, schema) or Shape()).spellings or ()]
    numbers = {labels.normalise(value) for value in values} & {"0", "1", "2"}
    marks = (responses.marks or ("a", "b"))[:2]
    if marks == ("1", "2") and {"0", "2"} <= numbers <= {"0", "1", "2"}:
        return Annotators(paths, labels.FROM_ONE_0_IS_TIE)
    try:
        return Annotators(paths, labels.infer_code(values, (marks[0], marks[1])))
    except ValueError as error:
        ways = f"{_ways(values, schema, responses)}, or ignore them with {map_option('ignore', *paths)}"
        raise FathomError(f"columns: {names.listing(map(str, paths))}: {error}; {ways}") from None


def find_label(schema: Schema, mapped: Mapped, responses: Responses, annotators: Annotators | None) -> LabelRule | None:
    """The rule that reads labels; None if there are none, or if the response columns imply them (chosen, rejected).

    Without a label column, it is the majority of the `annotators`. Raises FathomError.
    """
    if responses.kind == "chosen":
        return None
    named = [name for name in ("label", "scores", "ranks", "ranking") if name in mapped.paths]
    if len(named) > 1 and not set(named) <= {"label", "scores", "ranking"}:
        raise FathomError(f"label: --map has {names.listing(named)}; expected one of them")
    if named:
        return _asked(named, schema, mapped, responses)
    if "label" in mapped.empty:
        return None
    taken = {path.column for paths in (*responses.paths.values(), *mapped.paths.values()) for path in paths}
    finder = _Finder(schema, schema.without(taken), mapped, responses)
    rule = finder.find(annotators)
    if rule is None and not {"scores", "ranks", "ranking"} & mapped.empty:
        refuse_lookalikes(finder.free, responses)
    return rule


def _asked(named: Sequence[str], schema: Schema, mapped: Mapped, responses: Responses) -> LabelRule:
    """The rule for a mapping that names label columns."""
    several = responses.kind == "responses" and not responses.single
    if named == ["scores"] and not several:
        return Scores(mapped.paths["scores"])
    if named == ["scores"] and (len(mapped.paths["scores"]) > 1 or mapped.paths["scores"][0].each):
        return Scores(mapped.paths["scores"])
    if named == ["ranks"]:
        return Ranks(mapped.paths["ranks"])
    if not several and named != ["label"]:
        raise FathomError(
            f"label: {map_option(named[-1], mapped.paths[named[-1]][0])} needs a list of responses; for one or two "
            "responses in their own columns, map label or scores instead"
        )
    path = mapped.paths["label"][0] if "label" in named else None
    if "ranking" in named and mapped.paths["ranking"][0].each:
        text = mapped.paths["ranking"][0]
        raise FathomError(
            f"label: a ranking is a list of indices, best first; for one rank per response, use "
            f"{map_option('ranks', text)}"
        )
    if path is not None and (responses.kind == "pair" or responses.marks or mapped.spellings):
        return _spelled(path, schema, mapped, responses)
    if path is not None and not several:
        return Scores((path,))
    if path is not None:
        _refuse_counted_from_one(path, schema, responses)
    return Listed({name: mapped.paths[name][0] for name in named})


def _refuse_counted_from_one(path: Path, schema: Schema, responses: Responses) -> None:
    """Raise FathomError if indices begin at 1, which an index equal to the number of responses reveals."""
    shape, lists = (shape_at(path, schema) or Shape()), schema.columns[responses.paths["responses"][0].column].lengths
    if shape.kinds == {"number"} and shape.low >= 1 and lists and shape.high >= max(lists):
        ways = f"; read it with {map_option('label', path)} --map label.a=1 --map label.b=2" if lists == {2} else ""
        raise FathomError(f"label: {path} counts from 1, expected indices from 0{ways}")


def _spelled(path: Path, schema: Schema, mapped: Mapped, responses: Responses) -> LabelRule:
    """The rule for a column whose labels are letters, words or numbers."""
    shape = shape_at(path, schema) or Shape()
    flags = flag_columns(schema, responses)
    if path.column in flags:
        raise FathomError(
            f"label: {path} is one of {names.listing(flags)}, which are read together; leave "
            f"{map_option('label', path)} out"
        )
    if mapped.spellings:
        return Spelled(path, labels.explicit_code(mapped.spellings), responses.single)
    if shape.kinds == {"object"} and shape.keys.keys() <= Label.model_fields.keys():  # as Fathom writes labels
        return Listed({"label": path})
    if len(responses.marks) > 2:
        return Spelled(path, {mark: place for place, mark in enumerate(responses.marks)})
    if names.plain(path.column) in names.SIGNED:
        return Graded(path, SIGNED)
    if {"scenario", "response 1", "response 2"} <= schema.columns.keys():  # Auto-J
        return Spelled(path, labels.FROM_ZERO_2_IS_TIE)
    marks = (responses.marks or ("a", "b"))[:2]
    if _is_degree(path, shape, schema, marks):
        return Graded(path, DEGREE)
    values = [value for _, value in shape.spellings or ()]
    models = _models(schema, path, values)
    if models:
        return ByModel(path, models)
    try:
        return Spelled(path, labels.infer_code(values, (marks[0], marks[1])))
    except ValueError as error:
        raise FathomError(f"{path}: {error}; {_ways(values, schema, responses)}") from None


def _ways(values: Sequence[Any], schema: Schema, responses: Responses) -> str:
    numbers = sorted({labels.normalise(value) for value in values})
    ways = ["--map label.a=VALUE --map label.b=VALUE"]
    if len(numbers) == 2:
        low, high = numbers
        ways = [f"{map_option('label.a', a)} {map_option('label.b', b)}" for a, b in ((low, high), (high, low))]
    scored = score_columns(schema, responses)
    ways += [map_option("scores", *columns) for columns in scored]
    return f"declare their meaning with {names.listing(ways, 'or')}"


def _is_degree(path: Path, shape: Shape, schema: Schema, marks: Sequence[str]) -> bool:
    """Whether the column is AlpacaEval's `preference`: fractions from 1 to 2, or next to `generator_1` and `_2`."""
    if marks != ("1", "2") or names.plain(path.column) != "preference" or not shape.numeric:
        return False
    known = {"generator_1", "generator_2"} <= schema.columns.keys()
    return (shape.low == 0 or shape.low >= 1) and shape.high <= 2 and (known or not shape.whole)


_MODEL = re.compile(r"(?:model|generator|llm|system|assistant)_?([ab012])(?:_name)?")


def _models(schema: Schema, path: Path, values: Sequence[Any]) -> tuple[Path, Path] | None:
    """The columns with the names of the two models, if the labels are model names."""
    many = schema.columns[path.column].spellings is None
    if all(labels.normalise(value) in labels.LETTERS for value in values) and not many:
        return None
    columns = [column for column in schema.columns if _MODEL.fullmatch(names.plain(column)) and column != path.column]
    if len(columns) != 2:
        return None
    known = {value for column in columns for _, value in schema.columns[column].spellings or ()}
    ties = {value for value in values if labels.LETTERS.get(labels.normalise(value), 0) is None}
    if not many and (not set(values) & known or set(values) - known - ties):
        return None
    first, second = sorted(columns, key=names.plain)
    return Path(first), Path(second)


def _is_score(shape: Shape) -> bool:
    return shape.numeric or shape.kinds == {"flag"}


@dataclass(frozen=True)
class _Finder:
    """Finds the label among the columns `free` that no other field uses."""

    schema: Schema
    free: Schema
    mapped: Mapped
    responses: Responses

    def find(self, annotators: Annotators | None) -> LabelRule | None:
        if self.responses.single:
            return self._of_one() or self._empty((*names.FLAGS, *names.SCORES))
        if self.responses.kind == "responses" and not self.responses.marks:
            return self._of_list() or self._empty(("label", "ranking", "scores"))
        return self._of_numbered(annotators) or self._empty(names.LABELS)

    def _empty(self, known: Sequence[str]) -> LabelRule | None:
        """A rule for a label column without values in any row."""
        columns = [column for column in names.named(self.free, known) if not self.free.filled(column)]
        return Listed({"label": Path(columns[0])}) if columns else None

    def _of_one(self) -> LabelRule | None:
        """The label of a single response: a flag or a score."""
        flags = [
            column
            for column in names.filled(self.free, names.FLAGS)
            if self._is_flag(column, self.free.columns[column])
        ]
        if self.mapped.spellings and (columns := names.filled(self.free, ("label", "labels", "verdict"))):
            return Spelled(Path(columns[0]), labels.explicit_code(self.mapped.spellings), single=True)
        scores = [column for column in names.filled(self.free, names.SCORES) if self._scores_one(column)]
        return self._only([Scores((Path(column),)) for column in (*flags, *scores)])

    def _is_flag(self, column: str, shape: Shape) -> bool:
        """Whether a column holds flags. 0 and 1 count, except under `label`, where their meaning is ambiguous."""
        spelled = {labels.normalise(value) for _, value in shape.spellings or ()}
        if "flag" in shape.kinds or (spelled and spelled <= labels.WORTH.keys()):
            return True
        return names.plain(column) != "label" and shape.numeric and shape.low >= 0 and shape.high <= 1

    def _scores_one(self, column: str) -> bool:
        shape = self.free.columns[column]
        return shape.numeric or (is_numbers(shape) and shape.lengths == {1})

    def _of_list(self) -> LabelRule | None:
        """The label of a list of responses: Fathom's own columns, lists of numbers, or keys of objects in the list."""
        own = {
            name: columns[0] for name in ("label", "ranking", "scores") if (columns := names.named(self.free, (name,)))
        }
        own = {name: column for name, column in own.items() if name not in self.mapped.empty}
        if any(self.free.filled(column) for column in own.values()):
            if self.mapped.spellings and "label" in own:
                return Spelled(Path(own["label"]), labels.explicit_code(self.mapped.spellings))
            if "label" in own:
                _refuse_counted_from_one(Path(own["label"]), self.schema, self.responses)
            return Listed({name: Path(column) for name, column in own.items()})
        choices: list[LabelRule] = []
        for name, known, rule in (("scores", names.SCORES, Scores), ("ranks", names.RANKS, Ranks)):
            columns = names.filled(self.free, known) if name not in self.mapped.empty else []
            choices += [rule((Path(column),)) for column in columns if is_numbers(self.free.columns[column])]
        for column in names.filled(self.free, names.LABELS):
            if self._is_index(self.free.columns[column]):
                choices.append(Listed({"label": Path(column)}))
        return self._only(choices or self._inside())

    def _is_index(self, shape: Shape) -> bool:
        """Whether the values are indices from 0. At least one must be 0; otherwise they may count from 1."""
        return shape.kinds == {"number"} and shape.whole and shape.low == 0

    def _inside(self) -> list[LabelRule]:
        """Rules for scores and ranks inside the objects of a list of responses."""
        path = self.responses.paths["responses"][0]
        inside = names.items(self.schema.columns[path.column])
        if inside is None:
            return []
        found: list[LabelRule] = []
        for key, shape in inside.keys.items():
            place = Path(path.column, (None, key), f"{path.column}[].{key}")
            if key in TEXT_KEYS or not _is_score(shape):
                continue
            if names.plain(key) in names.RANKS:
                found.append(Ranks((place,)))
            elif names.words(key) & names.LABEL_WORDS:
                found.append(Scores((place,)))
        return found

    def _of_numbered(self, annotators: Annotators | None) -> LabelRule | None:
        """The label of responses in their own columns."""
        columns = [
            column for column in names.filled(self.free, (*names.LABELS, *names.SIGNED)) if self._is_label(column)
        ]
        if len(columns) > 1:
            ways = " or ".join(map_option("label", column) for column in columns)
            raise FathomError(f"columns: {names.listing(columns)} could each be the label; choose with {ways}")
        if columns:
            return _spelled(Path(columns[0]), self.schema, self.mapped, self.responses)
        flags = flag_columns(self.free, self.responses)
        n = len(self.responses.marks) or 2
        if flags:
            return Flags(tuple(map(Path, flags[:n])), tuple(map(Path, flags[n:])))
        choices: list[LabelRule] = [
            Scores(tuple(map(Path, columns))) for columns in score_columns(self.free, self.responses)
        ]
        choices += self._beside_texts()
        for column in names.filled(self.free, (*names.SCORES, *names.RANKS)):
            shape = self.free.columns[column]
            if is_numbers(shape) and ((n == 2 and shape.lengths == {2}) or n > 2):
                choices.append((Ranks if names.plain(column) in names.RANKS else Scores)((Path(column),)))
        if annotators is not None:
            choices.append(Majority(annotators))
        return self._only(choices)

    def _beside_texts(self) -> list[LabelRule]:
        """Rules for scores and ranks inside the objects of responses in their own columns."""
        paths = [path for field in self.responses.paths.values() for path in field]
        shapes = [self.schema.columns[path.column] for path in paths]
        found: list[LabelRule] = []
        for key in shapes[0].keys if all(len(path.steps) == 1 for path in paths) else ():
            if all(key in shape.keys and _is_score(shape.keys[key]) for shape in shapes):
                places = tuple(Path(path.column, (key,), f"{path.column}.{key}") for path in paths)
                if names.plain(key) in names.RANKS:
                    found.append(Ranks(places))
                elif names.words(key) & names.LABEL_WORDS:
                    found.append(Scores(places))
        return found

    def _is_label(self, column: str) -> bool:
        shape = self.free.columns[column]
        own = shape.kinds == {"object"} and shape.keys.keys() <= Label.model_fields.keys()
        return own or (bool(shape.kinds & {"text", "number", "flag"}) and shape.longest <= MAX_LABEL)

    def _only(self, choices: Sequence[LabelRule]) -> LabelRule | None:
        """The only rule, or None. Raises FathomError for several, with the mapping of each."""
        if len(choices) < 2:
            return choices[0] if choices else None
        fields = [(name, paths) for rule in choices for name, paths in rule.paths.items()]
        ways = [map_option(name, *paths) for name, paths in fields if name in FIELDS]
        candidates = names.listing(" and ".join(map(str, paths)) for _, paths in fields)
        raise FathomError(
            f"columns: {candidates} could each be the label; choose with {' or '.join(ways)}, or --map ignore=COLUMN"
        )
