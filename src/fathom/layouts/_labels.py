"""Where the label of a comparison is: the rule for a source, found from its schema.

    rule = find_label(schema, mapped, responses)
    rule.read(row, [0, 1])      # Label(best=1), or what pydantic makes a label of, or None

Nothing is guessed. Where two columns could be the label, where numbers could mean either response, or where a column
looks like a label and is none that is understood, the source is refused, with the mappings that settle it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fathom import labels
from fathom.conversations import TEXT_KEYS
from fathom.errors import FathomError
from fathom.layouts import _names as names
from fathom.layouts._mapping import FIELDS, Mapped, Path
from fathom.layouts._responses import Responses
from fathom.layouts._rules import (
    Annotators,
    ByModel,
    Degree,
    Flags,
    Listed,
    Majority,
    Ranks,
    Rule,
    Scores,
    Signed,
    Spelled,
)
from fathom.layouts._schema import MAX_LABEL, Schema, Shape


def find_annotators(schema: Schema, mapped: Mapped, responses: Responses) -> Annotators | None:
    """The columns of annotators of two responses, which say 1, 2 or 0 for a tie (PandaLM), or spell it as labels do.

    Raises FathomError for numbers that could mean either response.
    """
    if responses.kind != "pair" or "annotators" in mapped.empty:
        return None
    found = [Path(column) for column in schema.columns if _ANNOTATOR.fullmatch(names.plain(column))]
    paths = mapped.paths.get("annotators") or tuple(sorted(found, key=lambda path: names.plain(path.column)))
    if not paths:
        return None
    if mapped.spellings:
        return Annotators(paths, labels.explicit_code(mapped.spellings))
    values = [value for path in paths for _, value in _shape(path, schema).spellings or ()]
    numbers = {labels.key(value) for value in values} & {"0", "1", "2"}
    if {"0", "2"} <= numbers <= {"0", "1", "2"}:
        return Annotators(paths, labels.FROM_ONE_0_IS_TIE)
    marks = (responses.marks or ("a", "b"))[:2]
    try:
        return Annotators(paths, labels.infer_code(values, (marks[0], marks[1])))
    except ValueError as error:
        told = names.listing(map(str, paths))
        ways = f"{_ways(values, schema, responses)}, or leave them out with --map ignore={','.join(map(str, paths))}"
        raise FathomError(f"columns: {told}: {error}; {ways}") from None


def find_label(schema: Schema, mapped: Mapped, responses: Responses, annotators: Annotators | None) -> Rule | None:
    """The rule for the rows of a source; None where they have no labels, or the responses' columns tell them.

    Where no column is the label, it is what most `annotators` say. Raises FathomError.
    """
    if responses.kind == "chosen":
        return None
    named = [name for name in ("label", "scores", "ranks", "ranking") if name in mapped.paths]
    if len(named) > 1 and not set(named) <= {"label", "scores", "ranking"}:
        raise FathomError(f"label: --map has {names.listing(named)}; give one of them")
    if named:
        return _asked(named, schema, mapped, responses)
    if "label" in mapped.empty:
        return None
    taken = {path.column for paths in (*responses.paths.values(), *mapped.paths.values()) for path in paths}
    finder = _Finder(schema, schema.without(taken), mapped, responses)
    rule = finder.find(annotators)
    if rule is None and not {"scores", "ranks", "ranking"} & mapped.empty:
        finder.refuse_lookalikes()
    return rule


def _asked(named: Sequence[str], schema: Schema, mapped: Mapped, responses: Responses) -> Rule:
    """The rule of a mapping that names a column of labels."""
    several = responses.kind == "responses" and not responses.single
    if named == ["scores"] and not several:
        return Scores(mapped.paths["scores"])
    if named == ["scores"] and (len(mapped.paths["scores"]) > 1 or mapped.paths["scores"][0].each):
        return Scores(mapped.paths["scores"])
    if named == ["ranks"]:
        return Ranks(mapped.paths["ranks"])
    if not several and named != ["label"]:
        raise FathomError(
            f"label: --map {named[-1]}={mapped.paths[named[-1]][0]} goes with a list of responses; one or two "
            "responses in columns of their own take label or scores"
        )
    path = mapped.paths["label"][0] if "label" in named else None
    if "ranking" in named and mapped.paths["ranking"][0].each:
        text = mapped.paths["ranking"][0]
        raise FathomError(
            f"label: a ranking is a list of indices, best first; one rank a response is --map ranks={text}"
        )
    if path is not None and (responses.kind == "pair" or responses.marks or mapped.spellings):
        return _spelled(path, schema, mapped, responses)
    if path is not None and not several:
        return Scores((path,))
    paths = {name: mapped.paths[name][0] for name in named}
    return Listed(paths)


def _spelled(path: Path, schema: Schema, mapped: Mapped, responses: Responses) -> Rule:
    """The rule of a column with labels as letters, words or numbers."""
    shape = _shape(path, schema)
    flags = _flag_columns(schema, responses)
    if path.column in flags:
        told = names.listing(flags)
        raise FathomError(f"label: {path} is one of {told}, which are read together: leave --map label={path} out")
    if mapped.spellings:
        return Spelled(path, labels.explicit_code(mapped.spellings))
    if len(responses.marks) > 2:
        return Spelled(path, {mark: place for place, mark in enumerate(responses.marks)})
    if names.plain(path.column) in names.SIGNED:
        return Signed(path)
    if {"scenario", "response 1", "response 2"} <= schema.columns.keys():  # Auto-J
        return Spelled(path, labels.FROM_ZERO_2_IS_TIE)
    marks = (responses.marks or ("a", "b"))[:2]
    if _is_degree(path, shape, schema, marks):
        return Degree(path)
    values = [value for _, value in shape.spellings or ()]
    models = _models(schema, path, values)
    if models:
        return ByModel(path, models)
    try:
        return Spelled(path, labels.infer_code(values, (marks[0], marks[1])))
    except ValueError as error:
        raise FathomError(f"{path}: {error}; {_ways(values, schema, responses)}") from None


def _shape(path: Path, schema: Schema) -> Shape:
    shape: Shape | None = schema.columns[path.column]
    for step in path.steps:
        if shape is not None:
            shape = shape.keys.get(step) if isinstance(step, str) else names.items(shape)
    return shape or Shape()


def _ways(values: Sequence[Any], schema: Schema, responses: Responses) -> str:
    numbers = sorted({labels.key(value) for value in values})
    ways = ["--map label.a=VALUE --map label.b=VALUE"]
    if len(numbers) == 2:
        low, high = numbers
        ways = [f"--map label.a={low} --map label.b={high}", f"--map label.a={high} --map label.b={low}"]
    scored = _score_columns(schema, responses)
    ways += [f"--map scores={','.join(columns)}" for columns in scored]
    return f"say what they mean with {names.listing(ways, 'or')}"


def _is_degree(path: Path, shape: Shape, schema: Schema, marks: Sequence[str]) -> bool:
    """Whether these are AlpacaEval's preferences: fractions from 1 to 2, or numbers beside its `generator_1`, `_2`."""
    if marks != ("1", "2") or names.plain(path.column) != "preference" or not shape.numeric:
        return False
    known = {"generator_1", "generator_2"} <= schema.columns.keys()
    return shape.low >= 0 and shape.high <= 2 and (known or not shape.whole)


