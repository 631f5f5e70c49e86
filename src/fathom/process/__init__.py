"""Process rewards: the steps of a solution, and the reward models that score them.

comparison = with_steps(comparison, "paragraphs")       # splits responses that have no steps
(row,) = stepwise_rows(comparison, threshold=0.5)       # TRL's stepwise supervision
"""

from __future__ import annotations

from fathom.data.steps import spans, split, thought_and_answer
from fathom.process.guiding import step_scorer
from fathom.process.stepwise import stepwise_rows, with_steps

__all__ = ["spans", "split", "step_scorer", "stepwise_rows", "thought_and_answer", "with_steps"]
