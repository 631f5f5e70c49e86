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
from typing import Any, Literal

from pydantic import ValidationError

from fathom.data.conversations import explain
from fathom.data.layouts import _names as names
from fathom.data.layouts import _solutions as solutions
from fathom.data.layouts._mapping import SourceRow
from fathom.data.layouts._schema import MAX_LABEL, Schema, Shape
from fathom.data.layouts._solutions import JOINT, Solutions
from fathom.data.records import Comparison, shuffled_order
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

    def matches(self, schema: Schema) -> bool:
        return all(
            column in schema.columns and _KINDS[kind](schema.columns[column]) for column, kind in self.columns.items()
        )

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
        metadata = {column: value for column, value in row.items() if column not in {*self.columns, self.id_column}}
        return [self._comparison(found, id, seed, metadata) for found in self.reader(row, self.neutral)]

    def _comparison(self, found: Solutions, id: str, seed: int, metadata: SourceRow) -> Comparison:
        values: dict[str, Any] = {
            "id": f"{id}{found.suffix}",
            "prompt": found.prompt,
            "responses": tuple(JOINT.join(steps) for steps in found.steps),
            "steps": tuple(map(tuple, found.steps)),
            "label": found.label,
            "domain": "correctness",
            "metadata": metadata,
        }
        if len(found.steps) == 1 and isinstance(metadata.get(TYPES), list):
            values["step_types"] = (metadata[TYPES],)
            values["metadata"] = {column: value for column, value in metadata.items() if column != TYPES}
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

    None if there is none, or if a mapping says how to read the source. Raises FathomError if ratings may be neutral and
    `neutral` does not say what that means, and if `neutral` has no effect.
    """
    layout = None if mapping else next((layout for layout in TABLE if layout.matches(schema)), None)
    if neutral is not None and not (layout and layout.rates_neutral):
        raise FathomError(f"--neutral {neutral} has no effect: no step of this source is rated neutral; leave it out")
    if layout is None:
        return None
    if layout.rates_neutral and neutral is None:
        raise FathomError(
            f"columns: {layout.title} rates steps good, neutral or bad, and readers disagree about neutral ones; "
            "choose --neutral good (as in its paper), --neutral bad (as in TRL) or --neutral unknown (no label)"
        )
    known = {*layout.columns, *layout.further, layout.id_column, TYPES}
    chosen = replace(layout, neutral=neutral)
    return chosen, tuple(column for column in schema.columns if column not in known and schema.filled(column))


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


_KINDS: Mapping[Kind, Callable[[Shape], bool]] = {
    "text": _is("text"),
    "prompt": _is("text", "list"),
    "prose": lambda shape: shape.kinds == {"text"} and shape.longest > MAX_LABEL,
    "number": lambda shape: shape.kinds <= {"number"},
    "texts": _list_of("text"),
    "numbers": lambda shape: (
        shape.kinds == {"list"} and (shape.items is None or shape.items.kinds <= {"number", "flag"})
    ),
    "index": lambda shape: shape.kinds <= {"number", "text"} and shape.longest <= MAX_LABEL,
    "problem": _has_key("problem"),
    "rated": _has_key("steps"),
    "nodes": _has_key("mc_value"),
    "dialogue": lambda shape: shape.graded and names.holds_messages(shape),
    "turns": lambda shape: shape.kinds <= {"text", "list"},
    "turn": lambda shape: bool({solutions.PLAN, *solutions.TURN} & shape.keys.keys()),
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
