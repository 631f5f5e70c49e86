"""`fathom panel RUN RUN...`: the verdicts of several judges as those of one panel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fathom.cli._verb import Force, claim, file_outputs
from fathom.settings import Invalid, Ties


def command(
    run: Annotated[list[Path], typer.Argument(help="Files of verdicts on one source, as fathom judge writes them.")],
    out: Annotated[Path, typer.Option(help="Where the panel's verdicts go: NAME.jsonl.")],
    aggregate: Annotated[
        Literal["majority", "mean", "sum"],
        typer.Option(help="What is counted: the judges' winners; or their scores, or the shares of their votes."),
    ] = "majority",
    invalid_votes: Annotated[
        Invalid, typer.Option(help="Judges without a verdict: drop counts the others, require gives no verdict then.")
    ] = "drop",
    tie_votes: Annotated[
        Ties, typer.Option(help="(majority) Judges that tie: count lets a tie win, drop takes them as abstentions.")
    ] = "count",
    force: Force = False,
) -> None:
    """Let several judges decide together: of finished runs on one source, one verdict for each item by majority.

        fathom judge pairs.jsonl --model judge-a --out a.jsonl      # and b.jsonl, c.jsonl
        fathom panel a.jsonl b.jsonl c.jsonl --out panel.jsonl
        fathom compare a.jsonl panel.jsonl

    No model is asked. Each judge has one voice, however many votes it cast. Items are matched by id; those that some
    run does not have are left out and counted. The rows are verdicts as `fathom judge` writes them, so that they can be
    scored, compared and viewed; each vote is a judge's.
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
        raise FathomError("a run is named twice; a panel takes each judge once")
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
