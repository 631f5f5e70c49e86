"""UniEval: correlation of its scores of single responses with human ratings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom.bench.outcomes import scores
from fathom.bench.published import Figure, Stated
from fathom.bench.published._transcripts import SIX_DECIMALS, compared, lines, stated_row, stem
from fathom.judges import Vote
from fathom.metrics.correlations import Correlations, correlations
from fathom.rationale import Status
from fathom.results.rows import VerdictRow

FOLDER = "unieval"
SOURCE = "UniEval (arXiv 2210.07197), reproduce/README.md of its repository"


def figures(folder: Path, stated: Stated) -> Iterator[Figure]:
    for path in sorted(folder.glob("*_result.jsonl*")):
        run = stem(path).removesuffix("_result")
        for dimension, rows in dimensions(path).items():
            numbers = stated.get(run, {}).get(dimension, [None] * len(Correlations._fields))
            for name, value, published in zip(Correlations._fields, correlation(rows), numbers, strict=True):
                yield Figure(
                    benchmark="UniEval",
                    run=run,
                    name=f"{dimension}, {name}",
                    ours=value,
                    published=published,
                    tolerance=SIX_DECIMALS,
                    rows=len(rows),
                    source=SOURCE,
                )


def dimensions(path: Path) -> dict[str, list[VerdictRow]]:
    """The rows of each dimension that has both scores and ratings, one row per response."""
    by_dimension: dict[str, list[VerdictRow]] = {}
    for number, result in enumerate(lines(path)):
        for dimension in result["scores"].keys() & result["predict_scores"].keys():
            by_dimension.setdefault(dimension, []).append(row(str(number), result, dimension))
    return dict(sorted(by_dimension.items()))


def row(id: str, result: Mapping[str, Any], dimension: str) -> VerdictRow:
    comparison = compared(id, n=1, subset=dimension, rating=result["scores"][dimension])
    score = float(result["predict_scores"][dimension])
    return stated_row(comparison, [Vote(Status.OK, scores=(score,), order=(0,))])


def correlation(rows: Sequence[VerdictRow]) -> Correlations:
    """The correlation of scores with the ratings in the rows' metadata, over rows with scores."""
    pairs = [(values[0], row["metadata"]["rating"]) for row in rows if (values := scores(row)) is not None]
    return correlations([score for score, _ in pairs], [rating for _, rating in pairs])
