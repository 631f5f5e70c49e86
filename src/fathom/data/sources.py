"""Sources of rows: files, standard input, tables in memory, data sets of the Hugging Face hub.

    source = open_data_source("pairs.csv")
    for line, row in source.rows():
        ...

| source | rows |
|---|---|
| `.jsonl`, `.ndjson`, `.json` | one object per line, or one array of objects |
| `.csv`, `.tsv` | UTF-8; an empty cell is a missing value |
| `.xlsx` | the only non-empty sheet |
| `.parquet`, a folder written by `datasets`' save_to_disk | as they are |
| `-` | JSON lines or an array from standard input |
| `hf:OWNER/NAME:SPLIT`, `hf:OWNER/NAME:CONFIG:SPLIT` | a data set of the Hugging Face hub, or a folder like one |
| data frames of pandas and polars, Arrow tables, `datasets.Dataset`, any iterable of mappings | as they are |

Text files may be gzipped (`.gz`), or the only file in a `.zip`. Rows are read lazily, except for a JSON array. Nothing
is fetched from the hub unless the source begins with `hf:`.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydantic_core import from_json

from fathom.data.conversations import BadRowError, truncated_repr
from fathom.errors import FathomError, require

Source = str | Path | Iterable[Mapping[str, Any]]
NumberedRow = tuple[int, Any]
"""The line number (without lines, the row number), from 1, and the row or the BadRowError raised by it."""

ENDINGS = (".jsonl", ".ndjson", ".json", ".parquet")
TABLES = (".csv", ".tsv", ".xlsx")
PACKED = (".gz", ".zip")
HUB = "hf:"


@dataclass(frozen=True)
class DataSource:
    """A source whose rows can be read."""

    name: str
    """Name in messages."""
    rows: Callable[[], Iterator[NumberedRow]]
    """The raw rows with their lines. An unreadable row is returned as a BadRowError, not raised.

    Raises FathomError, possibly while reading, for a damaged file.
    """
    repeatable: bool = True
    """Whether `rows` can be called again and returns all rows each time."""
    files: tuple[Path, ...] = ()
    """Local files that are read, for hashes and checks."""


def open_data_source(source: Any) -> DataSource:
    """Open a source by its name, or wrap an object that holds rows. Raises FathomError if it cannot be read."""
    if isinstance(source, str | Path):
        return _named(str(source))
    if isinstance(source, Mapping):
        raise FathomError(
            f"got a mapping with {', '.join(map(str, source))}; give one of its splits, or a list of rows"
        )
    rows = _frame(source)
    if rows is not None:
        return DataSource("rows", lambda: enumerate(rows(), 1))
    if not isinstance(source, Iterable):
        raise FathomError(f"got {truncated_repr(source)}, expected a file, a table or an iterable of rows")
    repeatable = not isinstance(source, Iterator) and hasattr(source, "__len__")
    return DataSource("rows", lambda: enumerate(source, 1), repeatable)


def local_files(names: Iterable[Path]) -> list[Path]:
    """The sources that are local files or folders, not data sets of the hub."""
    return [path for path in names if not str(path).startswith(HUB)]


def _named(name: str) -> DataSource:
    if name == "-":
        return DataSource(name, lambda: _json_rows(sys.stdin.buffer, name), repeatable=False)
    if name.startswith(HUB):
        return _hub(name)
    path = Path(name)
    if not path.exists():
        hint = f"; a data set on the hub is {HUB}{name}:SPLIT" if name.count("/") == 1 and not path.suffix else ""
        raise FathomError(
            f"{path}: no such file; expected a path, - for standard input, or {HUB}OWNER/NAME:SPLIT{hint}"
        )
    if path.is_dir():
        return _folder(path)
    ending = _ending(path)
    if ending == ".parquet":
        return DataSource(name, lambda: _parquet_rows(path), files=(path,))
    if ending == ".xlsx":
        require("openpyxl", "tables")
        return DataSource(name, lambda: _sheet_rows(path), files=(path,))
    return DataSource(name, lambda: _text_rows(path, ending), files=(path,))


def _ending(path: Path) -> str:
    """The file name extension that determines the format. Raises FathomError for an unknown one."""
    packed = path.suffix.lower() in PACKED
    name = _member(path) if path.suffix.lower() == ".zip" else path.stem if packed else path.name
    ending = Path(name).suffix.lower()
    readable = (*ENDINGS[:3], *TABLES[:2]) if packed else (*ENDINGS, *TABLES)
    if ending not in readable:
        inside = f" contains {name}:" if path.suffix.lower() == ".zip" else ""
        hint = "; save it as .xlsx" if ending == ".xls" else ""
        raise FathomError(
            f"{path}:{inside} unknown ending; expected one of {', '.join((*ENDINGS, *TABLES))}; text formats may be "
            f"compressed with {' or '.join(PACKED)}{hint}"
        )
    return ending


def _member(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise FathomError(f"{path}: cannot be read: {error}") from error
    members = [name for name in members if not name.startswith("__MACOSX/")]
    if len(members) != 1:
        contents = ", ".join(members[:5]) or "no files"
        raise FathomError(f"{path}: contains {contents}; expected an archive of one file")
    return members[0]


# Text ---------------------------------------------------------------------------------------------------------------


def _text_rows(path: Path, ending: str) -> Iterator[NumberedRow]:
    try:
        with _unpacked(path) as file:
            yield from _table_rows(file, path, ending) if ending in TABLES else _json_rows(file, str(path))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise FathomError(f"{path}: cannot be read: {error}") from error


@contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(_member(path)) as file:
            yield cast(BinaryIO, file)
        return
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as plain:
        yield cast(BinaryIO, plain)


def _json_rows(file: BinaryIO, name: str) -> Iterator[NumberedRow]:
    """One object per line, or one array whose rows are numbered from 1."""
    started = False
    lines = enumerate(file, 1)
    for line, text in lines:
        text = text.removeprefix(codecs.BOM_UTF8) if line == 1 else text
        if not text or text.isspace():
            continue
        if not started and text.lstrip().startswith(b"["):
            yield from _array_rows(text, file, line, name)
            return
        row = _parsed(text.rstrip(b"\r\n"), line)
        # A first line that begins an object and does not end it: pretty-printed JSON, or one broken row.
        if (
            not started
            and isinstance(row, BadRowError)
            and text.strip().startswith(b"{")
            and not text.strip().endswith(b"}")
        ):
            rest = file.read()
            _refuse_many_lines(text + rest, name)
            yield line, row
            for number, later in enumerate(io.BytesIO(rest), line + 1):
                if later.strip():
                    yield number, _parsed(later, number)
            return
        started = True
        yield line, row


def _refuse_many_lines(text: bytes, name: str) -> None:
    """Raise FathomError if the text is one or more objects that span several lines each."""
    try:
        value, end = json.JSONDecoder().raw_decode(text.decode().lstrip())
    except (ValueError, RecursionError):
        return
    if not text.decode().lstrip()[end:].strip():
        raise FathomError(f"{name}: {describe_object(value)}")
    raise FathomError(
        f"{name}: its objects span several lines, expected one object per line (convert it with jq -c . {name})"
    )


def describe_object(value: Mapping[str, Any]) -> str:
    """The end of an error message about a source that is a single object instead of rows."""
    keys = ", ".join(map(str, list(value)[:8]))
    return (
        f"is one object with the keys {keys}, expected one object per comparison: an array of objects, or one object "
        "per line"
    )


def _array_rows(text: bytes, file: BinaryIO, line: int, name: str) -> Iterator[NumberedRow]:
    array = _parsed(text + file.read(), line)
    if not isinstance(array, BadRowError):
        yield from enumerate(array, 1)
        return
    first = _parsed(text, line)
    if isinstance(first, list):
        raise FathomError(
            f"{name}: each line contains a list (line {line} has {len(first)} elements), expected one object per line, "
            "or one array of objects"
        )
    yield line, array


def _parsed(text: bytes, line: int) -> Any:
    """The JSON value of the text that starts on `line`, or a BadRowError."""
    try:
        return from_json(text)
    except ValueError:
        return _parsed_slowly(text, line)


def _parsed_slowly(text: bytes, line: int) -> Any:
    """Like `_parsed`, with Python's own parser: it accepts deeper nesting and larger numbers, and reports positions."""
    try:
        value = json.loads(text)
        if b"\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate could not be written to results
    except json.JSONDecodeError as error:
        where = f"line {error.lineno + line - 1}, column {error.colno}"
        message = f"{error.msg} at {where}; expected one object per line, or one array of objects"
    except UnicodeError as error:
        message = f"{error}; expected UTF-8 text"
    except RecursionError:
        message = "is nested too deeply; expected at most a few hundred levels"
    except ValueError as error:
        message = f"{error}; expected shorter numbers"
    else:
        return value
    return BadRowError("JSON", message, text.rstrip(b"\r\n").decode(errors="replace"))


