"""Ends long runs with one line that says why they stopped, what is kept and how to resume."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.errors import FathomError, RunInterruptedError

if TYPE_CHECKING:
    from fathom.engines.ledger import Spent
    from fathom.engines.metering import Metered


@contextmanager
def resumable(journal: Path, out: Path | None = None) -> Iterator[None]:
    """Turn errors that stop a run into one message with the journal's path and how to resume.

    Raises RunInterruptedError for Ctrl-C, and FathomError if a bound was reached, if no further call would succeed, or
    if `out` could not be written.
    """
    from fathom.engines import RunStoppedError
    from fathom.engines.metering import SpentError

    try:
        yield
    except KeyboardInterrupt:
        raise RunInterruptedError(f"stopped; {_how_to_go_on(journal)}") from None
    except SpentError as error:
        raise FathomError(f"stopped: {error}; {_how_to_go_on(journal)}, with a higher bound") from None
    except RunStoppedError as error:
        raise FathomError(f"stopped: {error}; {_how_to_go_on(journal)}") from None
    except OSError as error:
        if out is None:
            raise
        raise FathomError(f"cannot write {out}: {error}; {_how_to_go_on(journal)}") from error


def _how_to_go_on(journal: Path) -> str:
    if journal.name == ":memory:":
        return "no completion was saved; give --out or --journal to save them"
    return f"finished completions are in {journal}: repeat the command to resume"


def spent_in_words(metered: Metered, journal: Path | None) -> str:
    """The last line of a run: its spending, and that of all runs on its journal if there were several."""
    by_all = _by_all(journal)
    more = f"; by all {by_all.runs} runs on {journal}: {_in_words(by_all)}" if by_all and by_all.runs > 1 else ""
    if metered.prefix_cache_share is None:
        return f"spent by this run: nothing, all completions were in the journal{more}"
    shared = f"{metered.prefix_cache_share:.0%} of the prompts' text can be cached as prefixes"
    return f"spent by this run: {metered}; {shared}{more}"


def _in_words(spent: Spent) -> str:
    from fathom.engines.metering import cost_in_words

    cost = cost_in_words(spent.cost)
    if spent.usage.unknown_calls:
        return f"{spent.usage}, {cost}"
    return f"{spent.usage.tokens:,} tokens, {cost}"


def _by_all(journal: Path | None) -> Spent | None:
    from fathom.engines.ledger import spent_by_all

    return spent_by_all(journal) if journal else None


def spending(metered: Metered, journal: Path | None) -> dict[str, Any]:
    """The `spent` record of OUT.meta.json: this run, and all runs on its journal including this one.

    Completions found in the journal were paid for by earlier runs. If calls reported no usage, token counts are lower
    bounds or None, and `unknown_calls` counts those calls.
    """
    from fathom.results.rows import reported

    estimated = {"estimated_tokens": metered.estimated.tokens, "estimated_cost": metered.estimated_cost}
    by_all = _by_all(journal)
    return {
        "this_run": {
            **reported(metered.usage),
            "cost": metered.cost,
            **(estimated if metered.usage.unknown_calls else {}),
            "prefix_cache_share": metered.prefix_cache_share,
        },
        "all_runs": by_all and {"runs": by_all.runs, **reported(by_all.usage), "cost": by_all.cost},
    }
