"""BiPRM: a process reward model reads a finished solution twice, with its steps in order and in reverse.

    fathom judge solutions.jsonl --judge biprm --judge-option family=p_plus --model M --out verdicts.jsonl

Idea: BiPRM (arXiv 2508.01682), known from its abstract and a README. A causal model scores a step without the steps
after it. In the second pass the steps are reversed, so a step follows those that came after it. The score of a step is

    forward * (its score in order) + (1 - forward) * (its score in reverse)

The paper trains the model on both orders, and a later version learns the weight per step from hidden states; here it is
one number. With a model that was trained on one order, the scores in reverse mean little: compare with `--judge
process`. It cannot guide a search, where the later steps do not exist yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from fathom.data.records import Comparison
from fathom.engines import Answer, AnyRequest, StepRequest
from fathom.engines.usage import Usage
from fathom.judges import Vote, scored_by_steps
from fathom.rationale import Status
from fathom.rewards.process import ProcessRewardModel


@dataclass(frozen=True, kw_only=True)
class BidirectionalPRM(ProcessRewardModel):
    """Scores the steps of each solution alone, by two readings."""

    forward: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The weight of the scores in order."""

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        (request,) = super().requests(comparison, sample)
        assert isinstance(request, StepRequest)
        return request, replace(request, steps=request.steps[::-1])

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        ordered, backward = votes = [
            super(BidirectionalPRM, self).read_answers((each,), comparison) for each in answers
        ]
        usage = sum((vote.usage for vote in votes), Usage())
        for vote in votes:
            if vote.status is not Status.OK:
                which = "in order" if vote is ordered else "in reverse"
                return replace(vote, usage=usage, error=f"{which}: {vote.error}")
        pairs = zip(_scores(ordered), _scores(backward)[::-1], strict=True)
        scores = tuple(self.forward * first + (1 - self.forward) * second for first, second in pairs)
        return scored_by_steps(replace(ordered, step_scores=(scores,), usage=usage), self.rule.steps)


def _scores(vote: Vote) -> list[float]:
    assert vote.step_scores is not None
    return [score for score in vote.step_scores[0] if score is not None]


JUDGE = BidirectionalPRM
