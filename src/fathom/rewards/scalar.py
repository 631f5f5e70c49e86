"""A scalar reward model: the output of a sequence classifier on a prompt and a response.

    model = ScalarRewardModel(engine=LocalEngine("Skywork/Skywork-Reward-V2-Qwen3-0.6B"))
    (await model(comparison)).scores            # one raw output per response: no sigmoid, and no fixed range

The input is the prompt and one response, rendered by the classifier's own chat template, without the other responses or
a reference answer. This is the default judge of `fathom judge` for sequence classifiers.

A classifier with several outputs, such as one per objective, needs `weights`; the score is the weighted sum.

    ScalarRewardModel(engine=engine, weights={"helpfulness": 1.0, "verbosity": -0.2})

Scores of different prompts have no common zero, so there is no threshold at which a single response is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.engines import Answer, AnyRequest, Capability, Classification, ClassifyRequest
from fathom.errors import FathomError
from fathom.judges import Arity, EngineRewardModel, Vote
from fathom.rationale import Status
from fathom.rewards import conversation


@dataclass(frozen=True, kw_only=True)
class ScalarRewardModel(EngineRewardModel):
    """Scores each response alone by the classifier's output.

    `weights`: the weight of each output, by its name in the model's configuration (`id2label`) or by its number.
    Outputs that are not named have the weight 0. Required for several outputs, because none of them is marked as the
    reward.
    """

    arity: ClassVar[Arity] = "pointwise"
    weights: Mapping[str, float] | None = None

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"classification"})

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        return (ClassifyRequest(conversation(comparison), comparison.responses[0]),)

    def decided(self, comparison: Comparison) -> Vote | None:
        """An empty response is invalid: a classifier would score it, although it was not trained on any."""
        if len(comparison.responses) > 1 or comparison.responses[0]:
            return None
        return Vote(Status.INVALID, error="the response is empty, so there is nothing to score")

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        """The vote with the score. `text` lists all outputs by name if there are several.

        Raises FathomError for weights that do not fit the model's outputs.
        """
        (result,) = answers
        if not isinstance(result, Classification):
            raise TypeError(f"{type(self).__name__} reads classifications; got {type(result).__name__}")
        score, text = self.score(result), _outputs_in_words(result)
        if not isfinite(score):
            error = f"the score is {score}; expected a finite number"
            return Vote(Status.INVALID, order=(0,), usage=result.usage, text=text, error=error)
        return Vote(Status.OK, order=(0,), scores=(score,), usage=result.usage, text=text)

    def score(self, result: Classification) -> float:
        """The only output, or the weighted sum of several."""
        names = _names(result)
        if self.weights is None:
            if len(names) > 1:
                example = f"--judge-option 'weights={{{names[0]}: 1.0}}'"
                raise FathomError(
                    f"the model has the outputs {', '.join(names)}; expected their weights, as in {example}"
                )
            return result.logits[0]
        places = {name: place for place, name in enumerate(names)} | {str(k): k for k in range(len(names))}
        unknown = sorted(set(self.weights) - set(places))
        if unknown:
            raise FathomError(f"weights: the model has no output {unknown[0]}; expected {', '.join(names)}")
        return sum(weight * result.logits[places[name]] for name, weight in self.weights.items())


def _names(result: Classification) -> tuple[str, ...]:
    return result.labels or tuple(map(str, range(len(result.logits))))


def _outputs_in_words(result: Classification) -> str:
    if len(result.logits) == 1:
        return ""
    return ", ".join(f"{name} {output:.6g}" for name, output in zip(_names(result), result.logits, strict=True))


JUDGE = ScalarRewardModel
