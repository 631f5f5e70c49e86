"""Step scorers for guided search, opened from a checkpoint.

scorer = step_scorer("Qwen/Qwen2.5-Math-PRM-7B")
state, score = scorer.extend(scorer.start("2 + 2?"), "2 + 2 = 4")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.engines.checkpoints import resolve_checkpoint
from fathom.engines.step_heads import step_head
from fathom.errors import FathomError
from fathom.process.conventions import Family, families, find, of_head, of_model

if TYPE_CHECKING:
    from fathom.engines.step_states import StepScorer


def step_scorer(model: str | Path, family: str | None = None, **options: Any) -> StepScorer:
    """Open a process reward model as a scorer of single steps on a cached prefix.

    `family`: as for `--judge process`; None to infer it from the checkpoint. `options` are those of `LocalEngine`.
    Raises FathomError if the checkpoint cannot be loaded, if its family cannot be inferred, or if it cannot continue a
    prefix.
    """
    from fathom.engines.local import LocalEngine
    from fathom.engines.step_states import StepScorer

    known = find(family) if family else of_model(model) or _of_files(model)
    if known is None:
        raise FathomError(f"{model} does not show its family; give family=NAME, with a name of {', '.join(families())}")
    return StepScorer(LocalEngine(model, **options), known.convention)


def _of_files(model: str | Path) -> Family | None:
    kind = step_head(resolve_checkpoint(model))
    return of_head(kind) if kind else None
