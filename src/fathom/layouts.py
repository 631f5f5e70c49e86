"""How sources lay out a comparison, recognised by their columns.

    layout = recognise({"question": "2 + 2?", "response_A": "4", "response_B": "5", "label": "A>B"}, {}, values)
    comparison, = layout.read(row, id="1", seed=0)

There are three kinds: `responses` in a list (Fathom's own files are of this kind), two responses in two columns with a
label, and `chosen` beside `rejected`: texts, lists of texts or conversations, with or without a prompt, as TRL has
them. In the third kind the order of the columns gives the label away, so it never fixes the order of the responses:
`placement` draws it. A column that no field needs is kept in `metadata`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

from pydantic import ValidationError

from fathom import labels
from fathom.conversations import BadRow, Prompt, as_prompt, as_response, explain, shortened, split
from fathom.errors import FathomError
from fathom.records import Comparison, Domain, Label, placement

Row = Mapping[str, Any]
Kind = Literal["responses", "pair", "chosen"]
Values = Callable[[str], Iterable[Any]]
"""All values a column of the source has."""

FIELDS: Mapping[str, str] = {
    "id": "names the comparison; with an empty column, ids are made of the content",
    "prompt": "text, or a list of messages",
    "responses": "a list of responses",
    "response_a": "the first of two responses",
    "response_b": "the second of two responses",
    "chosen": "the better response, or a list of them",
    "rejected": "the worse response, or a list of them",
    "label": "which response is better",
    "label.a": "the label's value where the first of two responses is better",
    "label.b": "the label's value where the second is better",
    "label.tie": "the label's value for a tie",
    "ranking": "indices into `responses`, best first",
    "scores": "one number for each of `responses`",
    "reference": "a reference answer",
    "domain": "a column; or preference or correctness, for every row",
}
"""What a mapping can name. A field mapped to an empty column is left out."""

KINDS: Mapping[Kind, tuple[str, ...]] = {
    "responses": ("responses",),
    "pair": ("response_a", "response_b"),
    "chosen": ("chosen", "rejected"),
}
"""The fields that tell the kinds apart."""

_KNOWN = (
    "prompt + responses (+ label, ranking or scores); prompt + response_a + response_b + label (or output_1, answer_b, "
    "...); chosen + rejected (+ prompt)"
)
_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "pair_id", "uid", "uuid", "idx"),
    "reference": ("reference", "reference_answer"),
}
_PROMPTS = ("prompt", "question", "instruction", "input", "query", "context", "problem")
_LABELS = ("label", "winner", "preferred", "choice", "better")
_SIGNED = ("overall_preference", "preference_strength")
"""Below 0 the first response is better, above 0 the second (HelpSteer)."""
_SIDE = re.compile(r"(response|output|answer|completion|solution|candidate|conversation)[ _-]?([ab012])", re.IGNORECASE)
_ANNOTATOR = re.compile(r"annotator_?\d")
_CONSTANTS = [("domain", word) for word in get_args(Domain)]
_NOT_COMPARED = ("id", "domain", "placement", "metadata")


class UnclearLabels(FathomError):  # noqa: N818
    """The numbers in a label column could mean different things: no single row is at fault."""


@dataclass(frozen=True)
class Layout:
    """Where one source keeps the fields of a comparison. `columns` maps a field to its column."""

    kind: Kind
    columns: Mapping[str, str]
    label: Callable[[Row], Label | Row | None]
    domain: Domain | None = None

    def id(self, row: Row) -> str | None:
        """The id that the row brings along."""
        value = self._value(row, "id")
        return None if value is None else str(value)

    def digest(self, row: Row) -> str:
        """An id made of what is compared: neither the place in the file nor further columns have a part in it."""
        content = {field: self._value(row, field) for field in self.columns if field not in _NOT_COMPARED}
        content = {field: value for field, value in content.items() if value is not None}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def read(self, row: Row, id: str, seed: int) -> list[Comparison]:
        """The comparisons of a row: one, or as many as there are pairs of a chosen and a rejected response.

        Raises BadRow.
        """
        for field in KINDS[self.kind]:
            if self._value(row, field) is None:
                raise BadRow(self.columns[field], "is missing, allowed is text; empty text is allowed")
        if self.kind == "responses":
            return [self._comparison(row, id, **self._listed(row))]
        if self.kind == "pair":
            prompt, responses = self._split(row, *(self._value(row, side) for side in KINDS["pair"]))
            return [self._comparison(row, id, prompt=prompt, responses=responses, label=self.label(row))]
        return [pair.reordered(placement(seed, pair.id, 2)) for pair in self._winners_first(row, id)]

    def _listed(self, row: Row) -> dict[str, Any]:
        column = self.columns["responses"]
        responses = self._value(row, "responses")
        if not isinstance(responses, list | tuple) or not responses:
            raise BadRow(column, f"got {shortened(responses)}, allowed is a list of at least one response")
        texts = [as_response(response, f"{column}.{index}") for index, response in enumerate(responses)]
        given = {"prompt": self._prompt(row), "placement": self._value(row, "placement")}
        return {**given, "responses": texts, "label": self.label(row)}

    def _winners_first(self, row: Row, id: str) -> Iterator[Comparison]:
        better, worse = (self._candidates(row, field) for field in KINDS["chosen"])
        several = len(better) * len(worse) > 1
        for (i, chosen), (j, rejected) in product(enumerate(better), enumerate(worse)):
            prompt, responses = self._split(row, chosen, rejected)
            pair = {"prompt": prompt, "responses": responses, "label": Label(best=0), "placement": (0, 1)}
            more = {"chosen": i, "rejected": j} if several else {}
            yield self._comparison(row, f"{id}/{i}-{j}" if several else id, more, **pair)

    def _candidates(self, row: Row, field: str) -> list[Any]:
        """One response, or the several of a list; a list of messages is one response."""
        value = self._value(row, field)
        if not isinstance(value, list | tuple) or (value and isinstance(value[0], Mapping)):
            return [value]
        if not value:
            raise BadRow(self.columns[field], "got an empty list, allowed is at least one response")
        return list(value)

    def _split(self, row: Row, first: Any, second: Any) -> tuple[Prompt, tuple[str, str]]:
        """The prompt and the two responses, whether the prompt has a column, or is in both responses' conversations."""
        names = [self.columns[field] for field in KINDS[self.kind]]
        prompt = self._prompt(row) if self._value(row, "prompt") is not None else None
        if prompt is not None and not (isinstance(first, list | tuple) and isinstance(second, list | tuple)):
            return prompt, (as_response(first, names[0]), as_response(second, names[1]))
        shared, responses = split(first, second, names)
        if not shared and prompt is None:
            raise BadRow(names[0], f"shares no turn with {names[1]}, and there is no prompt column")
        if not shared or prompt is None:
            return prompt or shared, responses
        if isinstance(prompt, tuple):
            return (*prompt, *shared), responses
        if not any(turn.content.strip() == prompt.strip() for turn in shared):
            turns = f"the turns that {' and '.join(names)} share"
            raise BadRow(self.columns["prompt"], f"is none of {turns}; leave it out with --map prompt=")
        return shared, responses

    def _prompt(self, row: Row) -> Prompt:
        value, more = self._value(row, "prompt"), self._value(row, "input")
        if value is None:
            raise BadRow(self.columns["prompt"], "is missing, allowed is text or a list of messages")
        prompt = as_prompt(value, self.columns["prompt"])
        if not more:
            return prompt
        if not isinstance(prompt, str) or not isinstance(more, str):
            raise BadRow(self.columns["input"], f"got {shortened(more)}, allowed is text that goes on with a text")
        return f"{prompt}\n\n{more}"

    def _value(self, row: Row, field: str) -> Any:
        return _cell(row, self.columns[field]) if field in self.columns else None

    def _metadata(self, row: Row) -> dict[str, Any]:
        used = set(self.columns.values())
        own = self._value(row, "metadata")
        further = {column: value for column, value in row.items() if column not in used}
        return further | (dict(own) if isinstance(own, Mapping) else {"metadata": own} if own is not None else {})

    def _comparison(self, row: Row, id: str, more: Row | None = None, **given: Any) -> Comparison:
        values = {
            "id": id,
            "reference": self._value(row, "reference"),
            "domain": self.domain or self._value(row, "domain"),
            "metadata": {**self._metadata(row), **(more or {})},
            **given,
        }
        try:
            return Comparison.model_validate(values)
        except ValidationError as error:
            raise explain(error, self.columns) from None


