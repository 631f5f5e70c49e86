"""`fathom score RUN...`: computes all metrics of finished runs from their rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli._figures import STANDARD_OUTPUT, Json, claim_json
from fathom.cli._verb import Force

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

    from fathom.bench import Score
    from fathom.metrics.annotators import Agreement
    from fathom.report.scoring import Scored
    from fathom.results.rows import Row


def command(
    run: Annotated[list[Path], typer.Argument(help="Result files, as written by fathom judge or rank.")],
    votes: Annotated[
        bool, typer.Option("--votes", help="Show the metrics of the first 1, 2, 4, ... votes of each row instead.")
    ] = False,
    agreement: Annotated[
        bool,
        typer.Option(
            "--agreement", help="Show Cohen's kappa between verdicts and labels, even if rows have no annotators."
        ),
    ] = False,
    training: Annotated[list[Path], typer.Option(help="A file that the model was trained on; repeat for more.")] = [],  # noqa: B006
    json: Json = None,
    force: Force = False,
) -> None:
    """Compute all metrics of a run from its result file.

        fathom score verdicts.jsonl
        fathom score greedy.jsonl sampled.jsonl --votes
        fathom score verdicts.jsonl --training train.jsonl
        fathom score verdicts.jsonl --json - | jq '.[].verdicts.all.accuracy'

    The tables are those of `fathom judge` and `fathom rank`, plus the agreement with annotators if rows have their
    labels, the metrics of steps if steps have scores and labels, and the official score if the rows are those of a
    benchmark. They are printed on standard output, or on
    stderr if the JSON goes to standard output. docs/measuring.md explains them.

    With --training, the metrics are also computed without the rows whose prompt shares 13 words in a row with a text of
    these files, of any layout.
    """
    from rich.console import Console

    from fathom.cli._figures import BY_VOTES, TIES_OF_ORDERS, across, written
    from fathom.metrics.verdicts import summary as tallied
    from fathom.metrics.votes import curves
    from fathom.report.scoring import score, summary
    from fathom.results import runs

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
    if training:
        scored |= {name: score(rest) for path in run for name, rest in _unseen(path, training)}
    for path, each in scored.items():
        _show(path, each, console, agreement=agreement)
    written({path: summary(each) for path, each in scored.items()}, json)


def _unseen(path: Path, training: list[Path]) -> Iterator[tuple[str, Iterator[Row]]]:
    """The rows of a run that do not overlap with the training files, under a name that counts the others."""
    from fathom.report.scoring import prompt_text, seen_in
    from fathom.results import runs

    run = runs.open(path)
    seen = seen_in(run.rows(), training)
    prompts = [prompt_text(row) for row in run.rows()]
    count = sum(prompt in seen for prompt in prompts)
    typer.echo(f"{path}: {count} of {len(prompts)} rows overlap with the training files", err=True)
    if count < len(prompts):
        yield f"{path}, {count} rows left out", (row for row in run.rows() if prompt_text(row) not in seen)


def _show(path: str, scored: Scored, console: Console, *, agreement: bool) -> None:
    from fathom.cli._figures import RANKINGS, STEP_SCORES, STEP_TYPES, STEPS, VERDICTS, across, table

    if scored.verdicts:
        console.print(table(path, scored.verdicts, VERDICTS))
    if scored.rankings:
        console.print(table(path, scored.rankings, RANKINGS))
    if scored.people.annotators or scored.people.units or (agreement and scored.verdicts):
        console.print(_agreement(path, scored.people.agreement))
    if scored.steps:
        console.print(across(f"{path}: first errors", scored.steps, STEPS))
        console.print(across(f"{path}: scores of steps", scored.steps, STEP_SCORES))
        if by_type := scored.steps["all"].by_type:
            console.print(across(f"{path}: steps by type", by_type, STEP_TYPES))
    for name, found in scored.benchmarks.items():
        console.print(official(f"{path}: {name}", found))


def _agreement(path: str, agreement: Agreement) -> Table:
    from rich.table import Table

    from fathom.cli._figures import plain

    table = Table("", "rows", "agreement", "kappa or alpha", title=plain(f"{path}: agreement with people"))
    pairs = {"label": agreement.label, **agreement.annotators}
    for name, pair in pairs.items():
        if pair.rows:
            cells = str(pair.rows), str(pair.agreement), str(pair.kappa or "one label only")
            table.add_row(plain(f"judge and {name}"), *cells)
    if agreement.rows:
        alpha = f"alpha {agreement.alpha}" if agreement.alpha else "one label only"
        kappa = f"\nFleiss' kappa {agreement.fleiss}" if agreement.fleiss else ""
        table.add_row("annotators", str(agreement.rows), "", alpha + kappa)
    if agreement.cases:
        table.add_row("human ceiling", str(agreement.cases), str(agreement.ceiling), "")
        table.add_row("judge, same majorities", str(agreement.cases), str(agreement.judge), "")
    return table


def official(title: str, score: Score) -> Table:
    """The table of a benchmark's official score."""
    from rich.table import Table

    from fathom.cli._figures import plain

    unparsed = ", ".join(f"{count} {status}" for status, count in score.unparsed.items())
    counts = {
        "rows": str(score.rows),
        "failed, not counted": str(score.failed),
        "not parsed": unparsed or "none",
        "subsets without a row": ", ".join(score.absent) or "none",
    }
    table = Table("", "official score", "rows", title=plain(title))
    for name, value in counts.items():
        table.add_row(plain(name), plain(value))
    for name, figure in score.figures.items():
        table.add_row(plain(name), str(figure), str(score.subsets.get(name, "")))
    return table
