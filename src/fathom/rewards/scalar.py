"""A scalar reward model: the output of a sequence classifier on a prompt and a response.

    model = ScalarRewardModel(engine=LocalEngine("Skywork/Skywork-Reward-V2-Qwen3-0.6B"))
    (await model(comparison)).scores            # one raw output per response: no sigmoid, and no fixed range

The input is the prompt and one response, rendered by the classifier's own chat template, without the other responses or
a reference answer. This is the default judge of `fathom judge` for sequence classifiers.

A classifier with several outputs, such as one per objective, needs `weights`; the score is the weighted sum.

    ScalarRewardModel(engine=engine, weights={"helpfulness": 1.0, "verbosity": -0.2})

Models of `fathom train reward` whose outputs belong together say so in `fathom.json`: `combine` is then `sum` (factors
of a `bnrm` head) or `mean` (members of an ensemble, whose standard deviation `pessimism` subtracts).

Scores of different prompts have no common zero, so there is no threshold at which a single response is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum, isfinite, nan
from statistics import fmean, stdev
from typing import ClassVar, Literal

from fathom.data.records import Comparison
from fathom.engines import Answer, AnyRequest, Capability, Classification, ClassifyRequest
from fathom.errors import FathomError
from fathom.judges import Arity, EngineRewardModel, Vote, without_text
from fathom.rationale import MAX_UNITS, Rationale, Status, SubVerdict, Unit
from fathom.rewards import conversation

LETTERS: tuple[SubVerdict, ...] = ("A", "B")
DECISIVE = 5
"""Factors that the rationale of a vote on several responses names."""


@dataclass(frozen=True, kw_only=True)
class ScalarRewardModel(EngineRewardModel):
    """Scores each response alone by the classifier's output.

    `weights`: the weight of each output, by its name in the model's configuration (`id2label`) or by its number.
    Outputs that are not named have the weight 0. Required for several outputs, because none of them is marked as the
    reward.
    `combine`: the sum or the mean of all outputs, instead of `weights`. With `sum`, the outputs are factors, and the
    rationale of a vote has those that decide (`decisive`). `pessimism`: with `mean`, subtract this many standard
    deviations of the outputs, so that the score is a lower bound.
    """

    arity: ClassVar[Arity] = "pointwise"
    weights: Mapping[str, float] | None = None
    combine: Literal["sum", "mean"] | None = None
    pessimism: float = 0.0

    def __post_init__(self) -> None:
        if self.combine and self.weights is not None:
            raise FathomError(f"combine={self.combine!r} uses all outputs, and weights were given; leave one out")
        if self.pessimism and (self.combine != "mean" or self.pessimism < 0):
            raise FathomError(
                f"pessimism={self.pessimism} with combine={self.combine!r}; expected a number >= 0 and combine='mean'"
            )

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"classification"})

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:
        return (ClassifyRequest(conversation(comparison), comparison.responses[0]),)

    def decided(self, comparison: Comparison) -> Vote | None:
        """An empty response is invalid: a classifier would score it, although it was not trained on any."""
        return without_text(*comparison.responses)

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        """The vote with the score. `text` lists all outputs by name if there are several.

        Raises FathomError for weights that do not fit the model's outputs.
        """
        (result,) = answers
        if not isinstance(result, Classification):
            raise TypeError(f"{type(self).__name__} reads classifications; got {type(result).__name__}")
        score, text = self.score(result), "" if self.combine == "sum" else _outputs_in_words(result)
        units = _largest(_outputs(result)) if self.combine == "sum" and isfinite(score) else ()
        rationale = Rationale(units=units) if units else None
        return Vote(Status.OK, order=(0,), scores=(score,), usage=result.usage, text=text, rationale=rationale)

    def merge(self, votes: Sequence[Vote]) -> Vote:
        """With factors, the rationale of the merged vote names those that decide between the responses."""
        merged = super().merge(votes)
        if self.combine != "sum" or merged.status is not Status.OK:
            return merged
        return replace(merged, rationale=Rationale(units=decisive([_contributions(vote) for vote in votes])))

    def score(self, result: Classification) -> float:
        """The only output, or the weighted sum of several. NaN if an output that counts is not finite."""
        names = _names(result)
        if self.combine and not all(map(isfinite, result.logits)):
            return nan  # the functions of `statistics` and `math` raise errors for such numbers
        if self.combine == "sum":
            return fsum(result.logits)
        if self.combine == "mean":
            return fmean(result.logits) - (self.pessimism * _disagreement(result) if self.pessimism else 0.0)
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


def _outputs(result: Classification) -> dict[str, float]:
    return dict(zip(_names(result), result.logits, strict=True))


def _outputs_in_words(result: Classification) -> str:
    if len(result.logits) == 1:
        return ""
    return ", ".join(f"{name} {output:.6g}" for name, output in _outputs(result).items())


def _disagreement(result: Classification) -> float:
    """The sample standard deviation of the outputs; 0 for one output."""
    return stdev(result.logits) if len(result.logits) > 1 else 0.0


def decisive(contributions: Sequence[Mapping[str, float]], most: int = DECISIVE) -> tuple[Unit, ...]:
    """The factors that differ most between responses, the largest difference first, as units of a rationale.

    `contributions` has one mapping of factors to numbers >= 0 for each response; a missing factor is 0. The
    sub-verdict of a factor is the response that has most of it (None from the third one on), and its judgment the
    lead over the next one.
    """
    names = dict.fromkeys(name for each in contributions for name in each)
    leads = []
    for name in names:
        values = [each.get(name, 0.0) for each in contributions]
        second, first = sorted(values)[-2:]
        leads.append((first - second, name, values.index(first)))
    kept = sorted((lead for lead in leads if lead[0] > 0), key=lambda lead: -lead[0])[:most]
    return tuple(
        Unit(name, judgment=f"{by:+.6g}", sub_verdict=LETTERS[place] if place < 2 else None) for by, name, place in kept
    )


def _largest(outputs: Mapping[str, float]) -> tuple[Unit, ...]:
    """What the largest factors add to the reward of one response, and no more than a rationale can hold."""
    kept = sorted((item for item in outputs.items() if item[1] > 0), key=lambda item: -item[1])[:MAX_UNITS]
    return tuple(Unit(name, judgment=f"{output:.9g}") for name, output in kept)


def _contributions(vote: Vote) -> dict[str, float]:
    return {unit.principle: float(unit.judgment) for unit in vote.rationale.units} if vote.rationale else {}


JUDGE = ScalarRewardModel
