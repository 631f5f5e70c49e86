"""A scalar reward model: the output of a sequence classifier on a prompt and a response.

    model = ScalarRewardModel(engine=LocalEngine("Skywork/Skywork-Reward-V2-Qwen3-0.6B"))
    (await model(comparison)).scores            # one raw output per response: no sigmoid, and no fixed range

The classifier reads the conversation as its own chat template writes it. It sees neither the other responses nor a
reference answer. `fathom judge` chooses it by itself for a checkpoint that is a sequence classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.engines import Answer, AnyRequest, Capability, Classification, ClassifyRequest
from fathom.judges import Arity, EngineRewardModel, Vote
from fathom.rationale import Status
from fathom.rewards import conversation


@dataclass(frozen=True, kw_only=True)
class ScalarRewardModel(EngineRewardModel):
    """Scores each response alone by the classifier's output."""

    arity: ClassVar[Arity] = "pointwise"

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"classification"})

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        return (ClassifyRequest(conversation(comparison), comparison.responses[0]),)

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        (result,) = answers
        assert isinstance(result, Classification)
        [score] = result.logits
        if not isfinite(score):
            return Vote(Status.INVALID, order=(0,), usage=result.usage, error=f"the classifier's output is {score}")
        return Vote(Status.OK, order=(0,), scores=(score,), usage=result.usage)


JUDGE = ScalarRewardModel
