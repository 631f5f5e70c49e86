"""Runs and journals as flat tables, for pandas, DuckDB and the like.

    export(verdicts(runs.open("verdicts.jsonl")), VERDICT, Path("verdicts.parquet"))

A table has the same columns whatever it holds: what has no form of its own in one (prompts that are conversations,
rationales, metadata) is JSON in a column of text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from fathom.atomic import replacing
from fathom.engines.cache import entries
from fathom.errors import FathomError
from fathom.runs import Run

Row = dict[str, Any]
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
    "missing_mass": "double",
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


def verdicts(run: Run) -> Iterator[Row]:
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


def _of_ranking(row: Row) -> Row:
    if "pairs" not in row:
        return {}
    untold = {"text", "reasoning"}
    pairs = [
        {**pair, "votes": [{name: vote[name] for name in vote if name not in untold} for vote in pair["votes"]]}
        for pair in row["pairs"]
    ]
    status = "ok" if row["order"] else next((pair["status"] for pair in row["pairs"]), "missing")
    return {"status": status, "order": _text(row["order"]), "pairs": _text(pairs)}


def preferences(run: Run) -> Iterator[Row]:
    """A row for each preference of `fathom pairs`, with the columns of `PREFERENCE`; `columns` has all others."""
    for row in run.objects():
        further = {name: value for name, value in row.items() if name not in PREFERENCE}
        texts = {name: _plain(row.get(name)) for name in ("prompt", "chosen", "rejected")}
        yield {name: row.get(name) for name in PREFERENCE} | texts | {"columns": _text(further)}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else _text(value)


def votes(run: Run) -> Iterator[Row]:
    """A row a vote, with the columns of `VOTE`. Raises FathomError for a run of rankings, whose votes are of pairs."""
    for row in run.rows():
        if "votes" not in row:
            raise FathomError(f"{run.path}: row {row['id']!r} is a ranking; --votes exports runs of fathom judge")
        for number, vote in enumerate(row["votes"]):
            yield {name: vote.get(name) for name in VOTE} | {
                "id": row["id"],
                "vote": number,
                "rationale": vote["rationale"] and _text(vote["rationale"]),
                "prompt_tokens": vote["tokens"]["prompt"],
                "completion_tokens": vote["tokens"]["completion"],
            }


def completions(journal: Path) -> Iterator[Row]:
    """A row a completion, with the columns of `COMPLETION`; what was asked is None where an older version wrote it."""
    for key, request, completion in entries(journal):
        asked = request or {}
        yield {
            "key": key,
            "engine": asked.get("engine"),
            "messages": request and _text(request["messages"]),
            "sampling": request and _text(request["sampling"]),
            "sample": asked.get("sample"),
            "text": completion.text,
            "reasoning": completion.reasoning,
            "finish_reason": completion.finish_reason,
            "prompt_tokens": completion.usage.prompt_tokens,
            "completion_tokens": completion.usage.completion_tokens,
        }


def export(rows: Iterable[Row], columns: Columns, path: Path) -> int:
    """Writes JSONL or Parquet, as `path` ends, and returns the number of rows. The file appears when it is whole.

    Raises FathomError for a name with another ending.
    """
    if path.suffix not in {".jsonl", ".parquet"}:
        raise FathomError(f"--out {path}: allowed is a name that ends in .jsonl or .parquet")
    return _parquet(iter(rows), columns, path) if path.suffix == ".parquet" else _jsonl(rows, path)


def _jsonl(rows: Iterable[Row], path: Path) -> int:
    count = 0
    with replacing(path) as file:
        for count, row in enumerate(rows, 1):  # noqa: B007
            file.write(f"{_text(row)}\n".encode())
    return count


def _parquet(rows: Iterator[Row], columns: Columns, path: Path) -> int:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, _type(pyarrow, spelled)) for name, spelled in columns.items()])
    count = 0
    with replacing(path) as file, parquet.ParquetWriter(file, schema) as writer:
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
