"""Detection of the columns that hold the responses, and of the kind of layout that they form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from fathom.data.conversations import TEXT_KEYS
from fathom.data.labels import NOUNS
from fathom.data.layouts import _names as names
from fathom.data.layouts._mapping import Mapped, Path, shape_at
from fathom.data.layouts._schema import Schema, Shape
from fathom.data.sources import describe_object
from fathom.errors import FathomError, map_option

LayoutKind = Literal["responses", "pair", "chosen", "conversation"]

KINDS: Mapping[LayoutKind, tuple[str, ...]] = {
    "responses": ("responses",),
    "pair": ("response_a", "response_b"),
    "chosen": ("chosen", "rejected"),
}
"""The fields that characterise each kind. In a `conversation`, the only response is the last turn."""

_MARK = r"(?P<mark>[a-h]|\d{1,2})"
_NOUN = rf"(?P<noun>{NOUNS})"
_SIDES = (
    re.compile(rf"(?P<start>(?:model|assistant|llm|ai|bot)_)?{_NOUN}_?{_MARK}(?P<end>_(?:body|text|content))?"),
    re.compile(rf"(?P<start>model|assistant|llm|ai|bot|system)_?{_MARK}_{_NOUN}(?P<end>)"),
    re.compile(rf"(?P<start>){_MARK}_{_NOUN}(?P<end>)"),
)
"""Names of numbered columns: response_A, output 1, answer0, answer1_body, model_a_response."""

_UNSURE = (
    ("j", "k"), ("w", "l"), ("win", "lose"), ("good", "bad"), ("positive", "negative"), ("pos", "neg"),
    ("correct", "incorrect"), ("right", "wrong"),
)  # fmt: skip
"""Word pairs that probably mark a better and a worse response. They are suggested; a mapping has to confirm them."""
_NO_RESPONSES = {"model", "generator", "annotator", "rater", "id", "score", "rating", "explanation"}
_ORDERED = (("left", "right"), ("first", "second"), ("x", "y"), ("one", "two"), ("ours", "theirs"))
"""Word pairs that probably mark two responses without saying which is better."""


@dataclass(frozen=True)
class Responses:
    """The places of the responses. `marks` distinguish numbered columns: ("a", "b"), ("1", "2", "3")."""

    kind: LayoutKind
    paths: Mapping[str, tuple[Path, ...]]
    marks: tuple[str, ...] = ()
    single: bool = field(default=False)
    """Whether a row has one response. A list of messages is then one conversation."""


def find_responses(schema: Schema, mapped: Mapped) -> Responses:
    """Find the responses of a source. Raises FathomError with suggested mappings if there is no single candidate."""
    if _is_by_column(schema):
        raise FathomError(f"columns: the source {describe_object(schema.columns)}; got one list per column")
    asked = [kind for kind, fields in KINDS.items() if any(name in mapped.paths for name in fields)]
    if len(asked) > 1:
        fields = names.listing(name for kind in asked for name in KINDS[kind] if name in mapped.paths)
        raise FathomError(f"columns: --map has {fields}, which belong to different layouts; expected one of them")
    if asked:
        return _asked(asked[0], schema, mapped)
    # From the clearest names to the least clear ones: a list called `outputs` counts only if nothing is `responses`.
    for choices in (_certain(schema), list(_lists(schema)), list(_singles(schema))):
        if len(choices) == 1:
            return choices[0]
        if choices:
            ways = " or ".join(_way(choice, schema) for choice in choices)
            raise FathomError(f"columns: more than one layout fits {', '.join(schema.columns)}; choose with {ways}")
    raise FathomError(
        f"columns: no layout fits {', '.join(schema.columns) or 'rows without columns'}; {_advice(schema)}"
    )


def _way(choice: Responses, schema: Schema) -> str:
    """The mapping that selects this layout, with the row in which its columns first appear, if not the first."""
    columns = [path.column for paths in choice.paths.values() for path in paths]
    line = max(schema.first[column] for column in columns)
    since = f" (first in row {line})" if line > min(schema.first.values()) else ""
    return " ".join(map_option(name, *paths) for name, paths in choice.paths.items()) + since


def _asked(kind: LayoutKind, schema: Schema, mapped: Mapped) -> Responses:
    paths = {name: mapped.paths[name] for name in KINDS[kind] if name in mapped.paths}
    for name in KINDS[kind]:
        if name not in paths:
            if name not in schema.columns:
                given = next(iter(paths))
                raise FathomError(
                    f"columns: {map_option(given, paths[given][0])} needs --map {name}=COLUMN as well; give both"
                )
            paths[name] = (Path(name),)
    columns = [path.column for name in KINDS[kind] for path in paths[name]]
    sides = [_side(column) for column in columns]
    marks = tuple(side[1] for side in sides if side) if all(sides) else ()
    single = kind == "responses" and len(columns) == 1 and not _is_list(paths["responses"][0], schema)
    single = single or (kind == "responses" and names.plain(columns[0]) in names.SINGLE and len(columns) == 1)
    return Responses(kind, paths, marks if len({side[0] for side in sides if side}) == 1 else (), single)


def _certain(schema: Schema) -> list[Responses]:
    """Layouts whose column names are unambiguous."""
    found = []
    for column in names.named(schema, ("responses",)):
        path = names.text_inside(schema, column, TEXT_KEYS)
        found.append(Responses("responses", {"responses": (path,)}))
    for group in _groups(schema):
        paths = [names.text_inside(schema, column, TEXT_KEYS) for column in group.values()]
        marks = tuple(group)
        if len(paths) == 2:
            found.append(Responses("pair", {"response_a": (paths[0],), "response_b": (paths[1],)}, marks))
        else:
            found.append(Responses("responses", {"responses": tuple(paths)}, marks))
    return found + list(_chosen(schema))


def _is_list(path: Path, schema: Schema) -> bool:
    shape = shape_at(path, schema)
    return path.each or shape is None or "list" in shape.kinds or shape.lists_in_text or not shape.kinds


# Numbered columns -----------------------------------------------------------------------------------------------------


def _side(column: str) -> tuple[str, str] | None:
    """Split the name of a numbered column into what the columns of its group share, and its mark."""
    for number, pattern in enumerate(_SIDES):
        if match := pattern.fullmatch(names.plain(column)):
            letters = match["mark"].isalpha()
            return f"{number}{letters}{match['start'] or ''}{match['noun']}{match['end'] or ''}", match["mark"]
    return None


def _groups(schema: Schema) -> Iterator[dict[str, str]]:
    """Groups of columns such as response_A and response_B, or answer_1 to answer_4: column by mark, in order."""
    sides: dict[str, dict[str, str]] = {}
    for column in schema.columns:
        if (side := _side(column)) is not None:
            if side[1] in sides.setdefault(side[0], {}):
                raise FathomError(
                    f"columns: {sides[side[0]][side[1]]} and {column} are spellings of one name; rename one of them"
                )
            sides[side[0]][side[1]] = column
    for group in sides.values():
        if run := _run(group):
            yield {mark: group[mark] for mark in run}


def _run(marks: Mapping[str, str]) -> list[str]:
    """The marks in order, if they are consecutive letters from a, or consecutive numbers from 0 or 1."""
    for runs in (
        [chr(ord("a") + place) for place in range(8)],
        list(map(str, range(100))),
        list(map(str, range(1, 100))),
    ):
        run = runs[: len(marks)]
        if len(run) > 1 and set(run) == set(marks):
            return run
    return []


# Chosen and rejected --------------------------------------------------------------------------------------------------


def _chosen(schema: Schema) -> Iterator[Responses]:
    """Columns of the better and the worse response: `chosen` and `rejected`, otherwise all similar pairs of names."""
    bare = names.named(schema, ("chosen", "rejected"))
    if len(bare) == 2 and names.plain(bare[0]) != names.plain(bare[1]):
        pairs = [(bare[0], bare[1])]
    else:
        pairs = [*_called(schema, names.CHOSEN), *_beside_messages(schema)]
    for chosen, rejected in pairs:
        paths = [names.text_inside(schema, column, TEXT_KEYS) for column in (chosen, rejected)]
        yield Responses("chosen", {"chosen": (paths[0],), "rejected": (paths[1],)})


def _called(schema: Schema, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Column pairs named by one of these word pairs, alone or combined with a word for a response."""
    there: dict[str, str] = {}
    for column in schema.columns:
        there.setdefault(names.plain(column), column)
    for (better, worse), form in product(pairs, ("{0}", *_forms())):
        chosen, rejected = there.get(form.format(better)), there.get(form.format(worse))
        if (
            chosen is not None
            and rejected is not None
            and all(_may_respond(schema.columns[c]) for c in (chosen, rejected))
        ):
            yield chosen, rejected