_MODEL = re.compile(r"(?:model|generator|llm|system|assistant)_?([ab012])(?:_name)?")


def _models(schema: Schema, path: Path, values: Sequence[Any]) -> tuple[Path, Path] | None:
    """The columns with the names of both models, where the labels are such names."""
    many = schema.columns[path.column].spellings is None
    if all(labels.key(value) in labels.LETTERS for value in values) and not many:
        return None
    columns = [column for column in schema.columns if _MODEL.fullmatch(names.plain(column)) and column != path.column]
    if len(columns) != 2:
        return None
    known = {value for column in columns for _, value in schema.columns[column].spellings or ()}
    ties = {value for value in values if labels.LETTERS.get(labels.key(value), 0) is None}
    if not many and (not set(values) & known or set(values) - known - ties):
        return None
    first, second = sorted(columns, key=names.plain)
    return Path(first), Path(second)


# Columns of numbers and flags -----------------------------------------------------------------------------------------

_FLAG_NAMES = re.compile(
    rf"(?:winner|win|wins|won|preferred|better|best|is_winner)_(?:is_)?(?:(?:model|assistant|{labels.NOUNS})_?)?"
    r"(?P<mark>[a-h]|\d{1,2}|tie|tied|draw|equal|(?:tie_?)?both_?bad|neither)"
)
_FLAG_NAMES_AFTER = re.compile(
    rf"(?:(?:model|assistant|{labels.NOUNS})_?)?(?P<mark>[a-h]|\d{{1,2}})_(?:is_)?(?:wins?|won|winner|preferred|better|best)"
)
_SCORE_NAMES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<stem>{'|'.join(names.SCORES)})_?(?P<mark>[a-h]|\d{{1,2}})",
        rf"(?:(?:model|assistant|{labels.NOUNS})_?)?(?P<mark>[a-h]|\d{{1,2}})_(?P<stem>{'|'.join(names.SCORES)})",
        rf"(?P<stem>{'|'.join(names.SCORES)})_(?:(?:model|assistant|{labels.NOUNS})_?)(?P<mark>[a-h]|\d{{1,2}})",
    )
)
_ANNOTATOR = re.compile(r"(?:annotator|rater|labell?er)_?\d+(?:_(?:label|preference))?")


