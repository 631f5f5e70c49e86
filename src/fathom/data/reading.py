"""Reading comparisons from sources of any known layout, and writing rows.

    for comparison in read("pairs.csv", mapping={"prompt": "task"}):
        ...

`fathom.data.sources` says which formats can be read, `fathom.data.layouts` which columns are understood. The layout is
that of all rows: they are scanned before the first is read. Standard input and iterators can be read only once. There
the first `WINDOW` rows are scanned, and a later row that would have changed the layout is an error.

Ids matter: they fix in which order responses are shown. A row without one gets an id made of its content, so that
sorting or cutting a file changes no order.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from pydantic import BaseModel, ValidationError

from fathom.data.atomic import atomic_write
from fathom.data.conversations import BadRowError, explain, shortened
from fathom.data.layouts import FIELDS, LAYOUTS, Layout, Row, Schema, detect, is_empty
from fathom.data.records import Comparison, Record
from fathom.data.sources import NumberedRow, OpenSource, Source, open_source
from fathom.errors import FathomError

LOG = logging.getLogger(__name__)

OnError = Literal["stop", "skip"]
Check = Callable[[Comparison], None]
"""Raises FathomError that says why a comparison cannot be used."""
OwnLayout = Callable[[Row], Any]
"""Makes a comparison of a row, or several, or what `Comparison` can be made of; None leaves the row out."""
Columns = Mapping[str, str | Sequence[str]]

WINDOW = 10_000
"""Rows by which the layout of a source is found that can be read but once."""
MAX_NAMED = 12
"""Unused columns that are named."""
RESULTS = ({"status", "winner", "agreement", "votes", "tokens"}, {"winner", "missing", "pairs", "tokens"})
"""Columns of what `fathom judge` and `fathom rank` write."""


class Skipped(Record):
    """A row that was left out: where, which field, why, and the row itself."""

    file: str
    line: int
    field: str
    message: str
    row: Any = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.message}"


class Comparisons(Iterator[Comparison]):
    """Comparisons as they are read."""

    def __init__(
        self,
        comparisons: Iterator[Comparison],
        skipped: list[Skipped],
        unused: tuple[str, ...] = (),
        files: tuple[Path, ...] = (),
    ) -> None:
        self._comparisons = comparisons
        self.skipped = skipped
        """The rows left out so far."""
        self.unused = unused
        """The columns that no field of a comparison needs; they are kept in `metadata`."""
        self.files = files
        """The files that are read, none where the rows come from elsewhere."""

    def __next__(self) -> Comparison:
        return next(self._comparisons)


def read(
    source: Source,
    *,
    mapping: Columns | None = None,
    layout: OwnLayout | None = None,
    seed: int = 0,
    on_error: OnError = "stop",
    limit: int | None = None,
    check: Check | None = None,
) -> Comparisons:
    """The comparisons of a source, one after the other, at most `limit`.

    `mapping` names columns where their own names do not say what they are (`fathom.data.layouts.FIELDS`); `layout` is a
    function that makes comparisons of a row instead. `seed` draws the order of responses that come as chosen and
    rejected. A bad row stops the reading, or is skipped and kept in `skipped`; a row is bad, too, where `check` refuses
    one of its comparisons. Columns that are not used are named in a warning of the log.

    Raises FathomError: at once for a source that cannot be opened or whose layout is not understood, for a mapping that
    fits none of it, and for results instead of comparisons; while reading for a bad row (`FILE:LINE: FIELD: what was
    wrong, what was expected`), a damaged file, and a source without one readable row.
    """
    mapping = dict(mapping or {})
    opened = open_source(source)
    skipped: list[Skipped] = []
    own = layout or _named_layout(mapping)
    if own is not None:
        found = _comparisons(opened.name, opened.rows(), _own_reader(own), on_error, check, skipped)
        return Comparisons(islice(found, limit), skipped, (), opened.files)
    schema, rows = _scanned(opened, limit)
    detected, unused = _detected(opened.name, schema, mapping)
    if unused:
        more = f" and {len(unused) - MAX_NAMED} more" if len(unused) > MAX_NAMED else ""
        LOG.warning("columns not used: %s%s", ", ".join(name or "(no name)" for name in unused[:MAX_NAMED]), more)
    reader = _LayoutReader(detected, seed, None if opened.repeatable else (schema, mapping))
    found = _comparisons(opened.name, rows, reader, on_error, check, skipped)
    return Comparisons(islice(found, limit), skipped, unused, opened.files)


def parse_mapping(arguments: Sequence[str]) -> dict[str, str | Sequence[str]]:
    """`["prompt=question", "label.a=0"]`, as given to --map, as a mapping; a field given twice has both values.

    Raises FathomError.
    """
    mapping: dict[str, str | Sequence[str]] = {}
    for argument in arguments:
        name, equals, column = argument.partition("=")
        if not equals or name not in FIELDS:
            raise FathomError(f"--map {argument}: expected FIELD=COLUMN, with a field of {', '.join(FIELDS)}")
        earlier = mapping.get(name)
        mapping[name] = column if earlier is None else [*([earlier] if isinstance(earlier, str) else earlier), column]
    return mapping


def write_jsonl(path: Path, rows: Iterable[BaseModel | Mapping[str, Any]]) -> None:
    """One JSON object a line, gzipped when the name ends in .gz; equal rows make equal bytes.

    The file appears when it is complete. `list(read(path))` gives comparisons back as they were, if their metadata is
    of JSON's types.
    """
    with atomic_write(path) as file:
        if path.suffix != ".gz":
            _write_lines(file, rows)
            return
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as zipped:
            _write_lines(cast(BinaryIO, zipped), rows)


def _write_lines(file: BinaryIO, rows: Iterable[BaseModel | Mapping[str, Any]]) -> None:
    for row in rows:
        if isinstance(row, BaseModel):
            file.write(row.model_dump_json(exclude_none=True).encode())
        else:
            file.write(json.dumps(row, ensure_ascii=False).encode())
        file.write(b"\n")


# The layout of all rows -----------------------------------------------------------------------------------------------


def _scanned(source: OpenSource, limit: int | None) -> tuple[Schema, Iterator[NumberedRow]]:
    """The schema of all rows, or of those within the window, and all rows. Raises FathomError where there are none."""
    rows = source.rows()
    window: list[NumberedRow] = []
    if not source.repeatable:
        window = list(islice(rows, min(limit or WINDOW, WINDOW)))
    schema = Schema()
    first: NumberedRow | None = None
    for line, row in window or rows:
        first = first or (line, row)
        if isinstance(row, Mapping):
            schema.add(row, line)
    if first is None:
        raise FathomError(f"{source.name}: holds no rows")
    if not schema.rows:
        line, row = first
        try:
            _sound(row)
        except BadRowError as bad:
            raise FathomError(f"{source.name}:{line}: {bad.field}: {bad}") from None
    return schema, source.rows() if source.repeatable else chain(window, rows)


def _detected(name: str, schema: Schema, mapping: Columns) -> tuple[Layout, tuple[str, ...]]:
    _refuse_results(name, schema)
    try:
        return detect(schema, mapping)
    except FathomError as error:
        raise FathomError(f"{name}: {error}") from None


def _refuse_results(name: str, schema: Schema) -> None:
    """The scores of another judge in them would be taken for labels."""
    if not any(columns <= schema.columns.keys() for columns in RESULTS):
        return
    file = "FILE" if name in {"-", "rows"} else name
    raise FathomError(
        f"{name}: holds results, as fathom judge, rank and probe write them; expected the comparisons that were "
        f"judged: give the file that `fathom runs {file}` names under config; `fathom score {file}` tells the figures "
        "of the results"
    )


def _named_layout(mapping: Columns) -> OwnLayout | None:
    name = mapping.get("layout")
    if not name:
        return None
    others = [field for field in mapping if field != "layout"]
    if others:
        raise FathomError(f"--map layout={name} makes whole comparisons, and has no place for --map {others[0]}=...")
    function: OwnLayout = LAYOUTS.find(str(name))
    return function


# Rows to comparisons -------------------------------------------------------------------------------------------------

Reader = Callable[[int, Row], Sequence[Comparison]]
"""Makes the comparisons of the row on a line. Raises BadRowError."""


def _comparisons(
    name: str,
    rows: Iterator[NumberedRow],
    reader: Reader,
    on_error: OnError,
    check: Check | None,
    skipped: list[Skipped],
) -> Iterator[Comparison]:
    none_read = True
    for line, row in rows:
        try:
            found = _checked(reader(line, _sound(row)), check)
        except BadRowError as bad:
            skip = Skipped(file=name, line=line, field=bad.field, message=str(bad), row=bad.text or row)
            if on_error == "stop":
                raise FathomError(str(skip)) from bad
            skipped.append(skip)
            continue
        none_read = False
        yield from found
    if none_read:
        first = f"; the first: {skipped[0]}" if skipped else ""
        raise FathomError(f"{name}: none of its {len(skipped)} rows could be read{first}")


def _checked(comparisons: Sequence[Comparison], check: Check | None) -> Sequence[Comparison]:
    if check is None:
        return comparisons
    try:
        for comparison in comparisons:
            check(comparison)
    except FathomError as error:
        raise BadRowError("responses", str(error)) from None
    return comparisons


def _sound(row: Any) -> Row:
    if isinstance(row, BadRowError):
        raise row
    if not isinstance(row, Mapping):
        raise BadRowError("row", f"got {shortened(row)}, expected an object with columns")
    return row


class _LayoutReader:
    """Reads rows by a layout, and gives each an id that no other has.

    An id that comes again would fix one order for two comparisons, and join their results. `found_by` is the schema and
    the mapping that the layout was found by, for sources that can be read but once: rows may come that it has not seen.
    """

    def __init__(self, layout: Layout, seed: int, found_by: tuple[Schema, Columns] | None) -> None:
        self.layout = layout
        self.seed = seed
        self.found_by = found_by
        self.lines: dict[str, int] = {}
        self.copies: Counter[str] = Counter()

    def __call__(self, line: int, row: Row) -> Sequence[Comparison]:
        if self.found_by is not None:
            self._refuse_other_layout(row, *self.found_by)
        id = self._id(row)
        comparisons = self.layout.read(row, id, self.seed)
        self.lines[id] = line
        return comparisons

    def _id(self, row: Row) -> str:
        """The row's own id, or one of its content; a second row with the same content is `...#2`."""
        id = self.layout.id(row)
        if id is None:
            digest = self.layout.digest(row)
            self.copies[digest] += 1
            id = digest if self.copies[digest] == 1 else f"{digest}#{self.copies[digest]}"
        if id in self.lines:
            expected = "each id once (--map id= makes ids of the content)"
            raise BadRowError(
                self.layout.name("id"), f"got {id!r} again, first on line {self.lines[id]}; expected {expected}"
            )
        return id

    def _refuse_other_layout(self, row: Row, schema: Schema, mapping: Columns) -> None:
        """Raises BadRowError where columns that come late would have changed how the rows before were read."""
        late = [name for name in row if not schema.filled(name) and not is_empty(row[name])]
        if not late:
            return
        new = ", ".join(map(str, late))
        schema.add(row)
        try:
            changed = detect(schema, mapping)[0] != self.layout
        except FathomError as error:
            raise BadRowError(new, f"comes after the first {WINDOW:,} rows, which do not have it: {error}") from None
        if changed:
            raise BadRowError(
                new, f"comes after the first {WINDOW:,} rows, which were read without it; give a file instead"
            )


def _own_reader(function: OwnLayout) -> Reader:
    """Reads rows by a function of the user's; what it raises is what is wrong with the row."""
    lines: dict[str, int] = {}

    def read(line: int, row: Row) -> Sequence[Comparison]:
        try:
            made = function(row)
            several = [made] if isinstance(made, Comparison | Mapping | None) else list(made)
            found = [_as_comparison(one) for one in several if one is not None]
        except BadRowError:
            raise
        except Exception as error:
            raise BadRowError("layout", f"{type(error).__name__}: {error}") from error
        for comparison in found:
            if comparison.id in lines:
                raise BadRowError(
                    "id", f"got {comparison.id!r} again, first on line {lines[comparison.id]}; expected each once"
                )
            lines[comparison.id] = line
        return found

    return read


def _as_comparison(made: Any) -> Comparison:
    try:
        return made if isinstance(made, Comparison) else Comparison.model_validate(made)
    except ValidationError as error:
        raise explain(error, {}) from None