def _forms() -> Iterator[str]:
    for word in names.RESPONSE_WORDS:
        yield from (f"{{0}}_{word}", f"{word}_{{0}}")


def _may_respond(shape: Shape) -> bool:
    return not shape.kinds or bool(shape.kinds & {"text", "list", "object"})


def _beside_messages(schema: Schema) -> Iterator[tuple[str, str]]:
    """`messages`, which end with the better response, and `rejected_response` or `rejected_messages` (ms-swift)."""
    whole = [
        column for column in names.named(schema, names.CONVERSATIONS) if names.holds_messages(schema.columns[column])
    ]
    forms = [f"rejected_{word}" for word in names.RESPONSE_WORDS]
    known = {rejected for _, rejected in _called(schema, names.CHOSEN)}
    for rejected in names.named(schema, ("rejected", *forms)):
        if whole and rejected not in known:
            yield whole[0], rejected


# Lists and single responses -------------------------------------------------------------------------------------------


def _lists(schema: Schema) -> Iterator[Responses]:
    """Lists of texts, or of objects that hold the text under one of `TEXT_KEYS`."""
    for column in names.filled(schema, names.LISTS):
        inside = names.items(schema.columns[column])
        if inside is None or not inside.kinds & {"text", "list", "object"}:
            continue
        properties = {word for key in inside.keys for word in names.words(key)}  # of each element: its model, a score
        if properties & (names.LABEL_WORDS | {"model"}) or names.plain(column) not in names.OF_OBJECTS:
            yield Responses("responses", {"responses": (names.text_inside(schema, column, TEXT_KEYS),)})


