"""Reading comparisons from sources of any known layout, and writing rows.

    for comparison in read("pairs.csv", mapping={"prompt": "task"}):
        ...

`fathom.data.sources` lists the readable formats, `fathom.data.layouts` the recognised columns. The layout is inferred
from all rows, in a first pass. Standard input and iterators can be read only once: there it is inferred from the first
`WINDOW` rows, and a later row that would have changed the layout is an error.

Ids determine the order in which responses are shown. A row without an id gets a hash of its content, so sorting or
truncating a file does not change any order.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from pydantic import BaseModel, ValidationError

from fathom.data.atomic import atomic_write
from fathom.data.compact import CompactIndex
from fathom.data.conversations import BadRowError, explain, truncated_repr
from fathom.data.layouts import FIELDS, LAYOUTS, Layout, Schema, SourceRow, StepwiseLayout, detect, is_empty
from fathom.data.records import Comparison, Record
from fathom.data.sources import DataSource, NumberedRow, Source, open_data_source
from fathom.errors import FathomError
from fathom.settings import Neutral

LOG = logging.getLogger(__name__)

OnError = Literal["stop", "skip"]
Check = Callable[[Comparison], None]
"""Raises FathomError if a comparison cannot be used."""
OwnLayout = Callable[[SourceRow], Any]
"""Converts a row to one comparison or several, as `Comparison` or as mappings of its fields; None skips the row."""
Columns = Mapping[str, str | Sequence[str]]
AnyLayout = Layout | StepwiseLayout
Inferred = tuple[Schema, Columns, Neutral | None]
"""What a layout was inferred from."""

WINDOW = 10_000
"""Rows from which the layout of a source is inferred that can be read only once."""
MAX_NAMED = 12
"""Number of unused columns that a warning lists."""
RESULTS = ({"status", "winner", "agreement", "votes", "tokens"}, {"winner", "missing", "pairs", "tokens"})
"""Columns by which the output of `fathom judge` and `fathom rank` is recognised."""


class Skipped(Record):
    """A skipped row: its place, the field, the reason, and the row itself."""

    file: str
    line: int
    field: str
    message: str
    row: Any = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.message}"


class Comparisons(Iterator[Comparison]):
    """Iterator over the comparisons of a source."""

    def __init__(
        self,
        comparisons: Iterator[Comparison],
        skipped: list[Skipped],
        unused: tuple[str, ...] = (),
        files: tuple[Path, ...] = (),
    ) -> None:
        self._comparisons = comparisons
        self.skipped = skipped
        """Rows skipped so far."""
        self.unused = unused
        """Columns that no field of a comparison uses. They are kept in `metadata`."""
        self.files = files
        """Files that are read; empty for sources that are not files."""

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
    neutral: Neutral | None = None,
    used: Collection[str] = (),
) -> Comparisons:
    """Iterate over at most `limit` comparisons of a source.

    `mapping` assigns columns to fields (`fathom.data.layouts.FIELDS`) where the column names are not recognised;
    `layout` is a function that converts a row instead. `seed` draws the order of responses that the source calls chosen
    and rejected. With `on_error="skip"`, bad rows are collected in `skipped`; otherwise the first one stops reading. A
    row is also bad if `check` refuses one of its comparisons. `neutral` says what a neutral rating of a step means, for
    layouts that have such ratings. Unused columns are logged as a warning, but not those in `used`, which the caller
    reads from `metadata`.

    Raises FathomError. Immediately: the source cannot be opened, its layout is not recognised, the mapping does not fit
    it, or it holds results instead of comparisons. While reading: a bad row (`FILE:LINE: FIELD: what was wrong, what
    was expected`), a damaged file, or a source without any readable row.
    """
    mapping = dict(mapping or {})
    opened = open_data_source(source)
    skipped: list[Skipped] = []
    own = layout or _named_layout(mapping)
    if own is not None:
        if neutral is not None:
            raise FathomError(f"--neutral {neutral} has no effect on your own layout; leave it out")
        found = _comparisons(opened.name, opened.rows(), _own_reader(own), on_error, check, skipped)
        return Comparisons(islice(found, limit), skipped, (), opened.files)
    schema, rows = _scanned(opened, limit)
    detected, left = _detected(opened.name, schema, mapping, neutral)
    unused = tuple(name for name in left if name not in used)
    if unused:
        more = f" and {len(unused) - MAX_NAMED} more" if len(unused) > MAX_NAMED else ""
        LOG.warning("columns not used: %s%s", ", ".join(name or "(no name)" for name in unused[:MAX_NAMED]), more)
    reader = _LayoutReader(detected, seed, None if opened.repeatable else (schema, mapping, neutral))
    found = _comparisons(opened.name, rows, reader, on_error, check, skipped)
    return Comparisons(islice(found, limit), skipped, unused, opened.files)


def parse_mapping(arguments: Sequence[str]) -> dict[str, str | Sequence[str]]:
    """Parse the arguments of --map, such as `["prompt=question", "label.a=0"]`.

    A field that is given several times gets a list of values. Raises FathomError.
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
    """Write one JSON object per line, atomically; gzipped if the name ends in .gz. Equal rows give equal bytes.

    `list(read(path))` returns equal comparisons, provided that their metadata has only JSON types.
    """
    with atomic_write(path) as file:
        if path.suffix != ".gz":
            _write_lines(file, rows)
            return
        # Name and time would otherwise enter the gzip header and make the bytes depend on them.
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


