"""`fathom score RUN...`: every figure of finished runs, computed again from their rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli._figures import STANDARD_OUTPUT, Json, claim_json
from fathom.cli._verb import Force

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fathom.bench import Score
    from fathom.scoring import Scored


def command(
    run: Annotated[list[Path], typer.Argument(help="Files of results, as fathom judge or rank writes them.")],
    votes: Annotated[
        bool, typer.Option("--votes", help="Instead, what the first 1, 2, 4, ... votes would have said.")
    ] = False,
    json: Json = None,
    force: Force = False,
) -> None:
    """Compute every figure of a run again, from its file of results alone.

        fathom score verdicts.jsonl
        fathom score greedy.jsonl sampled.jsonl --votes
        fathom score verdicts.jsonl --json - | jq '.[].verdicts.all.strict'

    The tables are those that `fathom judge` and `fathom rank` show, and where the rows are a benchmark's, its official
    score. They go to standard output, or to stderr where the JSON goes there. docs/measuring.md says how to read them.
    """
    from rich.console import Console

    from fathom import runs
    from fathom.cli._figures import BY_VOTES, TIES_OF_ORDERS, across, written
    from fathom.metrics.verdicts import summary as tallied
    from fathom.metrics.votes import curves
    from fathom.scoring import score, summary

    claim_json(json)
    console = Console(stderr=json == STANDARD_OUTPUT)
    rows = {str(path): runs.open(path).rows() for path in run}
    if votes:
        tallies = curves(rows)
        tied = any(tally.tied and tally.tied.mean for tally in tallies.values())
        console.print(across("by votes", tallies, BY_VOTES, TIES_OF_ORDERS if tied else None))
        written(tallied(tallies), json)
        return
    scored = {path: score(found) for path, found in rows.items()}
    for path, each in scored.items():
        _show(path, each, console)
    written({path: summary(each) for path, each in scored.items()}, json)


def _show(path: str, scored: Scored, console: Console) -> None:
    from fathom.cli._figures import RANKINGS, VERDICTS, table

    if scored.verdicts:
        console.print(table(path, scored.verdicts, VERDICTS))
    if scored.rankings:
        console.print(table(path, scored.rankings, RANKINGS))
    for name, found in scored.benchmarks.items():
        console.print(_official(f"{path}: {name}", found))


def _official(title: str, score: Score) -> Table:
    from rich.table import Table

    from fathom.cli._figures import plain

    unreadable = ", ".join(f"{count} {status}" for status, count in score.unreadable.items())
    counts = {
        "rows": str(score.rows),
        "failed, in no figure": str(score.failed),
        "not readable": unreadable or "none",
        "subsets without a row": ", ".join(score.absent) or "none",
    }
    table = Table("", "official score", "rows", title=plain(title))
    for name, value in counts.items():
        table.add_row(plain(name), plain(value))
    for name, figure in score.figures.items():
        table.add_row(plain(name), str(figure), str(score.subsets.get(name, "")))
    return table
