"""WildBench: scores from 1 to 10 by a judge that lists strengths and weaknesses first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fathom.bench.outcomes import mean, scores
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import EXACT, compared, lines, read_row, stem, written
from fathom.judges.wildbench import WildBenchJudge
from fathom.results.rows import VerdictRow

FOLDER = "wildbench"
SOURCE = "WildBench (arXiv 2406.04770), leaderboard/data_dir/score.json of its repository"
PUBLISHED_VERSION = "v2.0625"
"""The version of the judge's prompt that the leaderboard's scores were made with."""


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    leaderboards = sorted(folder.glob("*leaderboard*.jsonl*"))
    published = {entry["model"]: entry for path in leaderboards for entry in lines(path)}
    for path in sorted(folder.glob("v*__*__*.jsonl*")):
        version, grader, model = stem(path).split("__", 2)
        rows = [row(result) for result in lines(path)]
        entry = published.get(model, {}) if version == PUBLISHED_VERSION else {}
        for name, value in averages(rows).items():
            yield Figure(
                benchmark="WildBench",
                run=f"{model}, by {grader}, {version}",
                name=name,
                ours=value,
                published=entry.get(name),
                tolerance=EXACT,
                rows=len(rows),
                source=SOURCE,
            )


def row(result: dict[str, Any]) -> VerdictRow:
    parsed = result.get("parsed_result")
    comparison = compared(str(result["session_id"]), n=1, subset="all")
    return read_row(WildBenchJudge(), comparison, [((0,), written(None if parsed is None else json.dumps(parsed)))])


def averages(rows: Iterable[VerdictRow]) -> dict[str, float]:
    """The mean score over parsed rows, 1 to 10, and its adjusted form, in which 5 becomes 0 and 10 stays 10."""
    score = mean(values[0] for row in rows if (values := scores(row)) is not None)
    return {"score": score, "adjusted_score": 2 * (score - 5)}
