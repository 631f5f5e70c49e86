"""Baselines on official scores: rows rewritten as if a rule that reads no response had judged them.

    benchmark.score(ruled(row, longest) for row in rows)

A judge has to beat the official scores of these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from fathom import judges
from fathom.rationale import Status
from fathom.results.rows import Row, VerdictRow, to_comparison, to_row

BaselineRule = Callable[[Sequence[str]], list[float]]
"""Maps the responses, in the order shown, to scores."""


def first(responses: Sequence[str]) -> list[float]:
    return [float(place == 0) for place in range(len(responses))]


def longest(responses: Sequence[str]) -> list[float]:
    return [float(len(response)) for response in responses]


def shortest(responses: Sequence[str]) -> list[float]:
    return [-float(len(response)) for response in responses]


RULES: Mapping[str, BaselineRule] = {"first": first, "longest": longest, "shortest": shortest}


def ruled(row: Row, rule: BaselineRule) -> VerdictRow:
    """The row with the rule's votes on its responses in both orders, and the verdict of these votes."""
    comparison = to_comparison(row)
    places = tuple(range(len(comparison.responses)))
    votes = [_vote(comparison.responses, rule, order) for order in (places, places[::-1])]
    return to_row(comparison, judges.Rule(aggregate="mean")(votes))


def _vote(responses: Sequence[str], rule: BaselineRule, order: tuple[int, ...]) -> judges.Vote:
    scores = tuple(rule([responses[place] for place in order]))
    vote = judges.Vote(Status.OK, judges.unique_argmax(scores), scores, tuple(range(len(order))))
    return vote.unpermuted(order)


BASELINES: Mapping[str, Callable[[Row], Row]] = {name: partial(ruled, rule=rule) for name, rule in RULES.items()}
"""The rules for benchmarks that compare responses."""
