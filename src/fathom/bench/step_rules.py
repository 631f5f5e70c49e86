"""Baselines of benchmarks of steps: rows rewritten as if a rule that reads no step had scored the steps.

benchmark.point(scored(row, longest) for row in rows)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from fathom import judges
from fathom.metrics.step_baselines import StepRule
from fathom.rationale import Status
from fathom.results.rows import Row, VerdictRow, to_comparison, to_row


def scored(row: Row, rule: StepRule) -> VerdictRow:
    """The row with the rule's vote; without one if the rule does not apply."""
    scores = rule(row)
    vote = judges.Vote(Status.MISSING, order=(0,))
    if scores is not None:
        vote = judges.Vote(Status.OK, step_scores=(tuple(scores),), order=(0,))
    return to_row(to_comparison(row), judges.Rule(aggregate="mean")([vote], threshold=0.5))


def baselines(*rules: StepRule) -> Mapping[str, Callable[[Row], Row]]:
    """The rules by name, for `Benchmark.baselines`."""
    return {rule.__name__: partial(scored, rule=rule) for rule in rules}
