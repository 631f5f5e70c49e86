"""Detection of layouts: how the columns of a source spell comparisons.

    schema = Schema()
    schema.add({"question": "2 + 2?", "response_A": "4", "response_B": "5", "label": "A>B"})
    layout, unused = detect(schema, {})
    comparison, = layout.read(row, id="1", seed=0)

There are five kinds of layouts:

- `responses` in a list (as in Fathom's own files), in numbered columns, or one per row;
- a pair of responses with a label;
- `chosen` and `rejected`, as in TRL: texts, lists of texts or conversations, with or without a prompt column;
- a conversation whose last turn is the response;
- solutions with labelled steps, in one of the published layouts of `_stepwise`.

In the third kind the columns reveal the label, so the order of the responses is drawn by `shuffled_order`.

A layout is a pure function of the schema of all rows and the mapping. Ambiguous sources are refused with a message that
shows the mappings that resolve them. Columns that no field uses are kept in `metadata` and returned as `unused`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from fathom.data.layouts import _names as names
from fathom.data.layouts._labels import find_annotators, find_label
from fathom.data.layouts._layout import Layout
from fathom.data.layouts._mapping import CONSTANTS, FIELDS, OUTCOMES, Mapped, Path, SourceRow, shape_at, split_mapping
from fathom.data.layouts._prompts import find_prompt, refuse_images
from fathom.data.layouts._responses import Responses, find_responses
from fathom.data.layouts._rules import LabelRule
from fathom.data.layouts._schema import Schema, Shape, is_empty
from fathom.data.layouts._stepwise import StepwiseLayout, almost, find_stepwise
from fathom.data.records import Domain, Label
from fathom.errors import FathomError, map_option
from fathom.plugins import PluginKind
from fathom.settings import Neutral

__all__ = ["FIELDS", "LAYOUTS", "Layout", "Schema", "SourceRow", "StepwiseLayout", "detect", "is_empty"]

LAYOUTS = PluginKind("layout", packages=("fathom.data.layouts",), group="fathom.layouts", attribute="comparison")
"""User-defined layouts: functions that convert a row to comparisons."""


def detect(
    schema: Schema, mapping: Mapping[str, str | Sequence[str]], neutral: Neutral | None = None
) -> tuple[Layout | StepwiseLayout, tuple[str, ...]]:
    """The layout of a source and the columns that it does not use.

    `mapping` assigns columns to fields where their names are not recognised; `neutral` says what a neutral rating of a
    step means. Raises FathomError if no layout fits, if several do, if a mapping or `neutral` has no effect, or if a
    column that may matter to a verdict would be ignored. The message shows the option that resolves the problem.
    """
    if stepwise := find_stepwise(schema, mapping, neutral):
        return stepwise
    try:
        return _detect(schema, mapping)
    except FathomError as error:
        if hint := "" if mapping else almost(schema):
            raise FathomError(f"{error}. {hint}") from None
        raise


def _detect(schema: Schema, mapping: Mapping[str, str | Sequence[str]]) -> tuple[Layout, tuple[str, ...]]:
    """The layout of responses, and the columns that it does not use."""
    mapped, seen = split_mapping(mapping, schema)
    responses = find_responses(seen, mapped)
    refuse_images(seen.without({path.column for paths in responses.paths.values() for path in paths}))
    annotators = find_annotators(seen, mapped, responses)
    rule = find_label(seen, mapped, responses, annotators)
    paths = {**responses.paths, **find_prompt(_unlabelled(seen, rule), mapped, responses)}
    paths |= dict(rule.paths) if rule is not None else {}
    paths |= {"annotators": annotators.paths} if annotators is not None else {}
    paths |= _further(seen, mapped, responses, paths)
    _refuse_idle(mapping, mapped, paths, rule)
    layout = Layout(
        kind=responses.kind,
        paths=paths,
        label=rule,
        annotators=annotators,
        domain=mapped.domain,
        domains=_domains(seen, mapped, paths),
        single_response=responses.single,
        json_columns=_json_columns(seen, paths, responses),
        parallel_turns=_are_turns(seen, paths, responses),
    )
    used = {path.column for field in paths.values() for path in field}
    return layout, tuple(column for column in seen.columns if column not in used and seen.filled(column))


def _unlabelled(schema: Schema, rule: LabelRule | None) -> Schema:
    columns = {path.column for paths in rule.paths.values() for path in paths} if rule is not None else set()
    return schema.without(columns)


def _further(
    schema: Schema, mapped: Mapped, responses: Responses, paths: Mapping[str, tuple[Path, ...]]
) -> dict[str, tuple[Path, ...]]:
    """The columns of the fields id, reference, domain, source_order, metadata, annotations, steps and step_types."""
    taken = {path.column for field in paths.values() for path in field}
    free = schema.without(taken)
    found: dict[str, tuple[Path, ...]] = {}
    for name, known in (("id", names.IDS), ("reference", names.REFERENCES)):
        columns = names.named(free, known)
        if columns and name not in mapped.empty:
            found[name] = (Path(columns[0]),)
    if (
        "domain" in free.columns
        and "domain" not in mapped.empty
        and (mapped.domains or _is_domain(free.columns["domain"]))
    ):
        found["domain"] = (Path("domain"),)
    if responses.kind == "responses" and not responses.marks:
        own = ["source_order", "metadata"]
        if "annotations" in free.columns and _are_labels(free.columns["annotations"]):
            own.append("annotations")
        if "steps" in free.columns and _are_steps(free.columns["steps"]):
            own.append("steps")
            own += ["step_types"] if "step_types" in free.columns else []
        found |= {name: (Path(name),) for name in own if name in free.columns}
        if "placement" in free.columns:  # what version 0.1 called `source_order`
            found.setdefault("source_order", (Path("placement"),))
    return found | {name: mapped.paths[name] for name in ("id", "reference", "domain") if name in mapped.paths}


def _domains(schema: Schema, mapped: Mapped, paths: Mapping[str, tuple[Path, ...]]) -> Mapping[str, Domain]:
    """The domain that each value of the domain column stands for; empty if the values are the domain names.

    Raises FathomError for values that occur in no row, and for a mapped column without any domain name.
    """
    given = next((map_option(f"domain.{meant}", *words) for meant, words in mapped.domains.items()), "")
    if "domain" not in paths:
        if given:
            raise FathomError(f"domain: {given} needs --map domain=COLUMN as well; give both")
        return {}
    path = paths["domain"][0]
    shape = shape_at(path, schema) or Shape()
    values = {str(value) for _, value in shape.spellings or ()}
    if not given:
        if values and not values & CONSTANTS:
            raise FathomError(
                f"domain: {path} contains {names.listing(sorted(values))}, expected preference and correctness; map "
                "them with --map domain.preference=VALUE,VALUE --map domain.correctness=VALUE,VALUE"
            )
        return {}
    domains: dict[str, Domain] = {}
    for meant, texts in mapped.domains.items():
        for word in (word for text in texts for word in ([text] if text in values else text.split(","))):
            if values and word not in values:
                option = map_option(f"domain.{meant}", *texts)
                raise FathomError(
                    f"domain: {option}: {path} does not contain {word!r}; its values are {', '.join(sorted(values))}"
                )
            if domains.setdefault(word, meant) != meant:
                raise FathomError(f"domain: {word!r} is mapped to both preference and correctness; map it to one")
    return domains


def _is_domain(shape: Shape) -> bool:
    """Whether all values are domain names. Other values mean that the column holds another kind of domain."""
    words = {value for _, value in shape.spellings or ()}
    return not shape.kinds or (shape.kinds == {"text"} and bool(words) and words <= set(get_args(Domain)))


def _are_labels(shape: Shape) -> bool:
    """Whether the values map annotators to label objects, as in Fathom's own files."""
    ways = Label.model_fields.keys()
    return shape.kinds <= {"object"} and all(
        label.kinds <= {"object"} and label.keys.keys() <= ways for label in shape.keys.values()
    )