def _flag_columns(schema: Schema, responses: Responses) -> list[str]:
    """The columns of `Flags`: those of the responses in their order, then those of ties; empty where one is missing."""
    by_mark: dict[str, str] = {}
    for column, shape in schema.columns.items():
        plain = names.plain(column)
        match = _FLAG_NAMES.fullmatch(plain) or _FLAG_NAMES_AFTER.fullmatch(plain)
        if match and (shape.kinds <= {"flag"} or shape.numeric) and shape.low >= 0 and shape.high <= 1 and shape.whole:
            by_mark[match["mark"]] = column
    marks = responses.marks or ("a", "b")
    if not set(marks) <= by_mark.keys():
        return []
    return [*(by_mark.pop(mark) for mark in marks), *by_mark.values()]


def _score_columns(schema: Schema, responses: Responses) -> list[tuple[str, ...]]:
    """Groups of columns with a number for each of the numbered responses, like score_1 and score_2."""
    groups: dict[str, dict[str, str]] = {}
    for column, shape in schema.columns.items():
        match = next((match for pattern in _SCORE_NAMES if (match := pattern.fullmatch(names.plain(column)))), None)
        if match and shape.numeric:
            groups.setdefault(match["stem"], {})[match["mark"]] = column
    marks = responses.marks or ("a", "b")
    return [tuple(group[mark] for mark in marks) for group in groups.values() if set(marks) == group.keys()]


def _is_numbers(shape: Shape) -> bool:
    inside = names.items(shape)
    return inside is not None and bool(inside.kinds) and inside.kinds <= {"number", "flag"}


def looks_like_label(column: str, shape: Shape) -> bool:
    """Whether a column may hold labels: it is called so, and its values are few words, numbers or flags."""
    if not names.words(column) & names.LABEL_WORDS or "answer" in names.words(column):
        return False
    short = "text" in shape.kinds and shape.longest <= MAX_LABEL
    return short or bool(shape.kinds & {"number", "flag"}) or _is_numbers(shape) or _of_numbers(shape)


def _of_numbers(shape: Shape) -> bool:
    return bool(shape.keys) and all(nested.kinds <= {"number", "flag"} for nested in shape.keys.values())


