"""Reading comparisons from files of any known layout, and writing rows.

    for comparison in read("pairs.jsonl.gz", mapping={"prompt": "task"}):
        ...

Sources are JSON lines or a JSON array (.jsonl, .json, also gzipped, or "-" for standard input), Parquet, a folder
written by `datasets`' save_to_disk, a `datasets.Dataset` and any iterable of dicts. Files are read as they are asked
for, except a JSON array, which is read at once. `fathom.layouts` says which columns are understood.

Ids matter: they fix in which order responses are shown. A row without one gets an id made of its content, so that
sorting or cutting a file changes no order. Nothing is fetched from a hub.
"""

from __future__ import annotations

import codecs
import gzip
import json
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from pydantic import BaseModel

from fathom.atomic import replacing
from fathom.conversations import BadRow, shortened
from fathom.errors import FathomError, require
from fathom.layouts import FIELDS, Layout, Row, UnclearLabels, recognise
from fathom.records import Comparison, Record

OnError = Literal["stop", "skip"]
Source = str | Path | Iterable[Mapping[str, Any]]
Check = Callable[[Comparison], None]
"""Raises FathomError that says why a comparison cannot be used."""
Located = tuple[int, Any]
"""A line number (or, where there are no lines, a row number, both from 1) and the row, or the BadRow that is there."""

ENDINGS = (".jsonl", ".ndjson", ".json", ".parquet")
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
    """Comparisons as they are read. `skipped` holds the rows left out so far."""

    def __init__(self, comparisons: Iterator[Comparison], skipped: list[Skipped]) -> None:
        self._comparisons = comparisons
        self.skipped = skipped

    def __next__(self) -> Comparison:
        return next(self._comparisons)


def read(
    source: Source,
    *,
    mapping: Mapping[str, str] | None = None,
    seed: int = 0,
    on_error: OnError = "stop",
    limit: int | None = None,
    check: Check | None = None,
) -> Comparisons:
    """The comparisons of a source, one after the other, at most `limit`.

    `mapping` names columns where their own names do not say what they are (`fathom.layouts.FIELDS`). `seed` draws the
    order of responses that come as chosen and rejected. A bad row stops the reading, or is skipped and kept in
    `skipped`; a row is bad, too, where `check` refuses one of its comparisons. Raises FathomError: at once for a source
    that cannot be opened, and while reading for a bad row (`FILE:LINE: FIELD: what was wrong, what is allowed`), a
    damaged file, a source without one readable row, and one that holds results instead of comparisons.
    """
    mapping = dict(mapping or {})
    unknown = [field for field in mapping if field not in FIELDS]
    if unknown:
        raise FathomError(f"--map {unknown[0]}=...: there is no such field; there are {', '.join(FIELDS)}")
    _refuse_unreadable(source)
    skipped: list[Skipped] = []
    return Comparisons(islice(_comparisons(source, mapping, seed, on_error, check, skipped), limit), skipped)


def as_mapping(arguments: Sequence[str]) -> dict[str, str]:
    """`["prompt=question", "label.a=0"]`, as given to --map, as a mapping. Raises FathomError."""
    for argument in arguments:
        if "=" not in argument:
            raise FathomError(f"--map {argument}: allowed is FIELD=COLUMN, with a field of {', '.join(FIELDS)}")
    return dict(argument.split("=", 1) for argument in arguments)


def write_jsonl(path: Path, rows: Iterable[BaseModel | Mapping[str, Any]]) -> None:
    """One JSON object a line, gzipped when the name ends in .gz; equal rows make equal bytes.

    The file appears when it is complete. `list(read(path))` gives comparisons back as they were, if their metadata is
    of JSON's types.
    """
    with replacing(path) as file:
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


# Rows to comparisons -------------------------------------------------------------------------------------------------


def _comparisons(
    source: Source,
    mapping: Mapping[str, str],
    seed: int,
    on_error: OnError,
    check: Check | None,
    skipped: list[Skipped],
) -> Iterator[Comparison]:
    lines: dict[str, int] = {}
    copies: Counter[str] = Counter()
    layout, rows = _recognised(source, mapping, patient=on_error == "skip")
    for line, row in rows:
        try:
            id = _id(layout, _sound(row), lines, copies)
            found = _checked(layout.read(row, id, seed), check)
        except BadRow as bad:
            skip = Skipped(file=_name(source), line=line, field=bad.field, message=str(bad), row=bad.text or row)
            if on_error == "stop":
                raise FathomError(str(skip)) from bad
            skipped.append(skip)
            continue
        lines[id] = line
        yield from found
    if not lines:
        raise FathomError(f"{_name(source)}: none of its {len(skipped)} rows could be read; the first: {skipped[0]}")


def _checked(comparisons: Sequence[Comparison], check: Check | None) -> Sequence[Comparison]:
    if check is None:
        return comparisons
    try:
        for comparison in comparisons:
            check(comparison)
    except FathomError as error:
        raise BadRow("responses", str(error)) from None
    return comparisons


def _recognised(source: Source, mapping: Mapping[str, str], patient: bool) -> tuple[Layout, Iterator[Located]]:
    """The layout of the first row that has one (of the first row at all, unless `patient`), and all rows."""
    rows = located(source)
    seen: list[Located] = []
    failure = ": holds no rows"

    def values(column: str) -> Iterator[Any]:
        again = located(source)
        if _read_once(source):
            seen.extend(rows)
            again = iter(seen)
        return (row.get(column) for _, row in again if isinstance(row, Mapping))

    for line, row in rows:
        seen.append((line, row))
        _refuse_results(source, row)
        try:
            return recognise(_sound(row), mapping, values), chain(seen, rows)
        except BadRow as bad:
            failure = f":{line}: {bad.field}: {bad}" if len(seen) == 1 else failure
            if not patient:
                break
        except UnclearLabels as error:
            raise FathomError(f"{_name(source)}: {error}") from None
    raise FathomError(f"{_name(source)}{failure}")


