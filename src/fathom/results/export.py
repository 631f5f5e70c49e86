"""Runs and journals as flat tables, for spreadsheets, pandas, DuckDB and the like.

    export(verdicts(runs.open("verdicts.jsonl")), VERDICT, Path("verdicts.csv"))
    pandas.DataFrame(verdicts(runs.open("verdicts.jsonl")))     # or polars.DataFrame

A table has the same columns whatever it holds: what has no form of its own in one (prompts that are conversations,
rationales, metadata) is JSON in a column of text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from fathom.data.atomic import atomic_write
from fathom.data.sources import for_sheet
from fathom.engines.cache import entries
from fathom.errors import FathomError, require
from fathom.results.rows import Row, VoteRow, tokens, vote_text
from fathom.results.runs import Run

TableRow = dict[str, Any]
Columns = Mapping[str, str]
"""Names of columns, and their types as pyarrow spells them."""

VERDICT: Columns = {
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
    "pairs": "string",
    "domain": "string",
    "prompt_tokens": "int64",
    "completion_tokens": "int64",
    "prompt": "string",
    "responses": "list<string>",
    "reference": "string",
    "metadata": "string",
}
PREFERENCE: Columns = {
    "id": "string",
    "prompt": "string",
    "chosen": "string",
    "rejected": "string",
    "margin": "double",
    "probability": "double",
    "chosen_votes": "int64",
    "rejected_votes": "int64",
    "tied_votes": "int64",
    "chosen_index": "int64",
    "rejected_index": "int64",
    "columns": "string",
}
VOTE: Columns = {
    "id": "string",
    "vote": "int64",
    "status": "string",
    "winner": "int64",
    "scores": "list<double>",
    "probabilities": "list<double>",
    "residual_probability": "double",
    "order": "list<int64>",
    "structure": "string",
    "rationale": "string",
    "text": "string",
    "reasoning": "string",
    "error": "string",
    "prompt_tokens": "int64",
    "completion_tokens": "int64",
}
COMPLETION: Columns = {
    "key": "string",
    "engine": "string",
    "messages": "string",
    "sampling": "string",
    "sample": "int64",
    "text": "string",
    "reasoning": "string",
    "finish_reason": "string",
    "prompt_tokens": "int64",
    "completion_tokens": "int64",
}
BATCH = 1000
"""Rows that are in memory at a time."""
MAX_CELL = 32_767
"""Characters in a cell of XLSX, and below it the rows of a sheet with its header."""
MAX_SHEET = 2**20


def verdicts(run: Run) -> Iterator[TableRow]:
    """A row for each verdict or ranking, with the columns of `VERDICT`.

    `order` and `pairs` are of rankings, as JSON and without texts; a ranking's status is that of its first pair where
    nothing could be ranked. `agreement` and `flip_rate` are of verdicts.
    """
    for row in run.rows():
        yield (
            {name: row.get(name) for name in VERDICT}
            | _of_ranking(row)
            | {
                "prompt_tokens": row["tokens"]["prompt"],
                "completion_tokens": row["tokens"]["completion"],
                "prompt": row["prompt"] if isinstance(row["prompt"], str) else _text(row["prompt"]),
                "metadata": _text(row["metadata"]),
            }
        )


def _of_ranking(row: Row) -> TableRow:
    if "pairs" not in row:
        return {}
    pairs = [{**pair, "votes": [_without_texts(vote) for vote in pair["votes"]]} for pair in row["pairs"]]
    status = "ok" if row["order"] else next((pair["status"] for pair in row["pairs"]), "missing")
    return {"status": status, "order": _text(row["order"]), "pairs": _text(pairs)}


def _without_texts(vote: VoteRow) -> dict[str, Any]:
    return {name: value for name, value in vote.items() if name not in ("text", "reasoning", "rationale")}


def preferences(run: Run) -> Iterator[TableRow]:
    """A row for each preference of `fathom pairs`, with the columns of `PREFERENCE`; `columns` has all others."""
    for row in run.objects():
        further = {name: value for name, value in row.items() if name not in PREFERENCE}
        texts = {name: _plain(row.get(name)) for name in ("prompt", "chosen", "rejected")}
        yield {name: row.get(name) for name in PREFERENCE} | texts | {"columns": _text(further)}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else _text(value)


def votes(run: Run) -> Iterator[TableRow]:
    """A row a vote, with the columns of `VOTE`. Raises FathomError for a run of rankings, whose votes are of pairs."""
    for row in run.rows():
        if "votes" not in row:
            raise FathomError(f"{run.path}: row {row['id']!r} is a ranking; --votes exports runs of fathom judge")
        for number, vote in enumerate(row["votes"]):
            yield {name: vote.get(name) for name in VOTE} | {
                "id": row["id"],
                "vote": number,
                "text": vote_text(vote),
                "rationale": vote["rationale"] and _text(vote["rationale"]),
                "prompt_tokens": vote["tokens"]["prompt"],
                "completion_tokens": vote["tokens"]["completion"],
            }


def completions(journal: Path) -> Iterator[TableRow]:
    """A row a completion, with the columns of `COMPLETION`; what was asked is None where an older version wrote it."""
    for key, request, completion in entries(journal):
        asked = request or {}
        counts = tokens(completion.usage)
        yield {
            "key": key,
            "engine": asked.get("engine"),
            "messages": request and _text(request["messages"]),
            "sampling": request and _text(request["sampling"]),
            "sample": asked.get("sample"),
            "text": completion.text,
            "reasoning": completion.reasoning,
            "finish_reason": completion.finish_reason,
            "prompt_tokens": counts["prompt"],
            "completion_tokens": counts["completion"],
        }


def export(rows: Iterable[TableRow], columns: Columns, path: Path) -> int:
    """Writes a table in the format that the name of `path` ends in, and returns the number of rows.

    The file appears when it is whole. Lists are JSON in the cells of CSV, TSV and XLSX, and missing values are empty
    cells. Raises FathomError for a name with another ending, and for text that is too long for a cell of XLSX.
    """
    if path.suffix not in WRITERS:
        raise FathomError(f"--out {path}: expected a name that ends in {', '.join(WRITERS)}")
    return WRITERS[path.suffix](iter(rows), columns, path)


def _jsonl(rows: Iterator[TableRow], columns: Columns, path: Path) -> int:
    count = 0
    with atomic_write(path) as file:
        for count, row in enumerate(rows, 1):  # noqa: B007
            file.write(f"{_text(row)}\n".encode())
    return count


def _csv(rows: Iterator[TableRow], columns: Columns, path: Path, delimiter: str = ",") -> int:
    count = 0
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, delimiter=delimiter)
        writer.writerow(columns)
        for count, row in enumerate(rows, 1):  # noqa: B007
            writer.writerow([_cell(row.get(name)) for name in columns])
        text.detach()
    return count


def _tsv(rows: Iterator[TableRow], columns: Columns, path: Path) -> int:
    return _csv(rows, columns, path, "\t")


def _cell(value: Any) -> Any:
    """Numbers as they are, texts as they are, what has no form in a cell as JSON."""
    return value if value is None or isinstance(value, str) or type(value) in {int, float} else _text(value)


def _xlsx(rows: Iterator[TableRow], columns: Columns, path: Path) -> int:
    openpyxl = require("openpyxl", "tables")
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet("rows")
    sheet.append(list(columns))
    count = 0
    try:
        for count, row in enumerate(rows, 1):
            if count >= MAX_SHEET:
                raise FathomError(f"{path}: a sheet has {MAX_SHEET:,} rows at most; expected .csv or .parquet for more")
            sheet.append([_sheet_cell(sheet, row.get(name), f"{path}: row {count}: {name}") for name in columns])
    finally:
        sheet.close()  # or its temporary file would be left open after an error
    with atomic_write(path) as file:
        workbook.save(file)
    return count


def _sheet_cell(sheet: Any, value: Any, where: str) -> Any:
    """Texts as texts: spreadsheets take those that begin with `=` for formulas, and others for dates."""
    from openpyxl.cell import WriteOnlyCell

    cell = _cell(value)
    if not isinstance(cell, str):
        return cell
    if len(cell) > MAX_CELL:
        raise FathomError(
            f"{where}: has {len(cell):,} characters, a cell of a spreadsheet {MAX_CELL:,} at most; expected .csv or "
            ".parquet"
        )
    written = WriteOnlyCell(sheet, value=for_sheet(cell))
    written.data_type = "s"
    return written


def _parquet(rows: Iterator[TableRow], columns: Columns, path: Path) -> int:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, _type(pyarrow, spelled)) for name, spelled in columns.items()])
    count = 0
    with atomic_write(path) as file, parquet.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, BATCH)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _type(pyarrow: Any, spelled: str) -> Any:
    inner = spelled.removeprefix("list<").removesuffix(">")
    alias = pyarrow.type_for_alias(inner)
    return alias if inner == spelled else pyarrow.list_(alias)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


WRITERS: Mapping[str, Callable[[Iterator[TableRow], Columns, Path], int]] = {
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".csv": _csv,
    ".tsv": _tsv,
    ".xlsx": _xlsx,
}
