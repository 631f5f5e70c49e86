"""Process advantage verifier: how much each step changes the chance that a prover solves the problem.

    fathom judge solutions.jsonl --judge pav --judge-option family=p_plus --judge-option start=0.3 --model V ...

Method: "Rewarding Progress" (arXiv 2410.08146). With a value model V of the policy, whose step scores are the
chance that the policy reaches the right answer from there, the prover that takes the best of K samples has

    V_K(h) = 1 - (1 - V(h))^K                              at least one of K independent completions is right
    A_K(h_t) = V_K(h_t) - V_K(h_{t-1})                     the advantage of step t

The score of a step is (1 + A_K) / 2, so 0.5 means no progress. `start` is V of the bare problem, which the model does
not score: the share of the policy's solutions that are right. Without it, the first step has no score. The advantages
of all steps sum to V_K(h_T) - V_K(h_0); the score of a solution is the mean over steps.

For a search, `effective_reward` is the paper's Q + alpha A_K. The judge needs a model of the chance of success, such as
one that was trained on Monte Carlo labels: with a model of correctness, V_K is no value of a prover. K = 1 is the
policy itself, whose advantages add nothing to its values in expectation; a strong prover (large K) solves the problem
after any step, so that all advantages are near 0. The paper found K = 4 best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from fathom.data.records import Comparison
from fathom.engines import Answer
from fathom.judges import Rule, Vote, scored_by_steps
from fathom.rationale import Status
from fathom.rewards.process import ProcessRewardModel


@dataclass(frozen=True, kw_only=True)
class AdvantageVerifier(ProcessRewardModel):
    """Scores the steps of each solution alone, by one reading."""

    prover: Annotated[int, Field(ge=1, le=1024)] = 4
    """K: the prover takes the best of this many samples of the policy."""
    start: Annotated[float, Field(ge=0, le=1)] | None = None
    """The chance of success before the first step."""

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean", steps="mean")

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        vote = super().read_answers(answers, comparison)
        if vote.status is not Status.OK or vote.step_scores is None:
            return vote
        values = [value for value in vote.step_scores[0] if value is not None]
        found = advantages(values, start=self.start, prover=self.prover)
        scores = tuple(None if each is None else (1 + each) / 2 for each in found)
        text = " ".join("-" if each is None else f"{each:+.4f}" for each in found)
        return scored_by_steps(
            replace(vote, scores=None, step_scores=(scores,), text=f"advantages: {text}"), self.rule.steps
        )


def best_of(value: float, prover: int) -> float:
    """The chance, 0 to 1, that at least one of `prover` independent completions is right, if one is with `value`."""
    return float(1 - (1 - value) ** prover)


def advantages(values: Sequence[float], *, start: float | None, prover: int) -> list[float | None]:
    """The advantage of each step, -1 to 1, from the values after each; None for the first one without `start`."""
    proved = [best_of(value, prover) for value in values]
    before = [None if start is None else best_of(start, prover), *proved[:-1]]
    return [None if old is None else new - old for new, old in zip(proved, before, strict=True)]


def effective_reward(value: float, advantage: float, *, alpha: float = 0.5) -> float:
    """What a search ranks prefixes by: the policy's value plus alpha times the prover's advantage."""
    return value + alpha * advantage


JUDGE = AdvantageVerifier
