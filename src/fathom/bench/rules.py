"""What rules without a judge would score: rows as they would be had a rule given the verdicts.

    benchmark.score(ruled(row, longest) for row in rows)

The official score of these is what a judge must beat to have shown anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fathom.bench.outcomes import Row

Rule = Callable[[Sequence[str]], list[float]]
"""Scores of responses in the order in which they are shown."""


def first(responses: Sequence[str]) -> list[float]:
    return [float(place == 0) for place in range(len(responses))]


def longest(responses: Sequence[str]) -> list[float]:
    return [float(len(response)) for response in responses]


def shortest(responses: Sequence[str]) -> list[float]:
    return [-float(len(response)) for response in responses]


RULES: Mapping[str, Rule] = {"first": first, "longest": longest, "shortest": shortest}


def ruled(row: Row, rule: Rule) -> Row:
    """The row with the rule's votes on its responses as they stand and in reverse, and the verdict of both."""
    places = list(range(len(row["responses"])))
    votes = [_vote(row, rule, order) for order in (places, places[::-1])]
    scores = [sum(vote["scores"][place] for vote in votes) / 2 for place in places]
    winner = _winner(scores)
    told = {"status": "ok", "winner": winner, "scores": scores, "votes": votes, "correct": winner == row["label"]}
    return {name: value for name, value in row.items() if name != "pairs"} | told


def _vote(row: Row, rule: Rule, order: Sequence[int]) -> Row:
    shown = rule([row["responses"][place] for place in order])
    scores = [shown[order.index(place)] for place in range(len(order))]
    return {"status": "ok", "winner": _winner(scores), "scores": scores, "order": order}


def _winner(scores: Sequence[float]) -> int | None:
    return scores.index(max(scores)) if scores.count(max(scores)) == 1 else None
