"""Layouts with labelled steps: a table of published ones, recognised by their columns.

    layout = find_stepwise(schema, {}, neutral=None)      # None for a source of another kind
    layout.read(row, id="1", seed=0)                      # comparisons with `steps` and labels of steps

The readers are in `_solutions`. To add a layout, add a reader and a row of `TABLE`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from fathom.data.conversations import explain
from fathom.data.layouts import _names as names
from fathom.data.layouts import _solutions as solutions
from fathom.data.layouts._mapping import Path, SourceRow, split_mapping
from fathom.data.layouts._schema import MAX_LABEL, Schema, Shape
from fathom.data.layouts._solutions import JOINT, Solutions
from fathom.data.records import Comparison, shuffled_order
from fathom.data.steps import SHARED
from fathom.errors import FathomError
from fathom.settings import Neutral

Kind = Literal[
    "text", "prompt", "prose", "number", "index", "texts", "numbers", "problem", "rated", "nodes", "dialogue", "turns",
    "turn",
]  # fmt: skip
Read = Callable[[SourceRow, Neutral | None], Iterator[Solutions]]


TYPES = "step_types"
"""The column with the type of each step, which no published layout has and every layout of one solution may have."""


@dataclass(frozen=True)
class StepwiseLayout:
    """A layout whose rows hold solutions with labelled steps."""

    title: str
    columns: Mapping[str, Kind]
    """The columns that identify the layout, and the kind of their values. They form the comparison."""
    reader: Read
    further: tuple[str, ...] = ()
    """Other columns of the published files. They are kept in `metadata`."""
    id_column: str | None = None
    """A column with a unique id."""
    neutral: Neutral | None = None
    rates_neutral: bool = False
    """Whether steps may be rated neutral."""
    best_first: bool = False
    """Whether the columns reveal which solution is better, so that their order is drawn by `shuffled_order`."""
    reference: Path | None = None
    """The place of the reference answer, if a mapping names it."""

    def has_columns(self, schema: Schema) -> bool:
        return self.columns.keys() <= schema.columns.keys()

    def unfit(self, schema: Schema) -> list[str]:
        """The columns whose values are of another kind, each with what was expected."""
        return [
            f"{column}: expected {kind.expected}"
            for column, kind in ((column, KINDS[name]) for column, name in self.columns.items())
            if not kind.fits(schema.columns[column])
        ]

    def matches(self, schema: Schema) -> bool:
        return self.has_columns(schema) and not self.unfit(schema)

    def id(self, row: SourceRow) -> str | None:
        """The row's own id."""
        value = row.get(self.id_column) if self.id_column else None
        return None if value is None else str(value)

    def digest(self, row: SourceRow) -> str:
        """A hash of the columns that form the comparison, used as id."""
        content = {column: row.get(column) for column in sorted(self.columns)}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def name(self, field: str) -> str:
        """The column of a field, for messages."""
        return (self.id_column if field == "id" else None) or field

    def read(self, row: SourceRow, id: str, seed: int) -> list[Comparison]:
        """The comparisons of a row. A response is its steps, joined by a blank line. Raises BadRowError."""
        taken = {*self.columns, self.id_column, *([self.reference.column] if self.reference else ())}
        metadata = {column: value for column, value in row.items() if column not in taken}
        reference = self.reference.value(row) if self.reference else None
        return [self._comparison(found, id, seed, metadata, reference) for found in self.reader(row, self.neutral)]

    def _comparison(self, found: Solutions, id: str, seed: int, metadata: SourceRow, reference: Any) -> Comparison:
        values: dict[str, Any] = {
            "id": f"{id}{found.suffix}",
            "prompt": found.prompt,
            "responses": tuple(JOINT.join(steps) for steps in found.steps),
            "steps": tuple(map(tuple, found.steps)),
            "label": found.label,
            "reference": str(reference) if isinstance(reference, int | float) else reference,
            "domain": "correctness",
            "metadata": {**metadata, **({SHARED: found.shared} if found.shared else {})},
        }
        if len(found.steps) == 1 and isinstance(metadata.get(TYPES), list):
            values["step_types"] = (metadata[TYPES],)
            del values["metadata"][TYPES]
        if self.best_first:
            values["source_order"] = tuple(range(len(found.steps)))
        try:
            comparison = Comparison.model_validate(values)
        except ValidationError as error:
            raise explain(error, {}) from None
        n = len(comparison.responses)
        return comparison.permuted(shuffled_order(seed, comparison.id, n)) if self.best_first else comparison