# Tables -------------------------------------------------------------------------------------------------------------


def _table_rows(file: BinaryIO, path: Path, ending: str) -> Iterator[NumberedRow]:
    """Rows of a delimited text file with a header line. A row is numbered by the line on which it begins."""
    csv.field_size_limit(sys.maxsize)  # Python's default of 128 kB per cell is too small for responses
    try:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        first = text.readline()
        reader = csv.reader(chain([first], text), delimiter=_delimiter(first, ending), strict=True)
        header = _header(next(reader, []), path)
        line = reader.line_num
        for cells in reader:
            if any(cells):
                yield line + 1, _table_row(header, [cell or None for cell in cells])
            line = reader.line_num
    except UnicodeDecodeError as error:
        raise FathomError(f"{path}: {error}; expected UTF-8 text") from error
    except csv.Error as error:
        raise FathomError(f"{path}: cannot be read as a table: {error}; check for an unclosed quote") from error


def _delimiter(first: str, ending: str) -> str:
    """A tab in .tsv. In .csv a comma, or the semicolon that spreadsheets write in locales with decimal commas."""
    if ending == ".tsv":
        return "\t"
    names = first.strip()
    return next((sign for sign in ",;\t" if sign in names), ",")


def _header(cells: Sequence[Any], path: Path) -> list[str]:
    header = ["" if cell is None else str(cell).strip() for cell in cells]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise FathomError(f"{path}: the column {twice[0]!r} occurs twice; expected unique column names")
    return header