def _refuse_results(source: Source, row: Any) -> None:
    """The scores of another judge in them would be taken for labels."""
    if not isinstance(row, Mapping) or not any(columns <= row.keys() for columns in RESULTS):
        return
    name = _name(source)
    file = "FILE" if name in {"-", "rows"} else name
    raise FathomError(
        f"{name}: holds results, as fathom judge, rank and probe write them; allowed are the comparisons that were "
        f"judged: give the file that `fathom runs {file}` names under config; `fathom score {file}` tells the figures "
        "of the results"
    )


def _sound(row: Any) -> Row:
    if isinstance(row, BadRow):
        raise row
    if not isinstance(row, Mapping):
        raise BadRow("row", f"got {shortened(row)}, allowed is an object with columns")
    return row


def _id(layout: Layout, row: Row, lines: Mapping[str, int], copies: Counter[str]) -> str:
    """The row's own id, or one of its content; a second row with the same content is `...#2`.

    Raises BadRow where an id comes again: it would fix one order for two comparisons, and join their results.
    """
    id = layout.id(row)
    if id is None:
        digest = layout.digest(row)
        copies[digest] += 1
        id = digest if copies[digest] == 1 else f"{digest}#{copies[digest]}"
    if id in lines:
        allowed = "each id once (--map id= makes ids of the content)"
        raise BadRow(layout.columns["id"], f"got {id!r} again, first on line {lines[id]}; allowed is {allowed}")
    return id


# Sources to rows -----------------------------------------------------------------------------------------------------


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "rows"


def _read_once(source: Source) -> bool:
    return _name(source) == "-" or isinstance(source, Iterator)


def _refuse_unreadable(source: Source) -> None:
    if isinstance(source, Mapping):
        raise FathomError(f"got a mapping with {', '.join(map(str, source))}; give one of its splits")
    if not isinstance(source, str | Path) or str(source) == "-":
        return
    path = Path(source)
    if not path.exists():
        raise FathomError(f"{path}: no such file; allowed are a path or - for standard input")
    if path.is_dir():
        _refuse_other_folder(path)
    elif not path.name.removesuffix(".gz").endswith(ENDINGS) or path.name.endswith(".parquet.gz"):
        raise FathomError(f"{path}: unknown ending; allowed are {', '.join(ENDINGS)}, .jsonl.gz, .json.gz")


def _refuse_other_folder(path: Path) -> None:
    if (path / "dataset_dict.json").exists():
        splits = json.loads((path / "dataset_dict.json").read_bytes())["splits"]
        raise FathomError(f"{path}: holds several splits; give one: {', '.join(str(path / split) for split in splits)}")
    if not (path / "state.json").exists():
        raise FathomError(f"{path}: a folder is read when datasets' save_to_disk wrote it; give a file in it instead")


def located(source: Source) -> Iterator[Located]:
    """The rows of a source as they are, each with its line. A line that is no JSON comes as the BadRow that says so."""
    if not isinstance(source, str | Path):
        return enumerate(source, 1)
    if str(source) == "-":
        return _json_rows(sys.stdin.buffer)
    path = Path(source)
    if path.is_dir():
        return enumerate(require("datasets", "train").load_from_disk(str(path)), 1)
    return _parquet_rows(path) if path.suffix == ".parquet" else _text_rows(path)


def _text_rows(path: Path) -> Iterator[Located]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from _json_rows(cast(BinaryIO, file))
    except (OSError, EOFError, zlib.error) as error:
        raise FathomError(f"{path}: cannot be read: {error}") from error


def _parquet_rows(path: Path) -> Iterator[Located]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=1024))
            yield from enumerate(chain.from_iterable(batches), 1)
    except (OSError, ArrowException) as error:
        raise FathomError(f"{path}: cannot be read as Parquet: {error}") from error


def _json_rows(file: BinaryIO) -> Iterator[Located]:
    """An object a line, or one array whose rows are counted from 1."""
    started = False
    for line, text in enumerate(file, 1):
        text = text.removeprefix(codecs.BOM_UTF8) if line == 1 else text
        if not text.strip():
            continue
        if not started and text.lstrip().startswith(b"["):
            array = _parsed(text + file.read(), line)
            yield from [(line, array)] if isinstance(array, BadRow) else enumerate(array, 1)
            return
        started = True
        yield line, _parsed(text.rstrip(b"\r\n"), line)


def _parsed(text: bytes, line: int) -> Any:
    """The value of the text that starts on `line`, or the BadRow that says why there is none."""
    try:
        value = json.loads(text)
        if b"\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair could never be written again
    except json.JSONDecodeError as error:
        where = f"line {error.lineno + line - 1}, column {error.colno}"
        message = f"{error.msg} at {where}; allowed is one object a line, or one array of objects"
    except UnicodeError as error:
        message = f"{error}; allowed is UTF-8 text"
    except RecursionError:
        message = "nests too deep; allowed are a few hundred levels"
    except ValueError as error:
        message = f"{error}; allowed are shorter numbers"
    else:
        return value
    return BadRow("JSON", message, text.decode(errors="replace"))