def find_stepwise(
    schema: Schema, mapping: Mapping[str, str | Sequence[str]], neutral: Neutral | None
) -> tuple[StepwiseLayout, tuple[str, ...]] | None:
    """The layout of labelled steps that fits a source, and the columns that it does not know.

    None if there is none, or if a mapping says how to read the source; the field `reference` says nothing about that.
    Raises FathomError if ratings may be neutral and `neutral` does not say what that means, and if `neutral` has no
    effect.
    """
    own = mapping.keys() - {"reference"}
    layout = None if own else next((layout for layout in TABLE if layout.matches(schema)), None)
    if neutral is not None and not (layout and layout.rates_neutral):
        raise FathomError(f"--neutral {neutral} has no effect: no step of this source is rated neutral; leave it out")
    if layout is None:
        return None
    if layout.rates_neutral and neutral is None:
        raise FathomError(
            f"columns: {layout.title} rates steps good, neutral or bad, and readers disagree about neutral ones; "
            "choose --neutral good (as in its paper), --neutral bad (as in TRL) or --neutral unknown (no label)"
        )
    reference = split_mapping(mapping, schema)[0].one("reference")
    known = {*layout.columns, *layout.further, layout.id_column, TYPES, *([reference.column] if reference else ())}
    chosen = replace(layout, neutral=neutral, reference=reference)
    return chosen, tuple(column for column in schema.columns if column not in known and schema.filled(column))


def almost(schema: Schema) -> str:
    """For messages: which published layout has the names of these columns, but other values; empty if none has."""
    named = next((layout for layout in TABLE if len(layout.columns) > 1 and layout.has_columns(schema)), None)
    return f"{named.title} has these columns, with other values: {'; '.join(named.unfit(schema))}" if named else ""


# Kinds of columns -----------------------------------------------------------------------------------------------------


def _is(*kinds: str) -> Callable[[Shape], bool]:
    return lambda shape: bool(shape.kinds) and shape.kinds <= set(kinds)


def _list_of(*kinds: str) -> Callable[[Shape], bool]:
    def check(shape: Shape) -> bool:
        inside = names.items(shape)
        return inside is not None and bool(inside.kinds) and inside.kinds <= set(kinds)

    return check


def _has_key(key: str) -> Callable[[Shape], bool]:
    return lambda shape: key in (names.items(shape) or shape).keys


class _ColumnKind(NamedTuple):
    fits: Callable[[Shape], bool]
    expected: str
    """The values that fit, in words."""


KINDS: Mapping[Kind, _ColumnKind] = {
    "text": _ColumnKind(_is("text"), "text"),
    "prompt": _ColumnKind(_is("text", "list"), "text or a list"),
    "prose": _ColumnKind(
        lambda shape: shape.kinds == {"text"} and shape.longest > MAX_LABEL,
        f"texts, some of more than {MAX_LABEL} characters",
    ),
    "number": _ColumnKind(lambda shape: shape.kinds <= {"number"}, "a number or null"),
    "texts": _ColumnKind(_list_of("text"), "a list of texts"),
    "numbers": _ColumnKind(
        lambda shape: shape.kinds == {"list"} and (shape.items is None or shape.items.kinds <= {"number", "flag"}),
        "a list of numbers, or of true and false",
    ),
    "index": _ColumnKind(
        lambda shape: shape.kinds <= {"number", "text"} and shape.longest <= MAX_LABEL, "a number or a short text"
    ),
    "problem": _ColumnKind(_has_key("problem"), "an object with the key problem"),
    "rated": _ColumnKind(_has_key("steps"), "an object with the key steps"),
    "nodes": _ColumnKind(_has_key("mc_value"), "objects with the key mc_value"),
    "dialogue": _ColumnKind(
        lambda shape: shape.graded and names.holds_messages(shape), "messages, of which the last one is + or -"
    ),
    "turns": _ColumnKind(lambda shape: shape.kinds <= {"text", "list"}, "a list"),
    "turn": _ColumnKind(
        lambda shape: bool({solutions.PLAN, *solutions.TURN} & shape.keys.keys()),
        f"an object with a key of {', '.join((solutions.PLAN, *solutions.TURN))}",
    ),
}

