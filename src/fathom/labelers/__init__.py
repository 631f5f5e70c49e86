"""Labelers: step labels for training process reward models, from rollouts, judges and formal checks.

    check = answer_checker("math")          # a context manager
    tools = Tools(Rollouts(cached_engine, Sampling(temperature=0.7), check))
    result = await run(problems, make_labeler("monte_carlo", rollouts=8), tools)

`fathom label` runs a labeler from the command line. A labeler is one file, which binds `LABELER` to a subclass of
`Labeler`; other packages declare theirs in the entry point group `fathom.labelers`.
"""

from __future__ import annotations

from fathom.labelers._agreement import Agreement, agreement
from fathom.labelers._answers import Checker, answer_checker, exact
from fathom.labelers._formal import Verdict, verdicts
from fathom.labelers._labeler import LABELERS, Labeler, Labelled, Labels, Tools
from fathom.labelers._result import Result, table, warning, write
from fathom.labelers._rollouts import (
    Cost,
    Count,
    Estimate,
    RejectedError,
    Rollout,
    Rollouts,
    RolloutStatus,
)
from fathom.labelers._running import checked, label_each, make_labeler, requests, run
from fathom.labelers._solutions import Solution, solutions

__all__ = [
    "LABELERS",
    "Agreement",
    "Checker",
    "Cost",
    "Count",
    "Estimate",
    "Labeler",
    "Labelled",
    "Labels",
    "RejectedError",
    "Result",
    "Rollout",
    "RolloutStatus",
    "Rollouts",
    "Solution",
    "Tools",
    "Verdict",
    "agreement",
    "answer_checker",
    "checked",
    "exact",
    "label_each",
    "make_labeler",
    "requests",
    "run",
    "solutions",
    "table",
    "verdicts",
    "warning",
    "write",
]
