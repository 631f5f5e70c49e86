"""Rewards of a policy's responses: a number for each response to one prompt, or the reason why there is none.

    rewards = await reward(model, Comparison(prompt="2 + 2?", responses=("4", "5")))
    [each.value for each in rewards]                  # [1.0, 0.0]; None where a response could not be scored

A judge of single responses scores each response alone. A judge of pairs compares the responses of the group with each
other, or each of them with a `baseline`; the reward is then the share of the comparisons that the response wins. A
judge of lists scores all responses at once, so their rewards are comparable within the group only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from statistics import fmean

from fathom.data.records import Comparison
from fathom.engines.usage import NO_USAGE, Usage
from fathom.errors import FathomError
from fathom.judges import RewardModel, Verdict, Vote, bounded_gather
from fathom.ranking import rank, share
from fathom.ranking.reducers import REDUCERS
from fathom.ranking.schedules import SCHEDULES
from fathom.rationale import Status, render
from fathom.settings import RewardSettings


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of one response. `value` is None unless the status is `OK`; `error` then says why."""

    value: float | None
    status: Status
    error: str | None = None
    votes: int = 0
    """How many votes were cast on the response."""
    votes_read: int = 0
    """How many of them could be read."""
    usage: Usage = NO_USAGE
    """Tokens of the calls. A call that judges several responses counts for each of them."""
    steps: tuple[float | None, ...] | None = None
    """The mean score of each step over the votes, if the judge scores steps. None for a step that no vote scored."""
    vote: Vote | None = None
    """The first vote that counts towards the reward."""

    def __post_init__(self) -> None:
        if (self.value is None) == (self.status is Status.OK):
            raise ValueError(f"a reward with status {self.status!s} cannot have the value {self.value}")

    @property
    def rationale(self) -> str:
        """The rationale of `vote`, or its text if that has another structure; empty for models that write none."""
        if self.vote is None:
            return ""
        return self.vote.text if self.vote.rationale is None else render(self.vote.rationale)


DEFAULT = RewardSettings()


async def reward(
    model: RewardModel, group: Comparison, settings: RewardSettings = DEFAULT, *, baseline: str | None = None
) -> list[Reward]:
    """The reward of every response of a group, in order.

    `baseline` is a response that judges of pairs compare each response with. Raises FathomError if the judge cannot
    judge such a group, as a judge of pairs a single response without a baseline.
    """
    if baseline is not None and model.arity != "pointwise":
        against = [
            group.model_copy(update={"responses": (each, baseline), "steps": None, "step_types": None})
            for each in group.responses
        ]
        return [_against_baseline(verdict) for verdict in await bounded_gather(model, against)]
    if model.arity == "pointwise":
        single = [group.subset((place,)) for place in range(len(group.responses))]
        verdicts = await bounded_gather(model, single)
        return [_of_verdict(verdict, 0, settings) for verdict in verdicts]
    if model.arity == "listwise":
        verdict = await model(group)
        return [_of_verdict(verdict, place, settings) for place in range(len(group.responses))]
    return await _by_pairs(model, group, settings)


def check_group(model: RewardModel, group: Comparison, baseline: str | None = None) -> None:
    """Raise FathomError for a group of one response if the judge compares pairs and there is no baseline."""
    if model.arity == "pairwise" and len(group.responses) < 2 and baseline is None:
        raise FathomError(
            "a judge of pairs needs at least 2 responses to a prompt, or a baseline to compare with; got 1 response"
        )


def check_reward(model: RewardModel, settings: RewardSettings) -> None:
    """Raise FathomError for settings of rewards that do not fit the reward model."""
    if settings.reward == "correct" and (model.threshold is None or model.arity != "pointwise"):
        raise FathomError(
            "--reward correct needs a judge of single responses that has a threshold, such as verifier or yes_no; "
            "expected --reward score"
        )


async def _by_pairs(model: RewardModel, group: Comparison, settings: RewardSettings) -> list[Reward]:
    check_group(model, group)
    # The share of votes, not the verdict, counts for a pair: with many votes, rewards are then finer and ties fewer.
    ranking = await rank(model, group, SCHEDULES[settings.schedule], REDUCERS[settings.reduce], tells="votes")
    rewards = []
    for place, score in enumerate(ranking.scores):
        verdicts = [verdict for pair, verdict in ranking.verdicts.items() if place in pair]
        rewards.append(_reward(score, verdicts))
    return rewards


def _against_baseline(verdict: Verdict) -> Reward:
    return _reward(share(verdict), [verdict])


def _of_verdict(verdict: Verdict, place: int, settings: RewardSettings) -> Reward:
    score = response_score(verdict, place) if verdict.status is Status.OK else None
    if settings.reward == "correct" and score is not None:
        score = float(verdict.threshold is not None and score >= verdict.threshold)
    rewarded = _reward(score, [verdict])
    return rewarded if rewarded.value is None else replace(rewarded, steps=_step_scores(verdict, place))


def _step_scores(verdict: Verdict, place: int) -> tuple[float | None, ...] | None:
    counted = [vote.step_scores[place] for vote in verdict.votes if vote.included and vote.step_scores]
    if not counted or len({len(scores) for scores in counted}) > 1:  # votes that split a response differently
        return None
    return tuple(
        fmean(known) if (known := [s for s in step if s is not None]) else None for step in zip(*counted, strict=True)
    )


def response_score(verdict: Verdict, place: int) -> float | None:
    """The mean score of a response over the votes that count; of votes without scores, the share that names it.

    A mean, whatever the rule: under `sum`, the score of a verdict depends on how many votes could be read.
    """
    counted = [vote for vote in verdict.votes if vote.included and vote.status is Status.OK]
    values = [values[place] for vote in counted if (values := verdict.rule.values(vote)) is not None]
    if values:
        return fmean(values)
    return fmean(float(vote.winner == place) for vote in counted) if counted else None


def _reward(score: float | None, verdicts: Sequence[Verdict]) -> Reward:
    votes = [vote for verdict in verdicts for vote in verdict.votes]
    read = sum(vote.status is Status.OK for vote in votes)
    usage = sum((vote.usage for vote in votes), Usage())
    if score is not None and isfinite(score):
        counted = next((vote for vote in votes if vote.included and vote.status is Status.OK), None)
        return Reward(score, Status.OK, None, len(votes), read, usage, vote=counted)
    if score is not None:
        return Reward(None, Status.INVALID, f"the score is {score}, which is not finite", len(votes), read, usage)
    status = next((verdict.status for verdict in verdicts if verdict.status is not Status.OK), Status.MISSING)
    return Reward(None, status, _why(status, votes), len(votes), read, usage)


def _why(status: Status, votes: Sequence[Vote]) -> str:
    errors = (vote.error for vote in votes if vote.status is status and vote.error)
    return next(errors, f"no verdict could be read: {status}")
