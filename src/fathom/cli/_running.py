"""How a verb's long work ends: what is kept and how to go on, in one line, whatever stopped it."""

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
    """Turns what stops a run into one message that says what is kept in the journal and how to go on.

    Raises RunInterruptedError at Ctrl-C, and FathomError where a bound was met, where no further call would go well, or
    where `out` could not be written.
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
        return "nothing was kept: --out or --journal keeps it"
    return f"what is finished is in {journal}: give the same command again to go on"


def spent_in_words(metered: Metered, journal: Path | None) -> str:
    """The last line of a run: what it spent, and what all runs on its journal did, where it is not the only one."""
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
    """What a run records of its spending, and of that of all runs on its journal, its own included.

    What a run finds in the journal was spent by another. Where calls reported no usage, the counts are a lower bound,
    or None, and `unknown_calls` says how many those are.
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
