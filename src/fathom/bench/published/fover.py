"""FoVer: scores of verifiers for steps and whole solutions of ProcessBench, with their labels."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from fathom.bench.outcomes import mean, scores
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import EXACT, compared, lines, stated_row
from fathom.judges import Vote
from fathom.rationale import Status
from fathom.results.rows import VerdictRow

FOLDER = "fover"
SOURCE = "FoVer (arXiv 2505.15960), performance/evaluation_metrics of its repository"
LEVELS = ("instance_level", "step_level")


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    for path in sorted(folder.glob("*predictions*.jsonl*")):
        for run in sorted(lines(path), key=lambda run: (run["verifier"], run["subset"])):
            for level in LEVELS:
                yield from _figures(run, level)


def _figures(run: Mapping[str, Any], level: str) -> Iterator[Figure]:
    published = run["performance"][level]
    rows = [row(score, right) for score, right in zip(run[f"y_pred_{level}"], run[f"y_true_{level}"], strict=True)]
    for name, value in measured(rows, published["threshold"]).items():
        yield Figure(
            benchmark="FoVer on ProcessBench",
            run=f"{run['verifier']}, {run['subset']}",
            name=f"{level}, {name}",
            ours=value,
            published=published.get(name),
            tolerance=EXACT,
            rows=len(rows),
            source=SOURCE,
            group=run["verifier"],
        )


def row(score: float, right: bool) -> VerdictRow:
    return stated_row(compared("step", n=1, right=right), [Vote(Status.OK, scores=(float(score),), order=(0,))])


def measured(rows: Sequence[VerdictRow], threshold: float) -> dict[str, float]:
    """Classification metrics, where a row is predicted right if its score is above the threshold; 0/0 is 0."""
    labelled = [(score, row["metadata"]["right"]) for row in rows for score in scores(row) or [0.0]]
    predictions = [(score > threshold, right) for score, right in labelled]
    hits = sum(predicted and right for predicted, right in predictions)
    positive, true = sum(predicted for predicted, _ in predictions), sum(right for _, right in predictions)
    return {
        "auroc": area([score for score, right in labelled if right], [score for score, right in labelled if not right]),
        "accuracy": mean(predicted == right for predicted, right in predictions),
        "f1": 2 * hits / max(positive + true, 1),
        "precision": hits / max(positive, 1),
        "recall": hits / max(true, 1),
    }


def area(right: Sequence[float], wrong: Sequence[float]) -> float:
    """The area under the ROC curve, with ties counted 0.5; NaN without right or without wrong scores."""
    if not right or not wrong:
        return nan
    low = sorted(wrong)
    return mean((bisect_left(low, score) + bisect_right(low, score)) / 2 for score in right) / len(low)
