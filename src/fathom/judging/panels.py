"""Combine finished runs of several judges on one source into the run of a panel.

panel = combine({"a": runs.open("a.jsonl").rows(), "b": ..., "c": ...}, Rule())
write_jsonl(Path("panel.jsonl"), panel.rows)
panel.missing                                # the number of items that are not in every run
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Rule, Vote
from fathom.rationale import Status
from fathom.results.rows import Row, VerdictRow, counted_votes, to_comparison, to_row, tokens_of_usage, usage
from fathom.voting.panel import PANEL_THRESHOLD, above, combined, shares


@dataclass(frozen=True)
class PanelRun:
    rows: Sequence[VerdictRow]
    """Verdict rows in the order of the first run. Each vote has the additional key `judge`."""
    missing: int
    """The number of items that are not in every run, for which there is no row."""


def combine(runs: Mapping[str, Iterable[Row]], rule: Rule) -> PanelRun:
    """Combine the verdicts of the runs by a rule; one row per item that is in all runs.

    If the runs have the responses in different orders, responses are matched by text. Raises FathomError for fewer than
    two runs, rankings, duplicate ids, items whose prompts or responses differ, runs without a common item, and a rule
    that averages scores if a run has none.
    """
    if len(runs) < 2:
        raise FathomError(f"a panel needs at least 2 runs; got {', '.join(runs) or 'none'}")
    by_id = {name: _by_id(name, rows) for name, rows in runs.items()}
    first, *others = by_id.values()
    shared = [id for id in first if all(id in rows for rows in others)]
    if not shared:
        ids = ", ".join(repr(next(iter(rows), None)) for rows in by_id.values())
        raise FathomError(f"the runs have no item in common (ids are, for example, {ids}); expected runs on one source")
    every = set().union(*by_id.values())
    rows = [_row({name: rows[id] for name, rows in by_id.items()}, rule) for id in shared]
    return PanelRun(rows, len(every) - len(shared))


def _by_id(name: str, rows: Iterable[Row]) -> dict[str, VerdictRow]:
    by_id: dict[str, VerdictRow] = {}
    for row in rows:
        if "pairs" in row:
            raise FathomError(f"{name}: row {row['id']!r} is a ranking; expected verdicts of fathom judge")
        if row["id"] in by_id:
            raise FathomError(f"{name}: has the id {row['id']!r} twice; expected unique ids, because they match items")
        by_id[row["id"]] = row
    return by_id


def _row(judged: Mapping[str, VerdictRow], rule: Rule) -> VerdictRow:
    first = next(iter(judged.values()))
    votes = [_vote(name, row, first) for name, row in judged.items()]
    try:
        verdict = combined(votes, rule)
    except ValueError as error:
        raise FathomError(f"item {first['id']!r}: {error}; --aggregate majority works with every judge") from error
    threshold = PANEL_THRESHOLD if len(first["responses"]) == 1 else None
    row = to_row(to_comparison(first), replace(verdict, threshold=threshold))
    for name, vote in zip(judged, row["votes"], strict=True):
        vote["judge"] = name
    # The votes are of different judges, so their orders say nothing about position bias.
    return {**row, "flip_rate": None, "tokens": tokens_of_usage(sum(map(usage, judged.values()), Usage()))}


def _vote(name: str, row: VerdictRow, first: VerdictRow) -> Vote:
    """The row's verdict as one vote of the panel, on the responses in the order of the first run."""
    order = _order(name, row, first)
    places = tuple(range(len(order)))
    if row["status"] != "ok" or row["scores"] is None:
        return Vote(Status(row["status"]), order=places, error=f"{name} has no verdict: {row['status']}")
    counted = row["rule"]["aggregate"] == "majority"
    scores = shares(row["scores"], len(counted_votes(row))) if counted else above(row["scores"], row["threshold"])
    return Vote(Status.OK, row["winner"], scores, places).unpermuted(order)


def _order(name: str, row: VerdictRow, first: VerdictRow) -> tuple[int, ...]:
    """The position in the first run's row of each response of a row."""
    if row["prompt"] != first["prompt"]:
        raise FathomError(
            f"{name}: the prompt of item {row['id']!r} differs from the first run; expected runs on one source"
        )
    if row["responses"] == first["responses"]:
        return tuple(range(len(row["responses"])))
    if sorted(row["responses"]) != sorted(first["responses"]) or len(set(row["responses"])) < len(row["responses"]):
        raise FathomError(
            f"{name}: the responses of item {row['id']!r} differ from the first run; expected runs on one source"
        )
    return tuple(first["responses"].index(response) for response in row["responses"])
