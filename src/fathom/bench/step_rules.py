"""Baselines of benchmarks of steps: rows rewritten as if a rule that reads no step had scored the steps.

benchmark.point(scored(row, longest) for row in rows)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial

from fathom import judges
from fathom.rationale import Status
from fathom.results.rows import Row, VerdictRow, to_comparison, to_row

StepRule = Callable[[Row], list[float]]
"""Maps a row of a single solution to the scores of its steps, 0 to 1."""


def random(row: Row) -> list[float]:
    """Uniform scores, drawn from the id of the row."""
    return [_uniform(f"{row['id']}\x1f{place}") for place in range(len(_steps(row)))]


def longest(row: Row) -> list[float]:
    """The longest step is wrong."""
    lengths = list(map(len, _steps(row)))
    return [float(place != lengths.index(max(lengths))) for place in range(len(lengths))]


def outcome(row: Row) -> list[float]:
    """What a perfect outcome reward model knows: a solution with a wrong final answer has a wrong last step."""
    steps = _steps(row)
    return [1.0] * (len(steps) - 1) + [float(row["metadata"]["final_answer_correct"])]


def scored(row: Row, rule: StepRule) -> VerdictRow:
    """The row with the rule's vote."""
    vote = judges.Vote(Status.OK, step_scores=(tuple(rule(row)),), order=(0,))
    return to_row(to_comparison(row), judges.Rule(aggregate="mean")([vote], threshold=0.5))


def baselines(*rules: StepRule) -> Mapping[str, Callable[[Row], Row]]:
    """The rules by name, for `Benchmark.baselines`."""
    return {rule.__name__: partial(scored, rule=rule) for rule in rules}


def _steps(row: Row) -> list[str]:
    return row["steps"][0]


def _uniform(key: str) -> float:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
