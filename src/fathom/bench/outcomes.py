"""What a row of results says, for scores: verdict rows and ranking rows alike.

    >>> credit({"status": "ok", "winner": 0, "label": 0, "votes": []}, tie=0.5, unparsed=0.0)
    1.0

Nothing here decides what an unparsed verdict counts for. The benchmark does, by its official rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from fathom.rationale import Status
from fathom.results.rows import Row, VoteRow


def status(row: Row) -> str:
    """A verdict's status; but `failed` where the engine failed on all votes in one order of a pair, because official
    rules take both. A ranking's is `failed` where the engine failed on any of its pairs, and `ok` where it has an
    order; else it is that of its first pair.
    """
    if "pairs" not in row:
        return str(Status.FAILED if _an_order_failed(row["votes"]) else row["status"])
    states = [str(pair["status"]) for pair in row["pairs"]]
    if Status.FAILED in states:
        return str(Status.FAILED)
    return "ok" if row["order"] else states[0]


def _an_order_failed(votes: Iterable[VoteRow]) -> bool:
    failed: dict[tuple[int, ...], bool] = {}
    for vote in votes:
        order = tuple(vote["order"])
        failed[order] = failed.get(order, True) and vote["status"] == Status.FAILED
    return any(all_failed for order, all_failed in failed.items() if len(order) == 2)


def unit(row: Row) -> str:
    """What names the rows that one official value is computed of: a group of the benchmark, or the row alone."""
    return str(row["metadata"].get("group", row["id"]))


def credit(row: Row, *, tie: float, unparsed: float) -> float:
    """1 for naming the labelled response alone, 0 for naming another, and what the rule says for the rest."""
    if status(row) != "ok":
        return unparsed
    return tie if row["winner"] is None else float(row["winner"] == row["label"])


def in_order(row: Row, first: int) -> VoteRow | None:
    """The first vote, of those that came, that was shown response `first` in the first place; None for none."""
    votes = (vote for vote in _votes(row) if vote["status"] != Status.FAILED)
    return next((vote for vote in votes if list(vote["order"])[:1] == [first]), None)


def right_in_orders(row: Row) -> float:
    """The share of the orders shown in which the first vote names the label; a tie and an unparsed vote do not."""
    votes = [vote for vote in (in_order(row, 0), in_order(row, 1)) if vote is not None]
    return mean(vote["winner"] == row["label"] for vote in votes)


def scores(row: Row) -> list[float] | None:
    """One score a response: the mean of what parsed votes gave it, or else what the verdict or ranking says.

    So a judge that names winners has the votes for each response as its scores. None where nothing could be read; a
    response that alone could not be placed has minus infinity.
    """
    told = [vote["scores"] for vote in _votes(row) if vote["status"] == "ok" and vote["scores"] is not None]
    if told:
        return [mean(values) for values in zip(*told, strict=True)]
    if status(row) != "ok" or row["scores"] is None:
        return None
    return [-inf if score is None else float(score) for score in row["scores"]]


def _votes(row: Row) -> Sequence[VoteRow]:
    """Of a verdict; none of a ranking, whose votes are on pairs."""
    return () if "pairs" in row else row["votes"]


def has_scores(row: Row) -> bool:
    """Whether a vote of a verdict scored the responses."""
    return any(vote["scores"] is not None for vote in _votes(row))


def source_first(row: Row, values: Sequence[float]) -> list[float]:
    """Values of responses, in the order in which the source has these."""
    order = row["source_order"] or range(len(values))
    return [value for _, value in sorted(zip(order, values, strict=True))]


def in_subset(row: Row, right: float, whole: str = "accuracy") -> list[tuple[str, float]]:
    """The same value of the whole benchmark, under that name, and of the row's subset."""
    return [(whole, right), (row["metadata"]["subset"], right)]


def mean(values: Iterable[float]) -> float:
    """Raises ZeroDivisionError for no values."""
    found = list(values)
    return sum(found) / len(found)