def _cell(row: Row, column: str) -> Any:
    """The value, `None` where there is none: tables have NaN in place of a missing text."""
    value = row.get(column)
    return None if isinstance(value, float) and math.isnan(value) else value


# Recognition ---------------------------------------------------------------------------------------------------------


def recognise(row: Row, mapping: Mapping[str, str], values: Values) -> Layout:
    """The layout of a source with rows like this one; `mapping` says which column a field has where its name does not.

    `values` is asked only where labels may be numbers. Raises BadRow that names the columns, the layouts and the
    mapping to use when there is no match, or more than one; UnclearLabels when numbers could mean different things.
    """
    for field, column in mapping.items():
        if column and not field.startswith("label.") and column not in row and (field, column) not in _CONSTANTS:
            raise BadRow("columns", f"--map {field}={column} names none of {', '.join(row)}")
    kind, columns = _kind(row, mapping)
    columns |= _further(row, mapping, kind)
    domain = next((word for word in get_args(Domain) if word == mapping.get("domain") and word not in row), None)
    if kind == "pair":
        return Layout(kind, columns, _pair_label(row, columns, mapping, values), domain)
    return Layout(kind, columns, _listed_label(columns), domain)


def _kind(row: Row, mapping: Mapping[str, str]) -> tuple[Kind, dict[str, str]]:
    asked = [kind for kind, fields in KINDS.items() if any(mapping.get(field) for field in fields)]
    fitting: list[tuple[Kind, dict[str, str]]] = []
    for kind in asked or KINDS:
        for guess in _pairs(row) if kind == "pair" and kind not in asked else [{}]:
            columns = {field: mapping.get(field) or guess.get(field, field) for field in KINDS[kind]}
            if all(column in row for column in columns.values()):
                fitting.append((kind, columns))
    if len(fitting) == 1:
        return fitting[0]
    found = "more than one layout fits" if fitting else "no layout fits"
    way_out = "Name the columns, as in --map response_a=COLUMN --map response_b=COLUMN"
    raise BadRow("columns", f"{found} {', '.join(row)}; known are: {_KNOWN}. {way_out}")


