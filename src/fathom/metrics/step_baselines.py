"""Baselines of step scores: rules that read no step. Each maps a row of a single solution to a score, 0 to 1, per step.

longest(row)            # (1.0, 0.0, 1.0): the longest step is wrong
outcome(row)            # None if the row does not say whether the final answer is correct
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from fathom.results.rows import Row

StepRule = Callable[[Row], Sequence[float] | None]


def random(row: Row) -> Sequence[float]:
    """Uniform scores, drawn from the id of the row."""
    return [_uniform(f"{row['id']}\x1f{place}") for place in range(len(_steps(row)))]


def longest(row: Row) -> Sequence[float]:
    """The longest step is wrong."""
    lengths = list(map(len, _steps(row)))
    return [float(place != lengths.index(max(lengths))) for place in range(len(lengths))]


def outcome(row: Row) -> Sequence[float] | None:
    """What a perfect outcome reward model knows: a solution with a wrong final answer has a wrong last step.

    None unless `metadata["final_answer_correct"]` says whether it is.
    """
    right = row["metadata"].get("final_answer_correct")
    return [1.0] * (len(_steps(row)) - 1) + [float(right)] if isinstance(right, bool) else None


RULES: Mapping[str, StepRule] = {"random": random, "longest": longest, "outcome": outcome}


def _steps(row: Row) -> list[str]:
    return row["steps"][0]


def _uniform(key: str) -> float:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
