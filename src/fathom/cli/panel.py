"""`fathom panel RUN RUN...`: combines the verdicts of several judges into those of a panel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fathom.cli._verb import Force, claim, file_outputs
from fathom.settings import Invalid, Ties


def command(
    run: Annotated[list[Path], typer.Argument(help="Verdicts on one source, as written by fathom judge.")],
    out: Annotated[Path, typer.Option(help="Write the panel's verdicts to this file: NAME.jsonl.")],
    aggregate: Annotated[
        Literal["majority", "mean", "sum"],
        typer.Option(help="Combine the judges' winners (majority), or their scores or vote shares (mean, sum)."),
    ] = "majority",
    invalid_votes: Annotated[
        Invalid, typer.Option(help="If a judge has no verdict: drop counts the others, require gives no verdict.")
    ] = "drop",
    tie_votes: Annotated[
        Ties,
        typer.Option(help="(majority) If a judge has a tie: count lets ties win, drop treats them as abstentions."),
    ] = "count",
    force: Force = False,
) -> None:
    """Combine finished runs of several judges on one source: one verdict per item, by majority.

        fathom judge pairs.jsonl --model judge-a --out a.jsonl      # and b.jsonl, c.jsonl
        fathom panel a.jsonl b.jsonl c.jsonl --out panel.jsonl
        fathom compare a.jsonl panel.jsonl

    No model is called. Each judge counts once, however many votes it cast. Items are matched by id; items that are
    missing from a run are left out and counted. The rows are verdicts as written by `fathom judge`, with one vote per
    judge, so they can be scored, compared and viewed.
    """
    from rich.console import Console

    from fathom.cli._derived import describe
    from fathom.cli._figures import VERDICTS, table
    from fathom.data.reading import write_jsonl
    from fathom.errors import FathomError
    from fathom.judges import Rule
    from fathom.judging.panels import combine
    from fathom.metrics.verdicts import summary, tally
    from fathom.results import runs

    try:
        rule = Rule(aggregate, invalid_votes, tie_votes)
    except ValueError as error:
        raise FathomError(f"--tie-votes {tie_votes}: {error}") from error
    if len(set(run)) < len(run):
        twice = next(path for path in run if run.count(path) > 1)
        raise FathomError(f"the run {twice} is given twice; expected a different run for each judge")
    claim(file_outputs("--out", out), costly=False)
    panel = combine({str(path): runs.open(path).rows() for path in run}, rule)
    write_jsonl(out, panel.rows)
    tallies = tally(panel.rows)
    Console(stderr=True).print(table("panel", tallies, VERDICTS))
    config = {
        "judge": {"name": "panel", "options": {}},
        "run": run,
        "aggregate": aggregate,
        "invalid_votes": invalid_votes,
        "tie_votes": tie_votes,
    }
    describe(out, config, run, summary(tallies))
    typer.echo(f"{len(panel.rows)} verdicts of {len(run)} judges; left out: {panel.missing} not in every run", err=True)
