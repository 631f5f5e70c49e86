"""A process reward model: the probability that each step of a solution is right, in one forward pass.

    model = ProcessRewardModel(family="qwen_math", engine=LocalEngine("Qwen/Qwen2.5-Math-PRM-7B"))
    (vote,) = await model.votes(comparison)
    vote.step_scores                            # ((0.98, 0.91, 0.03),)

`Rule.steps` reduces the step scores to the score of the solution: by default as the authors of the family do, and if
they name no way, by the lowest one. The steps are those of the comparison; responses without steps are split. The model
sees neither the other responses nor a reference answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, ClassVar

from pydantic import Field

from fathom.data.records import Comparison
from fathom.data.steps import steps_of
from fathom.engines import Answer, AnyRequest, Capability, ChatMessage, StepRequest, StepScores
from fathom.errors import FathomError
from fathom.judges import Arity, EngineRewardModel, Rule, Vote, scored_by_steps, tempered, without_text
from fathom.process.conventions import families, find
from fathom.rationale import Status
from fathom.settings import Splitter

THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class ProcessRewardModel(EngineRewardModel):
    """Scores the steps of each solution alone. Raises FathomError for an unknown family."""

    family: str = ""
    """The family whose convention the model was trained with, or the path of a YAML file with your own. `fathom judge`
    infers it from checkpoints whose head only one family has."""
    split: Splitter = "paragraphs"
    """How to split responses without steps."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None  # type: ignore[misc]
    """The score at or above which a solution is right: by default that of the family's authors, or else 0.5."""
    step_temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the log-odds of step scores, to calibrate them; `fathom score` fits it on labelled steps."""
    arity: ClassVar[Arity] = "pointwise"
    scores_steps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        named = find(self.family).threshold if self.family else None
        if self.threshold is None:
            object.__setattr__(self, "threshold", THRESHOLD if named is None else named)

    @property
    def rule(self) -> Rule:
        named = find(self.family).reduction if self.family else None
        return Rule(aggregate="mean") if named is None else Rule(aggregate="mean", steps=named)

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"steps"})

    def steps(self, comparison: Comparison) -> tuple[str, ...]:
        """The steps of a single response."""
        return steps_of(comparison, self.split)

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        if not self.family:
            raise FathomError(
                "the checkpoint does not show its family of process reward models; give --judge-option family=NAME, "
                f"with a name of {', '.join(families())}, or the path of a YAML file"
            )
        problem: ChatMessage = {"role": "user", "content": comparison.prompt_text}
        return (StepRequest((problem,), "", self.steps(comparison), find(self.family).convention),)

    def decided(self, comparison: Comparison) -> Vote | None:
        return without_text("".join(self.steps(comparison)))

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        (result,) = answers
        assert isinstance(result, StepScores)
        problem = _problem(result.scores, len(self.steps(comparison)))
        if problem is not None:
            return Vote(problem[0], order=(0,), usage=result.usage, error=problem[1])
        scores = tuple(score if score is None else tempered(score, self.step_temperature) for score in result.scores)
        vote = Vote(Status.OK, order=(0,), step_scores=(scores,), usage=result.usage)
        return scored_by_steps(vote, self.rule.steps)


def _problem(scores: Sequence[float | None], steps: int) -> tuple[Status, str] | None:
    """The status and the error for scores of a wrong number, or that are not finite; None if they are valid."""
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
