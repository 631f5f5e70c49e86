"""Functions of result rows that official scores are made of; rows may be verdicts or rankings.

    >>> credit({"status": "ok", "winner": 0, "label": 0, "votes": []}, tie=0.5, unparsed=0.0)
    1.0

How ties and unparsed verdicts count is decided by each benchmark, by its official rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from fathom.rationale import Status
from fathom.results.rows import Row, VoteRow


def scoring_status(row: Row) -> str:
    """The status of a row for scoring.

    A verdict on a pair is `failed` if all votes in one order failed, because official rules need both orders. A ranking
    is `failed` if any of its pairs failed, `ok` if it has an order, and otherwise has the status of its first pair.
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
    """The key of the rows that are scored together: the benchmark's group, or else the row's id."""
    return str(row["metadata"].get("group", row["id"]))


def credit(row: Row, *, tie: float, unparsed: float) -> float:
    """1 if the winner is the labelled response, 0 if it is another one, `tie` for a tie, `unparsed` without verdict."""
    if scoring_status(row) != "ok":
        return unparsed
    return tie if row["winner"] is None else float(row["winner"] == row["label"])


def in_order(row: Row, first: int) -> VoteRow | None:
    """The first vote that did not fail and was shown response `first` first; None if there is none."""
    votes = (vote for vote in _votes(row) if vote["status"] != Status.FAILED)
    return next((vote for vote in votes if list(vote["order"])[:1] == [first]), None)


def right_in_orders(row: Row) -> float:
    """The share of orders in which the first vote names the label; ties and unparsed votes are wrong."""
    votes = [vote for vote in (in_order(row, 0), in_order(row, 1)) if vote is not None]
    return mean(vote["winner"] == row["label"] for vote in votes)


def scores(row: Row) -> list[float] | None:
    """One score per response: the mean over parsed votes if they have scores, else that of the verdict or ranking.

    For a judge that names winners, the score is thus the number of votes for a response. None without a verdict. A
    response that a ranking could not place has minus infinity.
    """
    by_vote = [vote["scores"] for vote in _votes(row) if vote["status"] == "ok" and vote["scores"] is not None]
    if by_vote:
        return [mean(values) for values in zip(*by_vote, strict=True)]
    if scoring_status(row) != "ok" or row["scores"] is None:
        return None
    return [-inf if score is None else float(score) for score in row["scores"]]


def _votes(row: Row) -> Sequence[VoteRow]:
    """The votes of a verdict; empty for a ranking, whose votes belong to its pairs."""
    return () if "pairs" in row else row["votes"]


def has_scores(row: Row) -> bool:
    """Whether any vote of a verdict has scores."""
    return any(vote["scores"] is not None for vote in _votes(row))


def source_first(row: Row, values: Sequence[float]) -> list[float]:
    """Values per response, reordered to the order of the source."""
    order = row["source_order"] or range(len(values))
    return [value for _, value in sorted(zip(order, values, strict=True))]


def in_subset(row: Row, right: float, whole: str = "accuracy") -> list[tuple[str, float]]:
    """The value under the name of the overall score, and under the name of the row's subset."""
    return [(whole, right), (row["metadata"]["subset"], right)]


def mean(values: Iterable[float]) -> float:
    """The mean. Raises ZeroDivisionError without values."""
    numbers = list(values)
    return sum(numbers) / len(numbers)