def _scanned(source: DataSource, limit: int | None) -> tuple[Schema, Iterator[NumberedRow]]:
    """The schema of all rows (or of the window) and an iterator over all rows. Raises FathomError if empty."""
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
        raise FathomError(f"{source.name}: contains no rows; expected at least one")
    if not schema.rows:
        line, row = first
        try:
            _sound(row)
        except BadRowError as bad:
            raise FathomError(f"{source.name}:{line}: {bad.field}: {bad}") from None
    return schema, source.rows() if source.repeatable else chain(window, rows)


def _detected(
    name: str, schema: Schema, mapping: Columns, neutral: Neutral | None
) -> tuple[AnyLayout, tuple[str, ...]]:
    _refuse_results(name, schema)
    try:
        return detect(schema, mapping, neutral)
    except FathomError as error:
        raise FathomError(f"{name}: {error}") from None


def _refuse_results(name: str, schema: Schema) -> None:
    """Raise FathomError for result files: another judge's scores in them would be read as labels."""
    if not any(columns <= schema.columns.keys() for columns in RESULTS):
        return
    file = "FILE" if name in {"-", "rows"} else name
    raise FathomError(
        f"{name}: contains results, as fathom judge, rank and probe write them; expected comparisons. To judge the "
        f"same comparisons again, give the file that `fathom runs {file}` shows under config. To see the metrics of "
        f"these results, use `fathom score {file}`"
    )


def _named_layout(mapping: Columns) -> OwnLayout | None:
    name = mapping.get("layout")
    if not name:
        return None
    others = [field for field in mapping if field != "layout"]
    if others:
        raise FathomError(
            f"--map layout={name} converts whole rows and cannot be combined with --map {others[0]}=...; leave one out"
        )
    function: OwnLayout = LAYOUTS.find(str(name))
    return function


# Rows to comparisons -------------------------------------------------------------------------------------------------

Reader = Callable[[int, SourceRow], Sequence[Comparison]]
"""Converts a row, given its line number, to comparisons. Raises BadRowError."""


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
        first = f"; the first error: {skipped[0]}" if skipped else ""
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


def _sound(row: Any) -> SourceRow:
    if isinstance(row, BadRowError):
        raise row
    if not isinstance(row, Mapping):
        raise BadRowError("row", f"got {truncated_repr(row)}, expected an object with columns")
    return row


class _LayoutReader:
    """Reads rows by a layout and makes sure that ids are unique.

    A duplicate id would give two comparisons the same order and merge their results. `found_by` is what the layout was
    inferred from. It is set only for sources that can be read once, where later rows may have columns that the
    inference has not seen.
    """

    def __init__(self, layout: AnyLayout, seed: int, found_by: Inferred | None) -> None:
        self.layout = layout
        self.seed = seed
        self.found_by = found_by
        self.lines = CompactIndex()
        self.copies = CompactIndex()
        """How many rows had the same content, by its hash."""

    def __call__(self, line: int, row: SourceRow) -> Sequence[Comparison]:
        if self.found_by is not None:
            self._refuse_other_layout(row, *self.found_by)
        id = self._id(row)
        comparisons = self.layout.read(row, id, self.seed)
        self.lines[id] = line
        return comparisons

    def _id(self, row: SourceRow) -> str:
        """The id of the row, or a hash of its content. A second row with the same content gets the suffix `#2`."""
        id = self.layout.id(row)
        if id is None:
            digest = self.layout.digest(row)
            copies = (self.copies.get(digest) or 0) + 1
            self.copies[digest] = copies
            id = digest if copies == 1 else f"{digest}#{copies}"
        if (first := self.lines.get(id)) is not None:
            expected = "unique ids (--map id= makes ids from the content)"
            raise BadRowError(
                self.layout.name("id"), f"got {id!r} again, first seen on line {first}; expected {expected}"
            )
        return id

    def _refuse_other_layout(self, row: SourceRow, schema: Schema, mapping: Columns, neutral: Neutral | None) -> None:
        """Raise BadRowError if columns that first appear here would have changed how earlier rows were read."""
        late = [name for name in row if not schema.filled(name) and not is_empty(row[name])]
        if not late:
            return
        new = ", ".join(map(str, late))
        schema.add(row)
        try:
            changed = detect(schema, mapping, neutral)[0] != self.layout
        except FathomError as error:
            raise BadRowError(new, f"first appears after {WINDOW:,} rows that lack it: {error}") from None
        if changed:
            raise BadRowError(
                new, f"first appears after {WINDOW:,} rows that were read without it; give a file instead of a stream"
            )


def _own_reader(function: OwnLayout) -> Reader:
    """A reader that calls the user's function. Any exception from it becomes a BadRowError."""
    lines = CompactIndex()

    def read(line: int, row: SourceRow) -> Sequence[Comparison]:
        try:
            made = function(row)
            several = [made] if isinstance(made, Comparison | Mapping | None) else list(made)
            comparisons = [_as_comparison(one) for one in several if one is not None]
        except BadRowError:
            raise
        except Exception as error:
            raise BadRowError("layout", f"{type(error).__name__}: {error}") from error
        for comparison in comparisons:
            if (first := lines.get(comparison.id)) is not None:
                raise BadRowError("id", f"got {comparison.id!r} again, first seen on line {first}; expected unique ids")
            lines[comparison.id] = line
        return comparisons

    return read


def _as_comparison(made: Any) -> Comparison:
    try:
        return made if isinstance(made, Comparison) else Comparison.model_validate(made)
    except ValidationError as error:
        raise explain(error, {}) from None