def _pairs(row: Row) -> list[dict[str, str]]:
    """Columns like response_A and response_B, output_1 and output_2, answer0 and answer1."""
    sides = {(match[1].lower(), match[2].lower()): column for column in row if (match := _SIDE.fullmatch(column))}
    partners = {"a": "b", "0": "1", "1": "2"}
    return [
        {"response_a": column, "response_b": sides[stem, partners[mark]]}
        for (stem, mark), column in sides.items()
        if (stem, partners.get(mark)) in sides
    ]


def _further(row: Row, mapping: Mapping[str, str], kind: Kind) -> dict[str, str]:
    """The columns of the fields that rows may lack. What the first row lacks is looked for under the field's name."""
    fields = ["id", "reference"]
    if row.get("domain") is None or row["domain"] in get_args(Domain) or "domain" in mapping:
        fields.append("domain")  # other words there are some other kind of domain
    if kind == "responses":
        fields += ["label", "ranking", "scores", "placement", "metadata"]
    columns = {field: next((name for name in _NAMES.get(field, ()) if name in row), field) for field in fields}
    columns |= _prompt_columns(row, mapping)
    if kind == "pair":
        columns |= _label_column(row)
    columns |= {field: column for field, column in mapping.items() if "." not in field}
    return {field: column for field, column in columns.items() if column}


