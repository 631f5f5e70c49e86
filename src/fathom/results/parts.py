"""Results as a folder of Parquet parts, as `fathom judge --ray` writes them.

    verdicts/manifest.json                    # provenance, as in NAME.jsonl.meta.json, and the hash of each part
    verdicts/parts/part-000000.parquet        # rows of the first shard of the source, in its order

Column `row` has the line that `fathom judge` writes on one machine; the other columns repeat its most queried values
with types, for DuckDB, pandas and similar tools. `lines` yields the lines of all parts: together they are the bytes of
the run on one machine.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fathom.data.folders import Folder
from fathom.errors import FathomError
from fathom.results.arrow import arrow_schema

PARTS = "parts"
"""The folder of the parts within that of the run."""
MANIFEST = "manifest.json"
ITEMS = "items"
"""The folder of parts from which the driver makes training sets; their rows are no verdicts."""
ITEM_COLUMNS: Mapping[str, str] = {"id": "string", "row": "string"}
COLUMNS: Mapping[str, str] = {
    "id": "string",
    "status": "string",
    "winner": "int64",
    "label": "int64",
    "correct": "bool",
    "scores": "list<double>",
    "agreement": "double",
    "flip_rate": "double",
    "order": "string",
    "kendall_tau": "double",
    "domain": "string",
    "prompt_tokens": "int64",
    "completion_tokens": "int64",
    "row": "string",
}
"""Column names with pyarrow's names of their types; all but `row` are those of `fathom.results.export.VERDICT`."""


def part_name(shard: int) -> str:
    return f"part-{shard:06d}.parquet"


def encode(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str] = COLUMNS) -> bytes:
    """A part: rows with these columns, in order."""
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist(
        [{name: row.get(name) for name in columns} for row in rows], schema=arrow_schema(columns)
    )
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def is_run(path: str | Path) -> bool:
    """Whether the folder holds parts."""
    return bool(_names(Folder.at(path) / PARTS))


def lines(path: str | Path, within: str = PARTS) -> Iterator[tuple[bytes, str]]:
    """Each row as a line of JSON without its newline, with its place for error messages.

    `within`: the folder of the parts. Raises FathomError for a file that is not a part.
    """
    folder = Folder.at(path) / within
    for name in _names(folder):
        for number, line in enumerate(_column(folder, name), 1):
            yield line.encode(), f"{folder}/{name}:{number}"


def read_manifest(path: str | Path) -> bytes | None:
    """The manifest of a folder of parts; None if it has none, as before the run has ended."""
    folder = Folder.at(path)
    return folder.read(MANIFEST) if MANIFEST in folder.names() else None


def _names(folder: Folder) -> list[str]:
    return [name for name in folder.names() if name.startswith("part-") and name.endswith(".parquet")]


def _column(folder: Folder, name: str) -> list[str]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(io.BytesIO(folder.read(name)), columns=["row"])
    except pyarrow.ArrowInvalid as error:
        raise FathomError(f"{folder}/{name} is not a part of a run: {error}; judge again to replace it") from error
    column: list[str] = table.column("row").to_pylist()
    return column
