"""Finished runs of several judges on one source, as the run of a panel of these judges.

panel = combine({"a": runs.open("a.jsonl").rows(), "b": ..., "c": ...}, Rule())
write_jsonl(Path("panel.jsonl"), panel.rows)
panel.missing                                # items that some judge does not have
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Rule, Vote
from fathom.rationale import Status
from fathom.results.rows import Row, VerdictRow, counted_votes, to_comparison, to_row, tokens, usage
from fathom.voting.panel import PANEL_THRESHOLD, above, combined, shares


@dataclass(frozen=True)
class PanelRun:
    rows: Sequence[VerdictRow]
    """Verdict rows, in the order of the first run; their votes have the key `judge` besides."""
    missing: int
    """Items that are not in every run; they are in no row."""


def combine(runs: Mapping[str, Iterable[Row]], rule: Rule) -> PanelRun:
    """One row for each item that all runs have.

    Responses that a run has in another order are matched by their text. Raises FathomError for fewer than two runs,
    rankings, an id that occurs twice, items whose prompts or responses differ, runs without a common item, and scores
    that are to be averaged where a run has none.
    """
    if len(runs) < 2:
        raise FathomError(f"a panel takes 2 runs or more; got {', '.join(runs) or 'none'}")
    by_id = {name: _by_id(name, rows) for name, rows in runs.items()}
    first, *others = by_id.values()
    shared = [id for id in first if all(id in rows for rows in others)]
    if not shared:
        ids = ", ".join(repr(next(iter(rows), None)) for rows in by_id.values())
        raise FathomError(f"the runs have no item in common; ids are, for example, {ids}. Give runs on one source")
    every = set().union(*by_id.values())
    rows = [_row({name: found[id] for name, found in by_id.items()}, rule) for id in shared]
    return PanelRun(rows, len(every) - len(shared))


def _by_id(name: str, rows: Iterable[Row]) -> dict[str, VerdictRow]:
    found: dict[str, VerdictRow] = {}
    for row in rows:
        if "pairs" in row:
            raise FathomError(f"{name}: row {row['id']!r} is a ranking; a panel takes verdicts, as fathom judge writes")
        if row["id"] in found:
            raise FathomError(f"{name}: has the id {row['id']!r} twice; items are matched by id")
        found[row["id"]] = row
    return found


def _row(judged: Mapping[str, VerdictRow], rule: Rule) -> VerdictRow:
    first = next(iter(judged.values()))
    votes = [_vote(name, row, first) for name, row in judged.items()]
    try:
        verdict = combined(votes, rule)
    except ValueError as error:
        raise FathomError(f"item {first['id']!r}: {error}; --aggregate majority takes every judge") from error
    threshold = PANEL_THRESHOLD if len(first["responses"]) == 1 else None
    row = to_row(to_comparison(first), replace(verdict, threshold=threshold))
    for name, vote in zip(judged, row["votes"], strict=True):
        vote["judge"] = name
    # The orders of votes are those of the runs, and no judge was asked twice.
    return {**row, "flip_rate": None, "tokens": tokens(sum(map(usage, judged.values()), Usage()))}


def _vote(name: str, row: VerdictRow, first: VerdictRow) -> Vote:
    """The row's verdict as a vote on the responses as the first run has them."""
    order = _order(name, row, first)
    places = tuple(range(len(order)))
    if row["status"] != "ok" or row["scores"] is None:
        return Vote(Status(row["status"]), order=places, error=f"{name} has no verdict: {row['status']}")
    counted = row["rule"]["aggregate"] == "majority"
    scores = shares(row["scores"], len(counted_votes(row))) if counted else above(row["scores"], row["threshold"])
    return Vote(Status.OK, row["winner"], scores, places).unpermuted(order)


def _order(name: str, row: VerdictRow, first: VerdictRow) -> tuple[int, ...]:
    """For each response of a row, the place of the same one in the first run's row."""
    if row["prompt"] != first["prompt"]:
        raise FathomError(
            f"{name}: item {row['id']!r} has another prompt than in the first run; are ids those of one source?"
        )
    if row["responses"] == first["responses"]:
        return tuple(range(len(row["responses"])))
    if sorted(row["responses"]) != sorted(first["responses"]) or len(set(row["responses"])) < len(row["responses"]):
        raise FathomError(f"{name}: item {row['id']!r} has other responses than in the first run")
    return tuple(first["responses"].index(response) for response in row["responses"])
