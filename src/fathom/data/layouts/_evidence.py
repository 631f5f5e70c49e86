"""Columns that indicate labels: flags and scores per response, and columns that look like labels.

flag_columns(schema, responses)         # ["winner_model_a", "winner_model_b", "winner_tie"]
refuse_lookalikes(schema, responses)    # FathomError if a column may hold labels
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fathom.data import labels
from fathom.data.layouts import _names as names
from fathom.data.layouts._responses import Responses
from fathom.data.layouts._schema import MAX_LABEL, Schema, Shape
from fathom.errors import FathomError, map_option

_FLAG_NAMES = re.compile(
    rf"(?:winner|win|wins|won|prefer|preferred|pref|better|best|chosen|selected|is_winner)_(?:is_)?(?:(?:model|assistant|{labels.NOUNS})_?)?"
    r"(?P<mark>[a-h]|\d{1,2}|tie|tied|draw|equal|(?:tie_?)?both_?bad|neither)"
)
_FLAG_NAMES_AFTER = re.compile(
    rf"(?:is_)?(?:(?:model|assistant|{labels.NOUNS})_?)?(?P<mark>[a-h]|\d{{1,2}})_(?:is_)?"
    r"(?:wins?|won|winner|preferred|better|best|chosen|selected)"
)
_NOUN = rf"(?:(?:model|assistant|{labels.NOUNS})_?)"
_MARK = r"(?P<mark>[a-h]|\d{1,2})"
_STEM = r"(?P<stem>[a-z][a-z_]*?)"
_SCORE_NAMES = tuple(
    re.compile(pattern) for pattern in (rf"{_NOUN}?{_MARK}_{_STEM}", rf"{_STEM}_{_NOUN}{_MARK}", rf"{_STEM}_?{_MARK}")
)
"""Names such as score_1, model_a_score, score_response_a. The stem says what the number is."""
ANNOTATOR = re.compile(r"(?:annotator|rater|labell?er)_?\d+(?:_(?:label|preference))?")


def flag_columns(schema: Schema, responses: Responses) -> list[str]:
    """The columns of `Flags`: one per response, in order, then those of ties. Empty if a response has none."""
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


def score_columns(schema: Schema, responses: Responses) -> list[tuple[str, ...]]:
    """Groups of columns with a score for each numbered response, such as score_1 and score_2."""
    return [columns for stem, columns in _numbered(schema, responses).items() if stem in names.SCORES]


def _numbered(schema: Schema, responses: Responses) -> dict[str, tuple[str, ...]]:
    """Groups of columns with a number for each numbered response, by the stem of their names."""
    groups: dict[str, dict[str, str]] = {}
    for column, shape in schema.columns.items():
        match = next((match for pattern in _SCORE_NAMES if (match := pattern.fullmatch(names.plain(column)))), None)
        if match and (shape.numeric or shape.kinds == {"flag"}):
            groups.setdefault(match["stem"], {})[match["mark"]] = column
    marks = responses.marks or ("a", "b")
    return {stem: tuple(group[mark] for mark in marks) for stem, group in groups.items() if set(marks) == group.keys()}


def is_numbers(shape: Shape) -> bool:
    inside = names.items(shape)
    return inside is not None and bool(inside.kinds) and inside.kinds <= {"number", "flag"}


def refuse_lookalikes(schema: Schema, responses: Responses) -> None:
    """Raise FathomError for unread columns that look like labels. The message shows the mappings that read them."""
    found = [column for column, shape in schema.columns.items() if _looks_like_label(column, shape)]
    found += [f"{column}.{key}" for column, shape in schema.columns.items() for key in _inside(column, shape)]
    if not found:
        return
    numbered = {column: group for group in _numbered(schema, responses).values() for column in group}
    ways = list(dict.fromkeys(_way(place, schema, responses, numbered) for place in found))[:4]
    raise FathomError(
        f"columns: {names.listing(found)} may hold labels, but no label is read; read one with {' or '.join(ways)}, or "
        "judge without labels: --map label="
    )


def _looks_like_label(column: str, shape: Shape) -> bool:
    """Whether a column may hold labels: by its name, and because its values are short texts, numbers or flags."""
    if not names.words(column) & names.LABEL_WORDS or "answer" in names.words(column):
        return False
    inside = names.items(shape)
    return _is_short(shape) or _of_numbers(shape) or (inside is not None and _is_short(inside))


def _is_short(shape: Shape) -> bool:
    return bool(shape.kinds) and shape.kinds <= {"text", "number", "flag"} and shape.longest <= MAX_LABEL


def _of_numbers(shape: Shape) -> bool:
    return bool(shape.keys) and all(nested.kinds <= {"number", "flag"} for nested in shape.keys.values())


def _inside(column: str, shape: Shape) -> list[str]:
    """Keys of a column of objects that look like labels; none if the column itself does."""
    if _looks_like_label(column, shape) or column == "metadata":
        return []
    return [key for key, nested in shape.keys.items() if _looks_like_label(key, nested)]


def _way(place: str, schema: Schema, responses: Responses, numbered: Mapping[str, tuple[str, ...]]) -> str:
    shape = schema.columns.get(place, Shape())
    if place in numbered:
        return map_option("scores", *numbered[place])
    if _of_numbers(shape):
        return map_option("scores", *(f"{place}.{key}" for key in shape.keys))
    if names.words(place) & {"rank", "ranks"}:
        return map_option("ranks", place)
    if responses.single and shape.kinds == {"text"} and not shape.numeric:
        return f"{map_option('label', place)} --map label.a=VALUE --map label.b=VALUE"
    if responses.single or is_numbers(shape):
        return map_option("scores", place)
    return map_option("label", f"{place}[0]" if "list" in shape.kinds else place)