TABLE: tuple[StepwiseLayout, ...] = (
    StepwiseLayout(
        "TRL's stepwise supervision",
        {"prompt": "prompt", "completions": "texts", "labels": "numbers"},
        solutions.stepwise,
    ),
    StepwiseLayout(
        "ProcessBench",
        {"problem": "text", "steps": "texts", "label": "number"},
        solutions.processbench,
        ("generator", "final_answer_correct"),
        id_column="id",
    ),
    StepwiseLayout(
        "PRMBench and Socratic-PRMBench",
        {"modified_question": "text", "modified_process": "texts", "error_steps": "numbers"},
        solutions.prmbench,
        ("original_question", "original_process", "modified_steps", "reason", "idx", "question", "classification"),
    ),
    StepwiseLayout(
        "MR-GSM8K",
        {
            "question": "text",
            "model_output_steps": "texts",
            "model_output_solution_correctness": "text",
            "model_output_solution_first_error_step": "index",
        },
        solutions.mr_gsm8k,
        (
            "ground_truth_solution",
            "ground_truth_answer",
            "model_output_answer_correctness",
            "model_output_solution_first_error_reason",
            "question_type",
        ),
        id_column="uuid",
    ),
    StepwiseLayout(
        "BIG-Bench Mistake",
        {"input": "text", "steps": "texts", "mistake_index": "number"},
        solutions.big_bench_mistake,
        ("target", "answer"),
    ),
    StepwiseLayout(
        "PRM800K",
        {"question": "problem", "label": "rated"},
        solutions.prm800k,
        ("labeler", "timestamp", "generation", "is_quality_control_question", "is_initial_screening_question"),
        rates_neutral=True,
    ),
    StepwiseLayout("Math-Shepherd", {"input": "prose", "label": "prose"}, solutions.math_shepherd, ("task",)),
    StepwiseLayout("ER-PRM", {"text": "prose", "value": "numbers"}, solutions.er_prm),
    StepwiseLayout("RLHFlow's training dialogues", {"conversations": "dialogue"}, solutions.rlhflow),
    StepwiseLayout(
        "RLHFlow's best-of-n sets",
        {"prompt": "text", "answers": "texts", "label": "numbers"},
        solutions.candidates,
    ),
    StepwiseLayout(
        "RLHFlow's best-of-n sets as in their README",
        {"prompt": "text", "answers": "texts", "labels": "numbers"},
        solutions.candidates,
    ),
    StepwiseLayout("OpenR", {"question": "text", "process": "text", "label": "texts"}, solutions.openr),
    StepwiseLayout("MATH-APS", {"question": "text", "reasoning_steps": "nodes"}, solutions.math_aps, ("final_answer",)),
    StepwiseLayout(
        "PaddleNLP's process rewards",
        {"src": "prompt", "responses": "texts", "labels": "texts"},
        solutions.paddlenlp,
        ("tgt",),
    ),
    StepwiseLayout(
        "ToolComp",
        {"prompt": "text", "history": "turns", "preferred": "turn", "dispreferred": "turn"},
        solutions.toolcomp,
        ("tools", "historical_date"),
        best_first=True,
    ),
)
"""The published layouts. The first one whose columns a source has is used."""
