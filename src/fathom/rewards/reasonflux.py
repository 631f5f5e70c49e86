"""ReasonFlux-PRM: scores the thought and the answer of a thinking model separately, and the whole text as one step.

    fathom judge responses.jsonl --judge reasonflux --model Gen-Verse/ReasonFlux-PRM-7B --out verdicts.jsonl

Method: "ReasonFlux-PRM" (arXiv 2506.18896), known from descriptions, and the model card of its code
(github.com/Gen-Verse/ReasonFlux). The model is trained on scores of single steps and of whole responses, and selects
the best of n by the mean of the former plus alpha times the latter; values of alpha from 0.8 to 1.5 did best. With

    T = mean score of the steps of the thought, up to and including `</think>`
    A = mean score of the steps of the answer after it
    R = score of the whole response, read as a single step
    score = (thinking T + (1 - thinking) A + alpha R) / (1 + alpha)

The weight `thinking` is ours, as is the division, which keeps scores between 0 and 1: a thought has many more steps
than an answer, so a mean over all steps would hardly depend on the answer. Without a closing tag there is no thought,
and T is left out. That R is read in this way is our assumption: the released code shows the scores of steps only.

A wrong step of a thought need not harm the answer, because thoughts try and discard ideas. So the score of a response
is not the lowest one of its steps; `--step-reduction` replaces the formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Annotated

from pydantic import Field

from fathom.data.records import Comparison
from fathom.data.steps import thought_and_answer
from fathom.engines import Answer, AnyRequest, StepRequest
from fathom.judges import Rule, Vote
from fathom.rationale import Status
from fathom.rewards.process import ProcessRewardModel
from fathom.settings import Splitter


@dataclass(frozen=True, kw_only=True)
class ReasonFluxPRM(ProcessRewardModel):
    """Scores each response alone, by two readings. A response whose thought does not end is invalid."""

    family: str = "reasonflux"
    """The family whose convention the model was trained with, or the path of a YAML file with your own."""
    split: Splitter = "thinking"
    """How to split responses without steps."""
    thinking: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The weight of the thought's steps, against those of the answer."""
    alpha: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """The weight of the whole response, against 1 for its steps."""

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean", steps=None)

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        (request,) = super().requests(comparison, sample)
        assert isinstance(request, StepRequest)
        return request, replace(request, steps=(comparison.responses[0],))

    def decided(self, comparison: Comparison) -> Vote | None:
        response = comparison.responses[0]
        if response.lstrip().startswith("<think") and not all(thought_and_answer(response)):
            return Vote(Status.INVALID, error="the response has no answer after its thought, so it has no score")
        return super().decided(comparison)

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        of_steps, of_all = answers
        usage = of_steps.usage + of_all.usage
        steps = replace(super().read_answers((of_steps,), comparison), usage=usage)
        one_step = comparison.model_copy(update={"steps": ((comparison.responses[0],),)})
        whole = replace(super().read_answers((of_all,), one_step), usage=usage)
        for vote in (steps, whole):
            if vote.status is not Status.OK:
                which = "the whole response" if vote is whole else "its steps"
                return replace(vote, error=f"{which}: {vote.error}")
        scores, (trajectory,) = _scores(steps), _scores(whole)
        end = thought_length(self.steps(comparison))
        thought, answer = scores[:end], scores[end:]
        score = combined(thought, answer, trajectory, thinking=self.thinking, alpha=self.alpha)
        text = f"thought: {_mean(thought)}; answer: {_mean(answer)}; whole response: {trajectory:.4f}"
        return replace(steps, scores=(score,), text=text)


def thought_length(steps: Sequence[str]) -> int:
    """How many steps belong to the thought: those up to the last closing tag, 0 without one.

    >>> thought_length(("<think>2 + 2", "is 4</think>", "4"))
    2
    """
    return max((place for place, step in enumerate(steps, 1) if thought_and_answer(step)[0]), default=0)


def combined(
    thought: Sequence[float], answer: Sequence[float], trajectory: float, *, thinking: float, alpha: float
) -> float:
    """The score of a response, 0 to 1, from the scores of its steps and of the whole; one of the parts may be empty."""
    if thought and answer:
        of_steps = thinking * fmean(thought) + (1 - thinking) * fmean(answer)
    else:
        of_steps = fmean([*thought, *answer])
    return (of_steps + alpha * trajectory) / (1 + alpha)


def _scores(vote: Vote) -> list[float]:
    return [score for score in (vote.step_scores or ((),))[0] if score is not None]


def _mean(scores: Sequence[float]) -> str:
    unit = "step" if len(scores) == 1 else "steps"
    return f"{fmean(scores):.4f} over {len(scores)} {unit}" if scores else "none"


JUDGE = ReasonFluxPRM
