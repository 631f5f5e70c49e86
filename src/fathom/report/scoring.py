"""All metrics of a run from its rows: tallies, agreement with people, and official scores of benchmarks.

    scored = score(runs.open("verdicts.jsonl").rows())
    scored.verdicts["all"].accuracy            # Interval(mean=0.71, low=..., high=...)
    scored.benchmarks["judgebench"].figures    # if the rows are of a benchmark

This needs no model, journal or source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fathom import bench
from fathom.data.sources import open_data_source
from fathom.metrics import rankings, steps, verdicts
from fathom.metrics.annotators import People
from fathom.metrics.overlap import shared, texts_of
from fathom.results.rows import Row


@dataclass
class Scored:
    """The metrics of a run. Parts for which there are no rows are empty."""

    verdicts: dict[str, verdicts.Tally] = field(default_factory=dict)
    """Tallies of all verdicts, under "all", and of each domain."""
    rankings: dict[str, rankings.RankingTally] = field(default_factory=dict)
    """Tallies of all rankings, under "all", and of each domain."""
    people: People = field(default_factory=People)
    """Agreement of verdicts with labels and annotators. Rankings have best-of-n accuracy and Kendall's tau instead."""
    steps: dict[str, steps.StepTally] = field(default_factory=dict)
    """Tallies of rows with labelled steps and step scores, under "all", and by the model that wrote the solution."""
    benchmarks: dict[str, bench.Score] = field(default_factory=dict)
    """Official scores by the benchmark in metadata["benchmark"]."""


def score(rows: Iterable[Row]) -> Scored:
    """Compute all metrics of rows."""
    scored = Scored()
    tallies: dict[str, bench.BenchmarkTally] = {}
    names = set(bench.names())
    for row in rows:
        _count(row, scored)
        if (name := row["metadata"].get("benchmark")) in names:
            tallies.setdefault(name, bench.BenchmarkTally(bench.find(name))).add(row)
    scored.benchmarks = {name: tally.score() for name, tally in tallies.items()}
    return scored


def seen_in(rows: Iterable[Row], training: Iterable[str | Path]) -> set[str]:
    """The prompts of rows that overlap with a text of the training files (`fathom.metrics.overlap`).

    Every text of a training row counts, so the files may have any layout. Raises FathomError for one that is no table.
    """
    texts = (text for file in training for _, row in open_data_source(str(file)).rows() for text in texts_of(row))
    return shared({prompt_text(row) for row in rows}, texts)


def prompt_text(row: Row) -> str:
    """The prompt of a row as one text."""
    prompt = row["prompt"]
    return prompt if isinstance(prompt, str) else "\n\n".join(str(message["content"]) for message in prompt)


def _count(row: Row, scored: Scored) -> None:
    if "pairs" in row:
        rankings.count(row, scored.rankings)
    else:
        verdicts.count(row, scored.verdicts)
        steps.count(row, scored.steps)
        scored.people.add(row)


def summary(scored: Scored) -> dict[str, Any]:
    """The metrics as plain JSON. Intervals are [mean, low, high] at 95 %."""
    return {
        "verdicts": verdicts.summary(scored.verdicts),
        "rankings": rankings.summary(scored.rankings),
        "agreement": asdict(scored.people.agreement) if scored.verdicts else None,
        "steps": steps.summary(scored.steps),
        "benchmarks": {name: asdict(official) for name, official in scored.benchmarks.items()},
    }
