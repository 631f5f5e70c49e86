"""What a single row says, verdicts and rankings alike, for those who count rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from statistics import fmean
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


def truth(row: Row) -> bool | None:
    """Whether the label calls a single response right; None without a label of 1 or 0, and of several responses."""
    scores = row.get("label_scores")
    return scores[0] == 1 if len(row["responses"]) == 1 and scores and scores[0] in (0, 1) else None


def score_alone(row: Row) -> float | None:
    """The mean score that the votes give a single response; None where they give none."""
    scores = [vote["scores"][0] for vote in deciding(row) if vote["scores"]]
    return fmean(scores) if row["status"] == "ok" and len(row["responses"]) == 1 and scores else None


def labelled(row: Row) -> bool:
    """Whether a verdict can be held against the label: the best of several, or a single response called right."""
    return row["label"] is not None or (truth(row) is not None and row.get("right_from") is not None)


def correct(row: Row) -> bool | None:
    """Whether verdict and label agree; None where `labelled` says no, and for a verdict that could not be read.

    A tie is not correct. A single response's score is held against `right_from`.
    """
    if row["status"] != "ok" or not labelled(row):
        return None
    if row["label"] is not None:
        return bool(row["winner"] == row["label"])
    score = score_alone(row)
    return None if score is None else (score >= row["right_from"]) == truth(row)


def strict(row: Row) -> float:
    """1 for the right verdict, 0 for all else: another one, a tie, no verdict."""
    return float(bool(row["correct"]))


def half(row: Row) -> float:
    """As `strict`, but a tie is a half: what it is worth to draw lots where the judge names nobody."""
    tie = row["label"] is not None and row["correct"] is not None and row["winner"] is None
    return 0.5 if tie else strict(row)
