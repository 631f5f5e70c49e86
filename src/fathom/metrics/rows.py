"""What a single row says, verdicts and rankings alike, for those who count rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

Row = Mapping[str, Any]


def prompt_key(row: Row) -> int:
    """The same number of 64 bits for rows of one prompt, which stand or fall together.

    Benchmarks name what belongs together in metadata["group"]; elsewhere a column of that name may mean anything.
    """
    metadata = row["metadata"]
    grouped = "benchmark" in metadata and "group" in metadata
    key = [metadata["benchmark"], metadata["group"]] if grouped else row["prompt"]
    text = key if isinstance(key, str) else json.dumps(key, default=str)
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())


def deciding(row: Row) -> list[Row]:
    """The votes that the verdict is made of: readable, and not left out by a filter."""
    return [vote for vote in row["votes"] if vote["status"] == "ok" and vote["counted"]]


def strict(row: Row) -> float:
    """1 for the labelled response, 0 for all else: another one, a tie, no verdict."""
    return float(bool(row["correct"]))


def half(row: Row) -> float:
    """As `strict`, but a tie is a half: what it is worth to draw lots where the judge names nobody."""
    tie = row["correct"] is not None and row["winner"] is None
    return 0.5 if tie else strict(row)
