"""Functions shared by the sources of transcripts: reading lines, and making completions and rows of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom.bench import Benchmark
from fathom.data.records import Comparison, Label
from fathom.engines import Completion
from fathom.errors import FathomError
from fathom.judges import Judge, Rule, Vote
from fathom.rationale import Status
from fathom.results.rows import VerdictRow, to_row
from fathom.voting.recorded import verdict_from_completions

NOT_RECORDED = "not recorded"
BOTH_ORDERS = ((0, 1), (1, 0))
TWO_DECIMALS = 0.005
"""The tolerance of a number with two decimals: half a unit of the last one."""
SIX_DECIMALS = 5e-7
EXACT = 1e-9


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON lines file, which may be gzipped. Raises FathomError, with the line, for invalid JSON."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                if line.strip():
                    yield json.loads(line)
            except ValueError as error:
                raise FathomError(f"{path}:{number}: not JSON: {error}; expected one JSON object per line") from error


def stem(path: Path) -> str:
    """The name of a file of JSON lines without its endings."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def compared(id: str, *, n: int = 2, subset: str = "", label: int | None = None, **metadata: Any) -> Comparison:
    """A comparison with placeholders: most transcripts contain neither the prompt nor the responses."""
    return Comparison(
        id=id,
        prompt=f"(prompt of {id}, {NOT_RECORDED})",  # unique, because rows with equal prompts would form one cluster
        responses=(f"({NOT_RECORDED})",) * n,
        label=None if label is None else Label(best=label),
        metadata={"subset": subset, **metadata},
    )


def written(text: str | None) -> Completion | None:
    return None if text is None else Completion(text)


def read_row(
    judge: Judge, comparison: Comparison, completions: Iterable[tuple[tuple[int, ...], Completion | None]]
) -> VerdictRow:
    """The row of recorded completions, each with the order shown, which the judge parses."""
    return to_row(comparison, verdict_from_completions(judge, comparison, completions))


def stated_row(comparison: Comparison, votes: Sequence[Vote]) -> VerdictRow:
    """The row of votes that were recorded without their texts."""
    return to_row(comparison, Rule()(votes))


def stated_vote(winner: int | None, order: tuple[int, ...], *, parsed: bool = True) -> Vote:
    """A vote recorded without its text. `winner` is the position of the winner in the order shown."""
    status = Status.OK if parsed else Status.MISSING
    shown = tuple(range(len(order)))
    return Vote(status, winner=winner if parsed else None, order=shown).unpermuted(order)


def official(benchmark: Benchmark, rows: Iterable[VerdictRow]) -> Mapping[str, float]:
    """The official scores of a benchmark, without intervals."""
    return benchmark.all_rows(rows)