def _singles(schema: Schema) -> Iterator[Responses]:
    """One response per row: in its own column, or as the last turn of a conversation."""
    found = [column for column in names.filled(schema, names.SINGLE) if schema.columns[column].kinds - {"flag"}]
    for column in found:
        yield Responses("responses", {"responses": (names.text_inside(schema, column, TEXT_KEYS),)}, single=True)
    if not found:
        whole = names.filled(schema, names.CONVERSATIONS)
        for column in [column for column in whole if names.holds_messages(schema.columns[column])][:1]:
            yield Responses("conversation", {"conversation": (Path(column),)}, single=True)


# Advice ---------------------------------------------------------------------------------------------------------------


def _advice(schema: Schema) -> str:
    """The end of the error message if no layout fits: mappings for columns that look like responses."""
    if what := _described(schema):
        return what
    better = next(_differing(schema, _UNSURE), None)
    if better:
        return (
            f"if {better[0]} is the better response, use {map_option('chosen', better[0])} "
            f"{map_option('rejected', better[1])}"
        )
    ordered = next(_differing(schema, _ORDERED), None) or next(_alike(schema), None)
    if ordered:
        first, second = map_option("response_a", ordered[0]), map_option("response_b", ordered[1])
        return f"if these are two responses, use {first} {second}"
    alone = names.filled(schema, ("answer", "solution", "answers", "solutions", "text"))
    if alone:
        return f"if {alone[0]} contains the response to judge, use {map_option('responses', alone[0])}"
    return (
        "name the columns of the responses: --map chosen=COLUMN --map rejected=COLUMN for a better and a worse one, "
        "--map response_a=COLUMN --map response_b=COLUMN for two with a label, --map responses=COLUMN for a list or "
        "for one response per row"
    )


def _differing(schema: Schema, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Pairs of columns that may hold texts and whose names differ only by one of these word pairs."""
    there = {tuple(names.plain(column).split("_")): column for column in schema.columns}
    for (better, worse), (words, column) in product(pairs, there.items()):
        other = there.get(tuple(worse if word == better else word for word in words))
        if better in words and other and all(_may_respond(schema.columns[c]) for c in (column, other)):
            yield column, other


def _alike(schema: Schema) -> Iterator[tuple[str, str]]:
    """Pairs of text columns whose names differ only in a short last word."""
    ends: dict[str, list[str]] = {}
    for column, shape in schema.columns.items():
        start, _, end = names.plain(column).rpartition("_")
        if start and len(end) <= 2 and _may_respond(shape) and not names.words(column) & _NO_RESPONSES:
            ends.setdefault(start, []).append(column)
    for columns in ends.values():
        if len(columns) == 2:
            yield columns[0], columns[1]


def _is_by_column(schema: Schema) -> bool:
    """Whether the only row is a column-oriented table: lists of equal lengths, or objects keyed by number (pandas)."""
    shapes = [shape for shape in schema.columns.values() if shape.kinds]
    if schema.rows != 1 or len(shapes) < 2:
        return False
    if all(shape.kinds == {"object"} for shape in shapes):
        return all(key.isdecimal() for shape in shapes for key in shape.keys)
    lists = all(shape.items is not None and shape.items.kinds <= {"text", "number", "flag"} for shape in shapes)
    return lists and len({tuple(shape.lengths) for shape in shapes}) == 1


def _described(schema: Schema) -> str | None:
    """A description of a source whose only row is a container of rows; None for other sources."""
    shapes = schema.columns.values()
    if schema.rows == 1 and shapes and all(shape.kinds <= {"list", "object"} for shape in shapes):
        return f"the source {describe_object(schema.columns)}"
    return None
