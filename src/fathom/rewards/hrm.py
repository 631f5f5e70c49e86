"""Hierarchical reward model: one process reward model scores single steps, and pairs of steps merged into one.

    fathom judge solutions.jsonl --judge hrm --judge-option family=token_classes --model M --out verdicts.jsonl

Method: "Towards Hierarchical Multi-Step Reward Models" (arXiv 2503.13551) and its code
(github.com/tengwang0318/hierarchial_reward_model). The model is trained on both units, each after the steps before it.
The label of a pair is that of its second step, so the model can learn that a step repairs the one before it:

    p_t = PRM(s_t | s_1 ... s_{t-1})                        the single step
    q_t = PRM(s_t s_{t+1} | s_1 ... s_{t-1})                the step and the next one as one unit; none for the last
    score of step t = max(p_t, q_t)

A low single score is thus forgiven if the pair is right. The authors do not combine the two: their code uses a model
that was trained on both to choose the next single step, which is `--judge process`. The maximum is ours, for finished
solutions. With a model that was not trained on pairs, it forgives wrong steps at random. An error that the next step
repeats, and does not repair, has two chances to be missed.

One forward pass reads the single steps, and one more each pair, because every pair follows single steps as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from fathom.data.records import Comparison
from fathom.engines import Answer, AnyRequest, StepRequest
from fathom.engines.usage import Usage
from fathom.judges import Vote, scored_by_steps
from fathom.rationale import Status
from fathom.rewards.process import ProcessRewardModel

JOINT = "\n\n"
"""What the authors put between the steps of a pair."""


@dataclass(frozen=True, kw_only=True)
class HierarchicalRewardModel(ProcessRewardModel):
    """Scores the steps of each solution alone, by as many readings as it has steps."""

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        (request,) = super().requests(comparison, sample)
        assert isinstance(request, StepRequest)
        return request, *(replace(request, steps=units) for units in merged_pairs(request.steps))

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        usage = sum((answer.usage for answer in answers), Usage())
        units = [self.steps(comparison), *merged_pairs(self.steps(comparison))]
        readings: list[list[float]] = []
        for steps, answer in zip(units, answers, strict=True):
            vote = super().read_answers((answer,), comparison.model_copy(update={"steps": (steps,)}))
            if vote.step_scores is None:
                which = f"steps {len(steps)} and {len(steps) + 1} as one" if readings else "single steps"
                return replace(vote, usage=usage, error=f"{which}: {vote.error}")
            readings.append([score for score in vote.step_scores[0] if score is not None])
        single, pairs = readings[0], [reading[-1] for reading in readings[1:]]
        text = f"single: {_listed(single)}; pairs: {_listed(pairs)}"
        scores = tuple(forgiven(single, pairs))
        vote = Vote(Status.OK, order=(0,), step_scores=(scores,), text=text, usage=usage)
        return scored_by_steps(vote, self.rule.steps)


def merged_pairs(steps: Sequence[str]) -> list[tuple[str, ...]]:
    """For each pair of neighbouring steps, the units up to it: the single steps before, and the pair as the last one.

    >>> merged_pairs(("a", "b", "c"))
    [('a\\n\\nb',), ('a', 'b\\n\\nc')]
    """
    return [
        (*steps[:place], f"{first.rstrip()}{JOINT}{second.lstrip()}")
        for place, (first, second) in enumerate(pairwise(steps))
    ]


def forgiven(single: Sequence[float], pairs: Sequence[float]) -> list[float]:
    """The score of each step, 0 to 1: the higher of its own score and that of its pair with the next step.

    Raises ValueError unless there is one pair less than there are steps.
    """
    if len(pairs) != len(single) - 1:
        raise ValueError(f"got {len(pairs)} pairs for {len(single)} steps, expected {len(single) - 1}")
    return [*(max(own, pair) for own, pair in zip(single[:-1], pairs, strict=True)), single[-1]]


def _listed(scores: Sequence[float]) -> str:
    return " ".join(f"{score:.4f}" for score in scores) or "none"


JUDGE = HierarchicalRewardModel
