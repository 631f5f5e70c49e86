"""Finished runs of several judges on one source, as the run of a panel of these judges.

panel = combine({"a": runs.open("a.jsonl").rows(), "b": ..., "c": ...}, Rule())
write_jsonl(Path("panel.jsonl"), panel.rows)
panel.missing                                # items that some judge does not have
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Rule, Vote
from fathom.judging import vote_row
from fathom.rationale import Status
from fathom.results.rows import correct, deciding, threshold, tokens, usage
from fathom.voting.panel import PANEL_THRESHOLD, above, combined, shares

Row = Mapping[str, Any]


@dataclass(frozen=True)
class PanelRun:
    rows: Sequence[dict[str, Any]]
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


def _by_id(name: str, rows: Iterable[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        if "votes" not in row:
            raise FathomError(f"{name}: row {row['id']!r} is a ranking; a panel takes verdicts, as fathom judge writes")
        if row["id"] in found:
            raise FathomError(f"{name}: has the id {row['id']!r} twice; items are matched by id")
        found[row["id"]] = row
    return found


def _row(judged: Mapping[str, Row], rule: Rule) -> dict[str, Any]:
    first = next(iter(judged.values()))
    votes = [_vote(name, row, first) for name, row in judged.items()]
    try:
        verdict = combined(votes, rule)
    except ValueError as error:
        raise FathomError(f"item {first['id']!r}: {error}; --aggregate majority takes every judge") from error
    made = {
        **first,
        "status": str(verdict.status),
        "winner": verdict.winner,
        "scores": verdict.scores,
        "threshold": PANEL_THRESHOLD if len(first["responses"]) == 1 else None,
        "agreement": verdict.agreement,
        "flip_rate": None,
        "rule": {"aggregate": rule.aggregate, "invalid": rule.invalid, "ties": rule.ties},
        "tokens": tokens(sum(map(usage, judged.values()), Usage())),
        "votes": [{**vote_row(vote), "judge": name} for name, vote in zip(judged, votes, strict=True)],
    }
    return made | {"correct": correct(made)}


def _vote(name: str, row: Row, first: Row) -> Vote:
    """The row's verdict as a vote on the responses as the first run has them."""
    order = _order(name, row, first)
    places = tuple(range(len(order)))
    if row["status"] != "ok":
        return Vote(Status(row["status"]), order=places, error=f"{name} has no verdict: {row['status']}")
    counted = row["rule"]["aggregate"] == "majority"
    scores = shares(row["scores"], len(deciding(row))) if counted else above(row["scores"], threshold(row))
    return Vote(Status.OK, row["winner"], scores, places).seen_in(order)


def _order(name: str, row: Row, first: Row) -> tuple[int, ...]:
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
