"""What a single row says, verdicts and rankings alike, for those who count rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from statistics import fmean
from typing import Any

from fathom.engines.usage import Usage

Row = Mapping[str, Any]


def tokens(usage: Usage) -> dict[str, int | None]:
    """Usage as a row holds it. A count of which nothing is known is None, never 0."""
    if not usage.unknown_calls:
        return {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens}
    return {
        "prompt": usage.prompt_tokens or None,
        "completion": usage.completion_tokens or None,
        "unknown_calls": usage.unknown_calls,
    }


def usage(row: Row) -> Usage:
    """The usage of a row, or of a vote in it. Inverse of `tokens`."""
    held = row["tokens"]
    return Usage(held["prompt"] or 0, held["completion"] or 0, held.get("unknown_calls", 0))


def reported(usage: Usage) -> dict[str, int | None]:
    """Usage as a summary holds it: `tokens` under longer names."""
    return {name if name == "unknown_calls" else f"{name}_tokens": count for name, count in tokens(usage).items()}


def count_text(tokens: float, usage: Usage, form: str = ",.0f") -> str:
    """A count of `usage`, or a mean of one, for people: a lower bound or "unknown" where calls reported no usage."""
    if usage.unknown_calls:
        return f"at least {tokens:{form}}" if tokens else "unknown"
    return f"{tokens:{form}}"


def prompt_key(row: Row, benchmark: str | None = None) -> int:
    """The cluster of a row, as 64 bits: rows of one prompt have the same, because their verdicts are not independent.

    The rows of a benchmark are clustered by metadata["group"] where they have one; in other rows a column of that name
    may mean anything. A row without a prompt is a cluster of its own.
    """
    metadata = row["metadata"]
    benchmark = metadata.get("benchmark", benchmark)
    grouped = benchmark is not None and "group" in metadata
    key = [benchmark, metadata["group"]] if grouped else row.get("prompt", row["id"])
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


def threshold(row: Row) -> float | None:
    """The lowest score at which the judge calls a single response right; None where it has no such score."""
    value: float | None = row.get("threshold", row.get("right_from"))  # the second in files of version 0.1
    return value


def labelled(row: Row) -> bool:
    """Whether a verdict can be held against the label: the best of several, or a single response called right."""
    return row["label"] is not None or (truth(row) is not None and threshold(row) is not None)


def correct(row: Row) -> bool | None:
    """Whether verdict and label agree; None where `labelled` says no, and for a verdict that could not be read.

    A tie is not correct. A single response's score is compared with the threshold.
    """
    if row["status"] != "ok" or not labelled(row):
        return None
    if row["label"] is not None:
        return bool(row["winner"] == row["label"])
    score, bound = score_alone(row), threshold(row)
    return None if score is None or bound is None else (score >= bound) == truth(row)


def strict(row: Row) -> float:
    """1 for the right verdict, 0 for all else: another one, a tie, no verdict."""
    return float(bool(row["correct"]))


def half(row: Row) -> float:
    """As `strict`, but a tie is a half: what it is worth to draw lots where the judge names nobody."""
    tie = row["label"] is not None and row["correct"] is not None and row["winner"] is None
    return 0.5 if tie else strict(row)