def _table_row(header: Sequence[str], cells: Sequence[Any]) -> Any:
    """The row, or a BadRowError if the number of cells is not that of the header."""
    if len(cells) != len(header):
        return BadRowError("row", f"has {len(cells)} cells, expected {len(header)}: {', '.join(header)}")
    return dict(zip(header, cells, strict=True))


def _sheet_rows(path: Path) -> Iterator[NumberedRow]:
    """The rows of a spreadsheet's only sheet. Formulas are read as their saved values.

    The file is loaded twice, because openpyxl returns either values or formulas. A formula without a saved value is an
    error instead of an empty cell.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        values, formulas = (load_workbook(path, read_only=True, data_only=data_only) for data_only in (True, False))
    except (OSError, InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise FathomError(f"{path}: cannot be read as a spreadsheet: {error}") from error
    try:
        name = _only_sheet(values, path)
        pairs = zip(values[name].iter_rows(values_only=True), formulas[name].iter_rows(values_only=True), strict=True)
        header: list[str] | None = None
        for number, (cells, sources) in enumerate(pairs, 1):
            if all(cell is None for cell in sources):
                continue
            if header is None:
                header = _header(_trimmed(cells), path)
                continue
            unsaved = next(
                (place for place, cell in enumerate(cells) if cell is None and _is_formula(sources[place])), None
            )
            if unsaved is not None:
                column = header[unsaved] if unsaved < len(header) else f"column {unsaved + 1}"
                yield (
                    number,
                    BadRowError(column, "contains a formula without a value; save the file in a spreadsheet program"),
                )
                continue
            yield number, _table_row(header, _filled(_trimmed(cells), len(header)))
    finally:
        values.close()
        formulas.close()


def _trimmed(cells: Sequence[Any]) -> list[Any]:
    """The cells without trailing empty ones, of which spreadsheets have arbitrarily many."""
    last = max((place for place, cell in enumerate(cells) if cell is not None), default=-1)
    return list(cells[: last + 1])


def _filled(cells: Sequence[Any], width: int) -> list[Any]:
    values = [from_sheet(cell) or None if isinstance(cell, str) else cell for cell in cells]
    return values + [None] * (width - len(cells))


_UNWRITABLE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\ufffe\\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


def for_sheet(text: str) -> str:
    """Escape characters that XML cannot hold as XLSX does (`_x0007_`). The inverse of `from_sheet`."""
    return _UNWRITABLE.sub(lambda match: f"_x{ord(match[0]):04X}_", text)


def from_sheet(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def _is_formula(cell: Any) -> bool:
    return isinstance(cell, str) and cell.startswith("=")


def _only_sheet(workbook: Any, path: Path) -> str:
    filled = [sheet.title for sheet in workbook.worksheets if any(any(c is not None for c in r) for r in sheet.values)]
    if len(filled) > 1:
        raise FathomError(
            f"{path}: has the sheets {', '.join(filled)}; expected a single non-empty sheet: save that one alone"
        )
    return filled[0] if filled else str(workbook.worksheets[0].title)


def _parquet_rows(path: Path) -> Iterator[NumberedRow]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=1024))
            yield from enumerate(chain.from_iterable(batches), 1)
    except (OSError, ArrowException) as error:
        raise FathomError(f"{path}: cannot be read as Parquet: {error}") from error


def _frame(source: Any) -> Callable[[], Iterator[Mapping[str, Any]]] | None:
    """The rows of a data frame or an Arrow table; None for other objects.

    Types are recognised by their attributes, so that none of these libraries has to be imported.
    """
    if hasattr(source, "collect") and hasattr(source, "lazy"):
        raise FathomError("got a lazy frame, expected a data frame; call its .collect()")
    if hasattr(source, "iter_rows") and hasattr(source, "columns"):  # polars
        return lambda: cast(Iterator[Mapping[str, Any]], source.iter_rows(named=True))
    if hasattr(source, "to_batches") and hasattr(source, "schema"):  # pyarrow
        return lambda: (row for batch in source.to_batches() for row in batch.to_pylist())
    if hasattr(source, "itertuples") and hasattr(source, "columns"):  # pandas
        return lambda: _pandas_rows(source)
    return None


def _pandas_rows(frame: Any) -> Iterator[Mapping[str, Any]]:
    """The rows of a pandas frame, with the index if it is named. Arrays become lists, missing values None."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FathomError(f"rows: the column {twice[0]!r} occurs twice; expected unique column names")
    for cells in frame.itertuples(index=False, name=None):
        yield {name: _as_python(cell) for name, cell in zip(names, cells, strict=True)}


