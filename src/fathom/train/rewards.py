"""A judge's reward as a TRL reward function, with logged metrics. There is no reward for format or style.

    reward = JudgeReward(MixJudge(trained=True), max_completion_length=1024, end_token_ids={tokenizer.eos_token_id})
    GRPOTrainer(reward_funcs=reward, ...)

`Judge.vote_reward` defines the reward.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from fathom.data.records import Comparison
from fathom.judges import Judge, Vote
from fathom.rationale import Status, Structure
from fathom.synth import STRUCTURE_FOR_DOMAIN

Metric = tuple[str, float]


@dataclass(frozen=True)
class JudgeReward:
    """The judge's reward for TRL's GRPOTrainer. It also logs metrics of the votes.

    The training set must have a column `comparison` with the labelled comparison as JSON. A completion of
    `max_completion_length` tokens whose last token is not in `end_token_ids` is parsed as truncated.
    """

    # A class, because trainers may send reward functions to worker processes, and closures cannot be pickled.
    judge: Judge
    max_completion_length: int
    end_token_ids: Collection[int]
    __name__: ClassVar[str] = "judge_reward"
    """TRL logs the mean reward under `rewards/judge_reward`."""

    def __call__(
        self,
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        comparison: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        """One reward per completion, in [-1, 1]. Raises FathomError for a comparison without a label."""
        rewards = []
        for completion, tokens, encoded in zip(completions, completion_ids, comparison, strict=True):
            labelled = Comparison.model_validate_json(encoded)
            finished = len(tokens) < self.max_completion_length or tokens[-1] in self.end_token_ids
            vote = self.judge.read(_text(completion), labelled, finished=finished)
            rewards.append(self.judge.vote_reward(vote, labelled))
            if log_metric is not None:
                for name, value in vote_metrics(vote, labelled, len(tokens), rewards[-1]):
                    log_metric(name, value)
        return rewards


def _text(completion: Any) -> str:
    """The text of a completion, which TRL passes as messages for conversations and as text otherwise."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def vote_metrics(vote: Vote, comparison: Comparison, tokens: int, reward: float) -> Iterator[Metric]:
    """The metrics of one vote, whose means are logged. Metrics by domain need a comparison with a domain."""
    yield "accuracy", float(reward > 0)
    yield "invalid", float(vote.status is not Status.OK)
    if comparison.domain is None:
        return
    yield f"tokens/{comparison.domain}", float(tokens)
    if vote.rationale is None:
        return
    written = vote.rationale.structure
    for structure in get_args(Structure):
        yield f"structure/{comparison.domain}/{structure}", float(written == structure)
    yield "structure/match", float(written == STRUCTURE_FOR_DOMAIN[comparison.domain])
    yield f"principles/{comparison.domain}", float(len(vote.rationale.units))
    yield f"words_per_judgment/{comparison.domain}", vote.rationale.tokens_per_judgment()
