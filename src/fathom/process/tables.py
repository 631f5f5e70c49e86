"""Tables in prompts, and look-ups in them by a model. A look-up only names columns and conditions, and runs no code.

    >>> table = find_tables("| year | sales |\\n|---|---|\\n| 2019 | 1,200 |\\n| 2020 | 900 |")[0]
    >>> look_up(table, "sales where year = 2019")
    'sales\\n1,200'

Tables are written in Markdown, or as JSON: `{"columns": [...], "data": [[...], ...]}`, as in TableBench.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MAX_ROWS = 20
"""How many rows a look-up shows."""
_RULE = re.compile(r"\s*\|?(?:\s*:?-+:?\s*\|)+(?:\s*:?-+:?\s*)?\s*")
"""The line between the names and the rows of a Markdown table."""
_CONDITION = re.compile(r"\s*(.+?)\s*(<=|>=|!=|=|<|>|\bcontains\b)\s*(.*?)\s*", re.IGNORECASE)


class LookUpError(ValueError):
    """A look-up that names something which the table does not have."""


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """As many cells per row as there are columns."""

    def column(self, name: str) -> int:
        """The index of a column, by its name without regard to case. Raises LookUpError."""
        plain = name.strip().strip("`\"'").casefold()
        for place, column in enumerate(self.columns):
            if column.casefold() == plain:
                return place
        raise LookUpError(f"there is no column {name.strip()!r}; expected {', '.join(map(repr, self.columns))}")

    def written(self) -> str:
        """The table in Markdown."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def find_tables(text: str) -> list[Table]:
    """The tables in a text: those in Markdown, then those in JSON."""
    return [*_markdown(text.splitlines()), *_json(text)]


def _markdown(lines: Sequence[str]) -> list[Table]:
    found = []
    for place in range(1, len(lines)):
        if not _RULE.fullmatch(lines[place]) or "|" not in lines[place - 1]:
            continue
        columns = _cells(lines[place - 1])
        rows = []
        for line in lines[place + 1 :]:
            if "|" not in line:
                break
            rows.append(_fitted(_cells(line), len(columns)))
        found.append(Table(columns, tuple(rows)))
    return found


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|"))


def _fitted(cells: Sequence[str], count: int) -> tuple[str, ...]:
    return (*cells, *[""] * count)[:count]


def _json(text: str) -> list[Table]:
    decoder, found = json.JSONDecoder(), []
    for match in re.finditer(r"\{\s*\"columns\"", text):
        try:
            value, _ = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
            columns = tuple(map(str, value["columns"]))
            rows = [
                _fitted([str(cell) for cell in row], len(columns)) for row in value["data"] if isinstance(row, list)
            ]
            found.append(Table(columns, tuple(rows)))
    return found


# Look-ups -------------------------------------------------------------------------------------------------------------


def look_up(table: Table, query: str) -> str:
    """The cells of the rows that fulfil all conditions: `sales, region where year >= 2019 and region contains east`.

    `*` stands for all columns. Cells compare as numbers if both are, else as texts without regard to case. Raises
    LookUpError for an unknown column, a condition without an operator, and an order of texts that are no numbers.
    """
    wanted, _, conditions = re.sub(r"\s+", " ", query.strip()).partition(" where ")
    places = _columns(table, wanted)
    tests = [_test(table, condition) for condition in _split_conditions(conditions)]
    rows = [row for row in table.rows if all(test(row) for test in tests)]
    if not rows:
        return "no row"
    lines = [" | ".join(cells[place] for place in places) for cells in (table.columns, *rows[:MAX_ROWS])]
    return "\n".join([*lines, *([f"({len(rows) - MAX_ROWS} more rows)"] if len(rows) > MAX_ROWS else [])])


def _columns(table: Table, wanted: str) -> list[int]:
    if wanted.strip() in ("*", ""):
        return list(range(len(table.columns)))
    try:
        return [table.column(wanted)]  # a name may have a comma
    except LookUpError:
        return [table.column(name) for name in wanted.split(",")]


def _split_conditions(text: str) -> list[str]:
    """The conditions between `and`, where a part without an operator belongs to the one before it."""
    parts: list[str] = []
    for part in re.split(r"\band\b", text, flags=re.IGNORECASE) if text.strip() else []:
        if parts and not _CONDITION.fullmatch(part):
            parts[-1] += f"and{part}"
        else:
            parts.append(part)
    return parts


def _test(table: Table, condition: str) -> Callable[[Sequence[str]], bool]:
    match = _CONDITION.fullmatch(condition)
    if match is None:
        raise LookUpError(f"the condition {condition.strip()!r} has no operator; expected one of {', '.join(_SIGNS)}")
    place, sign, value = table.column(match[1]), match[2].lower(), match[3].strip("`\"'")
    return lambda row: _compared(row[place], sign, value)


def _compared(cell: str, sign: str, value: str) -> bool:
    if sign == "contains":
        return value.casefold() in cell.casefold()
    numbers = number(cell), number(value)
    if None not in numbers:
        return bool(_SIGNS[sign](*numbers))
    if sign not in ("=", "!="):
        raise LookUpError(f"{cell!r} {sign} {value!r} compares a text; expected numbers")
    return bool(_SIGNS[sign](cell.casefold(), value.casefold()))


def number(text: str) -> Fraction | None:
    """The number that a cell consists of, with thousands separators, a currency or a percent sign; None for a text."""
    plain = re.sub(r"[$€£%\s]|(?<=\d),(?=\d{3})", "", text).replace("\N{MINUS SIGN}", "-")
    return Fraction(plain) if re.fullmatch(r"[+-]?\d{1,100}(?:\.\d{1,100})?", plain, re.ASCII) else None


_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "contains": operator.contains,
}
