"""A process reward model: the probability that each step of a solution is right, in one forward pass.

    model = ProcessRewardModel(family="qwen_math", engine=LocalEngine("Qwen/Qwen2.5-Math-PRM-7B"))
    (vote,) = await model.votes(comparison)
    vote.step_scores                            # ((0.98, 0.91, 0.03),)

The score of a solution is that of its steps, reduced by `Rule.steps` (by default the lowest one). The steps are those
of the comparison, or else made by a splitter. The model sees neither the other responses nor a reference answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.data.steps import split
from fathom.engines import Answer, AnyRequest, Capability, ChatMessage, StepRequest, StepScores
from fathom.errors import FathomError
from fathom.judges import Arity, EngineRewardModel, Vote, reduce_steps
from fathom.process.conventions import families, find
from fathom.rationale import Status
from fathom.settings import Splitter


@dataclass(frozen=True, kw_only=True)
class ProcessRewardModel(EngineRewardModel):
    """Scores the steps of each solution alone. Raises FathomError for an unknown family."""

    family: str = ""
    """The family whose convention the model was trained with, or the path of a YAML file with your own. `fathom judge`
    finds it by itself for checkpoints that show it."""
    split: Splitter = "paragraphs"
    """How to split responses without steps."""
    arity: ClassVar[Arity] = "pointwise"
    threshold: ClassVar[float | None] = 0.5
    scores_steps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.family:
            find(self.family)

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"steps"})

    def steps(self, comparison: Comparison) -> tuple[str, ...]:
        """The steps of a single response, as the model is shown them."""
        if comparison.steps is not None:
            return comparison.steps[0]
        return split(comparison.responses[0], self.split)

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        if not self.family:
            raise FathomError(
                "the checkpoint does not show its family of process reward models; give --judge-option family=NAME, "
                f"with a name of {', '.join(families())}, or the path of a YAML file"
            )
        problem: ChatMessage = {"role": "user", "content": comparison.prompt_text}
        return (StepRequest((problem,), "", self.steps(comparison), find(self.family).convention),)

    def decided(self, comparison: Comparison) -> Vote | None:
        """A solution without text has no steps, so it is not scored."""
        if any(step.strip() for step in self.steps(comparison)):
            return None
        return Vote(Status.INVALID, error="the response is empty, so it has no steps")

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        (result,) = answers
        assert isinstance(result, StepScores)
        problem = _problem(result.scores, len(self.steps(comparison)))
        if problem is not None:
            return Vote(problem[0], order=(0,), usage=result.usage, error=problem[1])
        step_scores = (result.scores,)
        return Vote(
            Status.OK,
            order=(0,),
            step_scores=step_scores,
            scores=reduce_steps(step_scores, self.rule.steps),
            usage=result.usage,
        )


def _problem(scores: Sequence[float | None], steps: int) -> tuple[Status, str] | None:
    """Why these are not the scores of so many steps; None if they are."""
    if len(scores) != steps:
        return Status.INVALID, f"got {len(scores)} scores for {steps} steps"
    if None in scores:
        first = scores.index(None) + 1
        which = f"step {first} of {steps} was" if first == steps else f"steps {first} to {steps} of {steps} were"
        return Status.TRUNCATED, f"the text exceeds the model's context: {which} not seen"
    if not all(score is not None and isfinite(score) for score in scores):
        return Status.INVALID, f"the scores are {list(scores)}"
    return None


JUDGE = ProcessRewardModel