def _are_steps(shape: Shape) -> bool:
    """Whether these are the steps of each response: lists of lists of texts."""
    for kind in ("list", "list", "text"):
        if not shape.kinds <= {kind}:
            return False
        if shape.items is None:  # as of empty texts, which leave no trace
            return True
        shape = shape.items
    return True


def _refuse_idle(
    mapping: Mapping[str, str | Sequence[str]],
    mapped: Mapped,
    paths: Mapping[str, tuple[Path, ...]],
    rule: LabelRule | None,
) -> None:
    """Raise FathomError for a mapping without effect."""
    for name, given in mapping.items():
        spelling = name in OUTCOMES and getattr(rule, "code", None) is None
        if given and (spelling or (name in mapped.paths and paths.get(name) != mapped.paths[name])):
            text = given if isinstance(given, str) else ",".join(given)
            why = "no label column is read" if spelling else "this layout does not use it"
            raise FathomError(f"--map {name}={text} has no effect: {why}; leave it out")


def _json_columns(schema: Schema, paths: Mapping[str, tuple[Path, ...]], responses: Responses) -> frozenset[str]:
    """Text columns that hold lists as JSON: responses, conversations, turns. Label rules decode their own columns."""
    found = set()
    for name in ("responses", "conversation", "prompt", "chosen", "rejected", "response_a", "response_b"):
        for path in paths.get(name, ()):
            shape = schema.columns[path.column]
            lists = name == "responses" and not responses.single and len(paths[name]) == 1
            if not path.steps and shape.lists_in_text and (lists or names.holds_messages(shape)):
                found.add(path.column)
    of_texts = (
        ("prompt", "response_a", "response_b") if _are_turns(schema, paths, responses) else ("chosen", "rejected")
    )
    if _are_lists(schema, paths, of_texts):
        found |= {paths[name][0].column for name in of_texts}
    return frozenset(found)


def _are_turns(schema: Schema, paths: Mapping[str, tuple[Path, ...]], responses: Responses) -> bool:
    """Whether prompt and responses are lists of texts, the turns of two conversations (Chatbot Arena's table)."""
    return responses.kind == "pair" and _are_lists(schema, paths, ("prompt", "response_a", "response_b"))


def _are_lists(schema: Schema, paths: Mapping[str, tuple[Path, ...]], fields: Sequence[str]) -> bool:
    for name in fields:
        if len(paths.get(name, ())) != 1 or paths[name][0].steps:
            return False
        inside = names.items(schema.columns[paths[name][0].column])
        if inside is None or not inside.kinds <= {"text"}:
            return False
    return True
