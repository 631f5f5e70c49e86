"""`fathom probe FILE`: measures a judge's biases, and writes a reliability card."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fathom.cli._failures import FailOn
from fathom.cli._options import DryRun, File, with_settings
from fathom.cli._verb import Force
from fathom.errors import FathomError
from fathom.settings import JudgingSettings, SourceSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fathom.data.records import Comparison


@with_settings
def command(
    file: File,
    settings: JudgingSettings,
    source: SourceSettings,
    out: Annotated[Path, typer.Option(help="Write the card, its rows and settings to this folder.")],
    probe: Annotated[list[str], typer.Option(help="A probe to run; repeat for more. Default: all.")] = [],  # noqa: B006
    authors: Annotated[
        str | None, typer.Option(help="Columns with the authors of the responses, such as chosen_model,rejected_model.")
    ] = None,
    own: Annotated[
        str | None, typer.Option(help="The name of the judge's own model in the columns of --authors.")
    ] = None,
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Measure a judge's biases: position, length, formatting, empty answers, injected verdicts.

        fathom probe pairs.jsonl --model runs/sft --limit 200 --out cards/sft
        fathom probe pairs.jsonl --engine openai --base-url http://localhost:8000/v1 --model Qwen/Qwen3-32B \\
            --probe keys --probe position --out cards/qwen

    Each comparison is judged unchanged and in about twenty variations, in both orders. OUT/card.html shows the results;
    OUT/card.json and OUT/card.md have the same content. All are computed from the verdicts in OUT/rows.jsonl. To resume
    an interrupted run, repeat the command.
    """
    from fathom import probes
    from fathom.cli._dry_run import judged
    from fathom.cli._judging import claim_rows, describe, finish, opened, read, write
    from fathom.judging import write_verdicts
    from fathom.metrics.verdicts import Tally, summary
    from fathom.probes.reliability_card import write as write_card
    from fathom.results import runs

    chosen = {name: probes.find(name) for name in probe or probes.names()}
    if (authors is None) != (own is None):
        given, lacking = ("--own", "--authors") if authors is None else ("--authors", "--own")
        raise FathomError(
            f"{given} needs {lacking} as well: --authors takes the columns with the models' names, --own the name "
            "of the judge's own model"
        )
    rows = out / "rows.jsonl"
    cards = (out / f"card.{ending}" for ending in ("json", "md", "html"))
    claim = claim_rows(rows, settings.engine.journal, *cards)
    comparisons, inputs = read(file, settings, source)
    asked = [
        each
        for comparison in _with_authors(comparisons, authors, own)
        for each in probes.with_variations(comparison, chosen)
    ]
    if dry_run:
        return judged(settings, asked, rows, pairs_alone=True)
    config = source.model_dump() | {"file": file, "probe": list(chosen), "authors": authors, "own": own}
    run = opened(settings, comparisons, inputs, rows, config, claim=claim, total=len(asked))
    tallies: dict[str, Tally] = {}
    write(run, "judged", partial(write_verdicts, run.session.in_both_orders, asked, tallies=tallies))
    describe(run, summary(tallies))
    _show(write_card(runs.open(rows), out))
    typer.echo(out / "card.html")
    finish(run, fail_on)


def _with_authors(comparisons: Any, authors: str | None, own: str | None) -> Iterator[Comparison]:
    from fathom.probes import mark_own_response

    for comparison in comparisons:
        yield comparison if authors is None or own is None else mark_own_response(comparison, authors.split(","), own)


def _show(card: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("probe", "measure", "estimate", "target", "n", title="reliability card")
    for probe in card["probes"].values():
        for measure in probe["measures"]:
            target = "" if measure["target"] is None else f"{measure['target']:g}"
            style = "bold" if measure["on_target"] is False else ""
            interval = _format_interval(measure)
            table.add_row(probe["title"], measure["name"], interval, target, str(measure["n"]), style=style)
        table.add_section()
    Console(stderr=True).print(table)


def _format_interval(measure: Mapping[str, Any]) -> str:
    from fathom.metrics.intervals import Interval

    bounds = measure["mean"], measure["low"], measure["high"]
    return "not measured" if None in bounds else str(Interval(*bounds))
