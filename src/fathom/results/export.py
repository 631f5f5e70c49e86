"""Export runs and journals as flat tables, for spreadsheets, pandas, DuckDB and similar tools.

    export(verdicts(runs.open("verdicts.jsonl")), VERDICT, Path("verdicts.csv"))
    pandas.DataFrame(verdicts(runs.open("verdicts.jsonl")))     # or polars.DataFrame

The columns of a table do not depend on its rows. Values without a tabular form (conversations, rationales, metadata)
are JSON in a text column.
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
from fathom.engines import Completion
from fathom.engines.cache import entries
from fathom.errors import FathomError, require
from fathom.results.arrow import arrow_schema
from fathom.results.rows import Row, VoteRow, row_lines, tokens_of_usage, vote_text
from fathom.results.runs import Run

TableRow = dict[str, Any]
Columns = Mapping[str, str]
"""Column names with pyarrow's names of their types."""

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
"""The number of rows in memory at a time."""
MAX_CELL = 32_767
"""The maximum number of characters in a cell of an XLSX file."""
MAX_SHEET = 2**20
"""The maximum number of rows of an XLSX sheet, including the header."""


def verdicts(run: Run) -> Iterator[TableRow]:
    """One table row per verdict or ranking, with the columns of `VERDICT`.

    `order` and `pairs` are JSON without texts and only set for rankings; `agreement` and `flip_rate` are only set for
    verdicts. If nothing could be ranked, the status of a ranking is that of its first pair.
    """
    for row in run.rows():
        texts = {
            "prompt": row["prompt"] if isinstance(row["prompt"], str) else _text(row["prompt"]),
            "metadata": _text(row["metadata"]),
        }
        yield figures(row) | texts


def figures(row: Row) -> TableRow:
    """A verdict or ranking as a row with the columns of `VERDICT`, where `prompt` and `metadata` are still values."""
    counts = {"prompt_tokens": row["tokens"]["prompt"], "completion_tokens": row["tokens"]["completion"]}
    return {name: row.get(name) for name in VERDICT} | _of_ranking(row) | counts


def _of_ranking(row: Row) -> TableRow:
    if "pairs" not in row:
        return {}
    pairs = [{**pair, "votes": [_without_texts(vote) for vote in pair["votes"]]} for pair in row["pairs"]]
    status = "ok" if row["order"] else next((pair["status"] for pair in row["pairs"]), "missing")
    return {"status": status, "order": _text(row["order"]), "pairs": _text(pairs)}


def _without_texts(vote: VoteRow) -> dict[str, Any]:
    return {name: value for name, value in vote.items() if name not in ("text", "reasoning", "rationale")}


def preferences(run: Run) -> Iterator[TableRow]:
    """One table row per preference of `fathom pairs`, with the columns of `PREFERENCE`; `columns` has all others."""
    for row in run.objects():
        others = {name: value for name, value in row.items() if name not in PREFERENCE}
        texts = {name: _plain(row.get(name)) for name in ("prompt", "chosen", "rejected")}
        yield {name: row.get(name) for name in PREFERENCE} | texts | {"columns": _text(others)}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else _text(value)


def copied(run: Run, path: Path) -> int:
    """Write the rows of a run as they are, and return their number: of parts, the bytes of the run on one machine."""
    count = 0
    with atomic_write(path) as file:
        for count, (line, _) in enumerate(row_lines(run.path), 1):  # noqa: B007
            file.write(line.rstrip(b"\n") + b"\n")
    return count


def votes(run: Run) -> Iterator[TableRow]:
    """One table row per vote, with the columns of `VOTE`. Raises FathomError for rankings, whose votes are of pairs."""
    for row in run.rows():
        if "votes" not in row:
            raise FathomError(f"{run.path}: row {row['id']!r} is a ranking; --votes expects a run of fathom judge")
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
    """One table row per completion, with the columns of `COMPLETION`. Older journals did not store requests, so their
    columns are None. Readings, such as likelihoods, are left out."""
    for key, request, completion in entries(journal):
        if not isinstance(completion, Completion):
            continue
        counts = tokens_of_usage(completion.usage)
        yield {
            "key": key,
            "engine": request and request.get("engine"),
            "messages": request and _text(request["messages"]),
            "sampling": request and _text(request["sampling"]),
            "sample": request and request.get("sample"),
            "text": completion.text,
            "reasoning": completion.reasoning,
            "finish_reason": completion.finish_reason,
            "prompt_tokens": counts["prompt"],
            "completion_tokens": counts["completion"],
        }


def export(rows: Iterable[TableRow], columns: Columns, path: Path) -> int:
    """Write a table in the format given by the suffix of `path`, and return the number of rows.

    The file is written atomically. In CSV, TSV and XLSX, lists are JSON and missing values are empty cells. Raises
    FathomError for an unknown suffix, and for text that is too long for a cell of XLSX.
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
    """Numbers and texts are unchanged; other values become JSON."""
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
                raise FathomError(f"{path}: a sheet has at most {MAX_SHEET:,} rows; write .csv or .parquet instead")
            sheet.append([_sheet_cell(sheet, row.get(name), f"{path}: row {count}: {name}") for name in columns])
    finally:
        sheet.close()  # otherwise an error would leave its temporary file open
    with atomic_write(path) as file:
        workbook.save(file)
    return count


def _sheet_cell(sheet: Any, value: Any, where: str) -> Any:
    """A cell that a spreadsheet does not interpret: texts could otherwise become formulas (`=...`) or dates."""
    from openpyxl.cell import WriteOnlyCell

    cell = _cell(value)
    if not isinstance(cell, str):
        return cell
    if len(cell) > MAX_CELL:
        raise FathomError(
            f"{where}: has {len(cell):,} characters, expected at most {MAX_CELL:,}; write .csv or .parquet instead"
        )
    written = WriteOnlyCell(sheet, value=for_sheet(cell))
    written.data_type = "s"
    return written


def _parquet(rows: Iterator[TableRow], columns: Columns, path: Path) -> int:
    import pyarrow
    from pyarrow import parquet

    schema = arrow_schema(columns)
    count = 0
    with atomic_write(path) as file, parquet.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, BATCH)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


WRITERS: Mapping[str, Callable[[Iterator[TableRow], Columns, Path], int]] = {
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".csv": _csv,
    ".tsv": _tsv,
    ".xlsx": _xlsx,
}
