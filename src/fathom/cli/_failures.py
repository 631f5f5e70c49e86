"""`--fail-on`: the message and the exit code of a run with failed rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.errors import FathomError, IncompleteRunError

if TYPE_CHECKING:
    from fathom.engines import EngineError
    from fathom.judging import RowOutcome


def _fail_on(text: str) -> str:
    try:
        share = float(text)
    except ValueError:
        share = 0.0 if text in ("any", "all", "never") else -1.0
    if not 0 <= share < 1:
        raise typer.BadParameter(f"{text!r}: expected any, all, never, or a share of the rows below 1, such as 0.01")
    return text


FailOn = Annotated[
    str,
    typer.Option(
        help="Exit with code 3 if any row failed, if all failed, never, or if more than this share failed.",
        parser=_fail_on,
        metavar="any|all|never|SHARE",
    ),
]


@dataclass
class RowCounts:
    """The number of rows written so far, and of those with a failed call. `first` is the id of the first of these."""

    rows: int = 0
    failed: int = 0
    without_verdict: int = 0
    first: str = ""

    def add(self, outcome: RowOutcome) -> None:
        self.rows += 1
        self.failed += outcome.failed
        self.first = self.first or (outcome.id if outcome.failed else "")
        self.without_verdict += outcome.failed and not outcome.parsed


def check_failures(counts: RowCounts, fail_on: str, last: EngineError | None, *, completed: int) -> None:
    """Report failed rows on stderr. `last`: the last failed call; `completed`: the number of successful calls.

    The report advises to repeat the command, unless all failures are about texts that the model cannot read. Raises
    FathomError if no call succeeded, and IncompleteRunError if more rows failed than --fail-on allows.
    """
    if not counts.failed:
        return
    nothing = not completed and counts.failed == counts.rows
    what = "every call failed" if nothing else _how_many(counts)
    first = f"; first failed row: {counts.first}" if counts.first else ""
    message = f"{what}{f'; last error: {last}' if last else ''}{first}; {_what_to_do(last, fail_on)}"
    if _too_many(counts, fail_on):
        raise (FathomError if nothing else IncompleteRunError)(message)
    typer.secho(f"fathom: {message}", err=True, fg="yellow")


def check_kept(warning: str | None, fail_on: str) -> None:
    """Print a warning that nothing was kept. Raises IncompleteRunError with it instead, unless --fail-on is never."""
    if warning and fail_on != "never":
        raise IncompleteRunError(warning)
    if warning:
        typer.secho(f"fathom: {warning}", err=True, fg="yellow")


def _what_to_do(last: EngineError | None, fail_on: str) -> str:
    if last is None or last.kind != "text":
        return "repeat the command to retry"
    accept = "" if fail_on == "never" else ", so give --fail-on never to accept rows without a verdict"
    return f"the same command would fail again{accept}"


def _how_many(counts: RowCounts) -> str:
    kept = counts.failed - counts.without_verdict
    verdicts = f" ({kept} of them have a verdict of their other votes)" if kept else ""
    return f"{counts.failed} of {counts.rows} rows failed{verdicts}"


def _too_many(counts: RowCounts, fail_on: str) -> bool:
    if fail_on == "never":
        return False
    if fail_on == "all":
        return counts.failed == counts.rows
    return counts.failed > (0 if fail_on == "any" else float(fail_on) * counts.rows)