def _as_python(cell: Any) -> Any:
    if isinstance(cell, str | int | float | None):
        return cell
    if isinstance(cell, Mapping):
        return {key: _as_python(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_as_python(value) for value in cell]
    if hasattr(cell, "tolist"):  # numpy's arrays and numbers
        return _as_python(cell.tolist())
    return None if type(cell).__name__ in {"NAType", "NaTType"} else cell


# Folders and hubs -----------------------------------------------------------------------------------------------------


def _folder(path: Path) -> DataSource:
    if (path / "dataset_dict.json").exists():
        splits = json.loads((path / "dataset_dict.json").read_bytes())["splits"]
        choices = ", ".join(str(path / split) for split in splits)
        raise FathomError(f"{path}: contains several splits; expected one of {choices}")
    if not (path / "state.json").exists():
        raise FathomError(
            f"{path}: is a folder, expected a file or the output of datasets' save_to_disk; give a file in it, or "
            f"{HUB}{path}:SPLIT if the folder is laid out like a data set on the hub"
        )
    return DataSource(
        str(path), lambda: enumerate(require("datasets", "train").load_from_disk(str(path)), 1), files=(path,)
    )


def _hub(name: str) -> DataSource:
    """A split of a data set from the hub, from the cache, or from a folder that is laid out like one."""
    where, *parts = name.removeprefix(HUB).split(":")
    if not where or len(parts) not in {1, 2} or not all(parts):
        raise FathomError(
            f"{name}: expected {HUB}OWNER/NAME:SPLIT or {HUB}OWNER/NAME:CONFIG:SPLIT, such as "
            f"{HUB}allenai/reward-bench:filtered"
        )
    datasets = require("datasets", "train")
    config = parts[0] if len(parts) == 2 else None
    try:
        table = datasets.load_dataset(where, config, split=parts[-1])
    except Exception as error:
        first = str(error).strip().split("\n")[0] or type(error).__name__
        raise FathomError(
            f"{name}: cannot be loaded: {first} (check the name, the split and the network; offline, the data set must "
            "be in the cache)"
        ) from error
    return DataSource(name, lambda: enumerate(table, 1))