@dataclass(frozen=True)
class _Finder:
    """Looks for the label among the columns `free`, which no other field has."""

    schema: Schema
    free: Schema
    mapped: Mapped
    responses: Responses

    def find(self, annotators: Annotators | None) -> Rule | None:
        if self.responses.single:
            return self._of_one()
        if self.responses.kind == "responses" and not self.responses.marks:
            return self._of_list()
        return self._of_numbered(annotators)

    def _of_one(self) -> Rule | None:
        """Of a single response: a flag, or a score."""
        flags = [
            column
            for column in names.filled(self.free, names.FLAGS)
            if self._is_flag(column, self.free.columns[column])
        ]
        scores = [column for column in names.filled(self.free, names.SCORES) if self._scores_one(column)]
        return self._only([Scores((Path(column),)) for column in (*flags, *scores)])

    def _is_flag(self, column: str, shape: Shape) -> bool:
        """0 and 1 under `label` may mean anything; true and false, and 0 and 1 under `correct`, do not."""
        spelled = {labels.key(value) for _, value in shape.spellings or ()}
        if "flag" in shape.kinds or (spelled and spelled <= labels.WORTH.keys()):
            return True
        return names.plain(column) != "label" and shape.numeric and shape.low >= 0 and shape.high <= 1

    def _scores_one(self, column: str) -> bool:
        shape = self.free.columns[column]
        return shape.numeric or (_is_numbers(shape) and shape.lengths == {1})

    def _of_list(self) -> Rule | None:
        """Of a list: Fathom's own columns, columns of numbers, or keys of the responses' objects."""
        own = {
            name: columns[0] for name in ("label", "ranking", "scores") if (columns := names.named(self.free, (name,)))
        }
        own = {name: column for name, column in own.items() if name not in self.mapped.empty}
        if any(self.free.filled(column) for column in own.values()):
            if self.mapped.spellings and "label" in own:
                return Spelled(Path(own["label"]), labels.explicit_code(self.mapped.spellings))
            return Listed({name: Path(column) for name, column in own.items()})
        choices: list[Rule] = []
        for column in names.filled(self.free, names.SCORES):
            if _is_numbers(self.free.columns[column]):
                choices.append(Scores((Path(column),)))
        for column in names.filled(self.free, names.RANKS):
            if _is_numbers(self.free.columns[column]):
                choices.append(Ranks((Path(column),)))
        for column in names.filled(self.free, names.LABELS):
            if self._is_index(self.free.columns[column]):
                choices.append(Listed({"label": Path(column)}))
        return self._only(choices or self._inside())

    def _is_index(self, shape: Shape) -> bool:
        """Whether these are indices from 0: there is a 0 among them, so that they do not begin at 1."""
        return shape.kinds == {"number"} and shape.whole and shape.low == 0

    def _inside(self) -> list[Rule]:
        """Scores and ranks that the responses' own objects have."""
        path = self.responses.paths["responses"][0]
        inside = names.items(self.schema.columns[path.column])
        if inside is None:
            return []
        found: list[Rule] = []
        for key, shape in inside.keys.items():
            place = Path(path.column, (None, key), f"{path.column}[].{key}")
            if key in TEXT_KEYS or not (shape.numeric or shape.kinds == {"flag"}):
                continue
            if names.plain(key) in names.RANKS:
                found.append(Ranks((place,)))
            elif names.words(key) & names.LABEL_WORDS:
                found.append(Scores((place,)))
        return found

    def _of_numbered(self, annotators: Annotators | None) -> Rule | None:
        """Of responses in columns of their own."""
        columns = [
            column for column in names.filled(self.free, (*names.LABELS, *names.SIGNED)) if self._is_label(column)
        ]
        if len(columns) > 1:
            ways = " or ".join(f"--map label={column}" for column in columns)
            raise FathomError(f"columns: {names.listing(columns)} could each be the label; choose with {ways}")
        if columns:
            return _spelled(Path(columns[0]), self.schema, self.mapped, self.responses)
        flags = _flag_columns(self.free, self.responses)
        n = len(self.responses.marks) or 2
        if flags:
            return Flags(tuple(map(Path, flags[:n])), tuple(map(Path, flags[n:])))
        choices: list[Rule] = [
            Scores(tuple(map(Path, columns))) for columns in _score_columns(self.free, self.responses)
        ]
        for column in names.filled(self.free, (*names.SCORES, *names.RANKS)):
            shape = self.free.columns[column]
            if _is_numbers(shape) and ((n == 2 and shape.lengths == {2}) or n > 2):
                choices.append((Ranks if names.plain(column) in names.RANKS else Scores)((Path(column),)))
        if annotators is not None:
            choices.append(Majority(annotators))
        return self._only(choices)

    def _is_label(self, column: str) -> bool:
        shape = self.free.columns[column]
        return bool(shape.kinds & {"text", "number", "flag"}) and shape.longest <= MAX_LABEL

    def _only(self, choices: Sequence[Rule]) -> Rule | None:
        """The one rule, None where there is none. Raises FathomError that names the mapping of each of several."""
        if len(choices) < 2:
            return choices[0] if choices else None
        fields = [(name, ",".join(map(str, paths))) for rule in choices for name, paths in rule.paths.items()]
        ways = [f"--map {name}={paths}" for name, paths in fields if name in FIELDS]
        told = names.listing(paths.replace(",", " and ") for _, paths in fields)
        raise FathomError(
            f"columns: {told} could each be the label; choose with {' or '.join(ways)}, or --map ignore=COLUMN"
        )

    def refuse_lookalikes(self) -> None:
        """Raises FathomError for columns that look like labels where none is read."""
        found = [column for column, shape in self.free.columns.items() if looks_like_label(column, shape)]
        if not found:
            return
        ways = " or ".join(self._way(column) for column in found[:4])
        raise FathomError(
            f"columns: {names.listing(found)} may hold labels, and none is read; read one with {ways}, or "
            "judge without labels with --map label="
        )

    def _way(self, column: str) -> str:
        shape = self.free.columns[column]
        of_numbers = _is_numbers(shape) or _of_numbers(shape)
        if names.words(column) & {"rank", "ranks"}:
            return f"--map ranks={column}"
        if self.responses.single or of_numbers:
            return f"--map scores={column}"
        return f"--map label={column}"
