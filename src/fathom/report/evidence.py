"""What a report tells of a run, gathered in one reading of its rows.

    found = evidence(runs.open("verdicts.jsonl"))
    found.scored.verdicts["all"].accuracy, found.votes[4].accuracy, found.principles[0].right

Nothing is computed here that `fathom.metrics` and `fathom.bench` do not compute.
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
from fathom.results.rows import Row, accuracy, prompt_key, vote_groups
from fathom.results.runs import Run

Styles = Mapping[tuple[int, int], Interval]
"""By the styles of the chosen and of the rejected response."""


@dataclass(frozen=True)
class Evidence:
    run: Run
    name: str
    """Its own among the runs of a report."""
    scored: Scored
    votes: Mapping[int, Tally]
    """By the number of votes that are counted; empty for rankings."""
    principles: Sequence[Principle]
    styles: Styles
    """Accuracy on RM-Bench; empty where there are no rows of it."""
    against_first: Contrast | None = None
    """The comparison with the report's first run; None for that run itself and where they cannot be compared."""
    not_compared: str | None = None
    """Why it could not be compared with the first run."""


def gather(runs: Sequence[Run]) -> list[Evidence]:
    """The evidence of each run, under names that tell them apart. Raises FathomError for a file without results."""
    first: Sequence[Row] = ()
    found = []
    for run, name in zip(runs, names(runs), strict=True):
        rows = [_counted(row) for row in run.rows()]
        found.append(evidence(run, name, rows, first))
        first = first or rows
    return found


def evidence(run: Run, name: str, rows: Sequence[Row], first: Sequence[Row] = ()) -> Evidence:
    if not rows:
        raise FathomError(f"{run.path}: holds no row, so there is nothing to report")
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
    """The accuracy on the pairs of RM-Bench, of all its domains together."""
    cells: dict[tuple[int, int], Share] = defaultdict(Share)
    for row in rows:
        if row["metadata"].get("benchmark") == "rm_bench" and row["label"] is not None:
            chosen, rejected = row["metadata"]["styles"]
            cells[chosen, rejected].add(accuracy(row), prompt_key(row))
    return {cell: interval for cell, share in cells.items() if (interval := share.interval) is not None}


def names(runs: Sequence[Run]) -> list[str]:
    """The names of the files, with as many of their folders as tell them apart."""
    for parts in range(1, max(len(run.path.parts) for run in runs) + 1):
        found = ["/".join(run.path.with_suffix("").parts[-parts:]) for run in runs]
        if len(set(found)) == len(runs):
            return found
    raise FathomError("a run is named twice; a report takes each once")


def _counted(row: Row) -> Row:
    """The row without what no figure is made of, which is most of it."""
    for vote in chain.from_iterable(vote_groups(row)):
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
