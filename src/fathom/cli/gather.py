"""`fathom gather FILE`: verdicts from the results of a batch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._failures import FailOn
from fathom.cli._figures import VERDICTS
from fathom.cli._options import File, Out, with_settings
from fathom.cli._verb import Force
from fathom.settings import JudgingSettings, SourceSettings


@with_settings
def command(
    file: File,
    results: Annotated[
        list[Path],
        typer.Option(help="An output file or error file of a batch; repeat for several.", exists=True, dir_okay=False),
    ],
    settings: JudgingSettings,
    source: SourceSettings,
    out: Out = None,
    fail_on: FailOn = "any",
    force: Force = False,
) -> None:
    """Write the verdicts that fathom judge would write, from the results of the requests of fathom plan.

        fathom gather pairs.jsonl --results results.jsonl --engine openai --model gpt-4.1-mini --out verdicts.jsonl

    The options must be those of fathom plan. Results may come in any order and number. Completions are stored in the
    journal. A call that failed, or has no result, is a failed vote, never a score; fathom plan with the journal makes
    a batch of these calls.
    """
    from fathom.cli._judging import claim_rows, describe, finish, opened, read, rows_of, show, space_of, write
    from fathom.engines.batch_files import BatchEngine, Results, batch_engine
    from fathom.judging import write_verdicts
    from fathom.metrics.verdicts import Tally, summary

    claim = claim_rows(out, settings.engine.journal, space=space_of(file, source.limit))
    comparisons, inputs = read(file, settings, source)
    engine = BatchEngine(batch_engine(settings.engine), Results(results))
    config = source.model_dump() | {"file": file}
    total = rows_of(file, source.limit)
    run = opened(settings, comparisons, inputs, out, config, claim=claim, total=total, engine=engine)
    tallies: dict[str, Tally] = {}
    write(run, "gathered", partial(write_verdicts, run.session.reward_model, comparisons, tallies=tallies))
    show("verdicts", tallies, VERDICTS)
    describe(run, summary(tallies))
    typer.echo(str(engine.results), err=True)
    finish(run, fail_on)
