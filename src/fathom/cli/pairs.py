"""`fathom pairs FILE`: data for DPO, the best response of every comparison against the worst."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fathom.cli._failures import FailOn
from fathom.cli._options import DryRun, File, Out, PairOutcome, with_settings
from fathom.cli._verb import Force
from fathom.settings import JudgingSettings, SourceSettings

if TYPE_CHECKING:
    from fathom.ranking.preferences import LeftOut


@with_settings
def command(
    file: File,
    settings: JudgingSettings,
    source: SourceSettings,
    min_margin: Annotated[
        float,
        typer.Option(min=0, max=1_000_000, help="Skip rows whose margin between best and worst is less than this."),
    ] = 0,
    ties: Annotated[
        Literal["skip", "first"],
        typer.Option(help="If several share the best or worst score, skip the row or take the first."),
    ] = "skip",
    min_probability: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Skip rows in which less than this share of the votes prefers the best to the worst."
        ),
    ] = 0,
    pair_outcome: PairOutcome = "verdict",
    out: Out = None,
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Make preference data for DPO: the response with most wins is chosen, the one with fewest is rejected.

        fathom pairs answers.jsonl --model runs/sft --min-margin 2 --out preferences.jsonl

    Each row of the file has a prompt and two or more responses; all pairs of them are judged. The output has TRL's
    preference layout (prompt, chosen, rejected), and for each row the margin, the votes, the indices of the two
    responses, the id, and the source's other columns. A comparison is left out, and counted on stderr, if a pair could
    not be parsed, or if several responses share the best or the worst score. With several votes per pair,
    `--pair-outcome votes` makes shared scores rarer.
    """
    from fathom.cli._dry_run import ranked as planned
    from fathom.cli._figures import tokens_text
    from fathom.cli._judging import claim_rows, describe, finish, opened, read, rows_of, space_of, write
    from fathom.judging import PreferenceCounts, write_preferences
    from fathom.ranking import check, rank
    from fathom.ranking.preferences import preference
    from fathom.ranking.reducers import wins
    from fathom.ranking.schedules import round_robin
    from fathom.results.rows import tokens_of_usage

    claim = claim_rows(out, settings.engine.journal, space=space_of(file, source.limit))
    comparisons, inputs = read(file, settings, source, check)
    if dry_run:
        return planned(settings, comparisons, out, "round-robin")
    config = source.model_dump() | {"file": file, "min_margin": min_margin, "ties": ties}
    config |= {"min_probability": min_probability, "pair_outcome": pair_outcome}
    run = opened(settings, comparisons, inputs, out, config, claim=claim, total=rows_of(file, source.limit))
    ranked = partial(rank, run.session.reward_model, schedule=round_robin, reduce=wins, tells=pair_outcome)
    prefer = partial(preference, ties=ties, min_margin=min_margin, min_probability=min_probability)
    counts = PreferenceCounts()
    write(run, "comparisons", partial(write_preferences, ranked, prefer, comparisons, counts=counts))
    reasons = _REASONS | ({"probability": "below the probability"} if min_probability else {})
    left_out = ", ".join(f"{counts.left_out[reason]} {words}" for reason, words in reasons.items())
    total = counts.written + counts.left_out.total()
    typer.echo(f"{counts.written} preferences of {total} comparisons; left out: {left_out}", err=True)
    typer.echo(f"prompt, completion tokens: {tokens_text(counts.usage)}", err=True)
    describe(
        run,
        {
            "counts": {"written": counts.written} | dict[str, int](counts.left_out),
            "tokens": tokens_of_usage(counts.usage),
        },
    )
    finish(run, fail_on)


_REASONS: dict[LeftOut, str] = {
    "missing": "with a pair that could not be read",
    "tie": "tied",
    "margin": "below the margin",
}
"""By reason; rankings below --min-probability are listed only where that option is given."""
