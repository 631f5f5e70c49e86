"""The metrics that a report shows of each run, collected in one pass over its rows.

    [run] = gather([runs.open("verdicts.jsonl")])
    run.scored.verdicts["all"].accuracy, run.votes[4].accuracy, run.principles[0].right

All metrics are computed by `fathom.metrics` and `fathom.bench`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from fathom.errors import FathomError
from fathom.metrics.comparing import Contrast, compare
from fathom.metrics.intervals import Interval, Share
from fathom.metrics.principles import Principle, principles
from fathom.metrics.verdicts import Tally
from fathom.metrics.votes import curve
from fathom.report.scoring import Scored, score
from fathom.results.rows import Row, accuracy, prompt_key, votes_by_pair
from fathom.results.runs import Run

Styles = Mapping[tuple[int, int], Interval]
"""Accuracy by the styles of the chosen and of the rejected response."""


@dataclass(frozen=True)
class Evidence:
    """The metrics of one run in a report."""

    run: Run
    name: str
    """Unique among the runs of a report."""
    scored: Scored
    votes: Mapping[int, Tally]
    """The tally by number of votes; empty for rankings."""
    principles: Sequence[Principle]
    styles: Styles
    """Accuracy on RM-Bench; empty without rows of RM-Bench."""
    against_first: Contrast | None = None
    """The comparison with the first run of the report; None for the first run and if they cannot be compared."""
    not_compared: str | None = None
    """The reason why it cannot be compared with the first run."""


def gather(runs: Sequence[Run]) -> list[Evidence]:
    """The evidence of each run, with unique names. Raises FathomError for a file without results."""
    first: Sequence[Row] = ()
    all_evidence = []
    for run, name in zip(runs, names(runs), strict=True):
        rows = [_without_texts(row) for row in run.rows()]
        all_evidence.append(evidence(run, name, rows, first))
        first = first or rows
    return all_evidence


def evidence(run: Run, name: str, rows: Sequence[Row], first: Sequence[Row] = ()) -> Evidence:
    """The evidence of one run from its rows; `first` has the rows of the report's first run."""
    if not rows:
        raise FathomError(f"{run.path}: contains no rows; expected a file of results")
    verdicts = [row for row in rows if "pairs" not in row]
    against_first, not_compared = _against(first, rows)
    return Evidence(
        run=run,
        name=name,
        scored=score(rows),
        votes=curve(verdicts),
        principles=principles(verdicts),
        styles=styles(rows),
        against_first=against_first,
        not_compared=not_compared,
    )


def styles(rows: Iterable[Row]) -> Styles:
    """The accuracy on the pairs of RM-Bench by style, over all its domains."""
    cells: dict[tuple[int, int], Share] = defaultdict(Share)
    for row in rows:
        if row["metadata"].get("benchmark") == "rm_bench" and row["label"] is not None:
            chosen, rejected = row["metadata"]["styles"]
            cells[chosen, rejected].add(accuracy(row), prompt_key(row))
    return {cell: interval for cell, share in cells.items() if (interval := share.interval) is not None}


def names(runs: Sequence[Run]) -> list[str]:
    """The file names, with as many parent folders as are needed to make them unique."""
    for parts in range(1, max(len(run.path.parts) for run in runs) + 1):
        unique = ["/".join(run.path.with_suffix("").parts[-parts:]) for run in runs]
        if len(set(unique)) == len(runs):
            return unique
    twice = next(name for name in unique if unique.count(name) > 1)
    raise FathomError(f"the run {twice} is given twice; expected different runs")


def _without_texts(row: Row) -> Row:
    """The row without its texts, which no metric needs and which are most of its memory."""
    for vote in chain.from_iterable(votes_by_pair(row)):
        vote["text"] = vote["reasoning"] = ""
        vote["per_response"] = []
        for unit in vote["rationale"]["units"] if vote["rationale"] else ():
            unit["judgment"] = ""
    return row


def _against(first: Sequence[Row], rows: Sequence[Row]) -> tuple[Contrast | None, str | None]:
    if not first:
        return None, None
    try:
        return compare(first, rows), None
    except FathomError as error:
        return None, str(error)