def _prompt_columns(row: Row, mapping: Mapping[str, str]) -> dict[str, str]:
    found = [name for name in _PROMPTS if name in row]
    if "prompt" in mapping or "prompt" in found or not found:
        return {"prompt": "prompt"}
    if set(found) == {"instruction", "input"}:  # an instruction and what it is about (Alpaca, PandaLM)
        return {"prompt": "instruction", "input": "input"}
    if len(found) > 1:
        raise BadRow("columns", f"{' and '.join(found)} could each be the prompt; choose with --map prompt=COLUMN")
    return {"prompt": found[0]}


def _label_column(row: Row) -> dict[str, str]:
    found = [name for name in (*_LABELS, *_SIGNED) if name in row]
    if len(found) > 1:
        raise BadRow("columns", f"{' and '.join(found)} could each be the label; choose with --map label=COLUMN")
    return {"label": found[0] if found else "label"}


# Labels --------------------------------------------------------------------------------------------------------------


def _listed_label(columns: Mapping[str, str]) -> Callable[[Row], Label | Row | None]:
    """A label object, an index, a ranking or scores, each from its column."""

    def read(row: Row) -> Row | None:
        given = {field: _cell(row, columns[field]) for field in ("label", "ranking", "scores") if field in columns}
        told = {field: value for field, value in given.items() if value is not None}
        if isinstance(told.get("label"), Mapping) and len(told) == 1:
            return {kind: value for kind, value in told["label"].items() if value is not None}
        if "label" in told:
            told["best"] = told.pop("label")
        return told or None

    return read


def _pair_label(
    row: Row, columns: Mapping[str, str], mapping: Mapping[str, str], values: Values
) -> Callable[[Row], Label | Row | None]:
    column = columns.get("label")
    if column is None:
        return lambda row: None
    if column in _SIGNED:
        return lambda row: _signed(_cell(row, column), column)
    annotators = [name for name in row if _ANNOTATOR.fullmatch(name)]
    if annotators and column not in row:
        return lambda row: _majority([_outcome(row.get(name), name, labels.FROM_ONE_0_IS_TIE) for name in annotators])
    code = _code(row, columns, mapping, values)
    return lambda row: None if _cell(row, column) is None else _label(_outcome(row[column], column, code))


def _code(row: Row, columns: Mapping[str, str], mapping: Mapping[str, str], values: Values) -> labels.Code:
    outcomes = {"label.a": 0, "label.b": 1, "label.tie": None}
    explicit = {labels.key(mapping[field]): outcome for field, outcome in outcomes.items() if field in mapping}
    if explicit:
        return explicit
    if {"scenario", "response 1", "response 2"} <= row.keys():  # Auto-J
        return labels.FROM_ZERO_2_IS_TIE
    if labels.LETTERS.get(labels.key(row.get(columns["label"]))) is not None:
        return labels.LETTERS
    sides = [_SIDE.fullmatch(columns[field]) for field in KINDS["pair"]]
    marks = (sides[0][2].lower(), sides[1][2].lower()) if sides[0] and sides[1] else ("a", "b")
    try:
        return labels.spelled(values(columns["label"]), marks)
    except ValueError as error:
        column = columns["label"]
        raise UnclearLabels(f"{column}: {error}; say it with --map label.a=VALUE --map label.b=VALUE") from None


def _outcome(value: Any, column: str, code: labels.Code) -> int | None:
    try:
        return labels.outcome(value, code)
    except ValueError as error:
        raise BadRow(column, str(error)) from None


def _label(outcome: int | None) -> Label:
    return Label(scores=(0.5, 0.5)) if outcome is None else Label(best=outcome)


def _majority(outcomes: list[int | None]) -> Label | None:
    """What more than half of the annotators say."""
    outcome, votes = Counter(outcomes).most_common(1)[0]
    return _label(outcome) if 2 * votes > len(outcomes) else None


def _signed(value: Any, column: str) -> Label | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        allowed = "a number, below 0 for the first response and above 0 for the second"
        raise BadRow(column, f"got {value!r}, allowed is {allowed}")
    return Label(scores=(-value / 2, value / 2))
