"""A judge's reward as TRL calls it, and what is logged beside it. No reward for format, none for style.

    reward = as_trl_reward(MixJudge(trained=True), max_completion_length=1024, ends={tokenizer.eos_token_id})
    GRPOTrainer(reward_funcs=reward, ...)

Which reward that is, the judge says (`Judge.reward`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, get_args

from fathom.judges import Judge
from fathom.rationale import Status, Structure
from fathom.records import Comparison
from fathom.synth import FITTING
from fathom.verdict import Vote

Metric = tuple[str, float]


def as_trl_reward(judge: Judge, *, max_completion_length: int, ends: Collection[int]) -> Callable[..., list[float]]:
    """The reward as TRL's GRPOTrainer calls it; beside it, what the votes show is logged as metrics.

    The training set must have a column `comparison`, the labelled comparison as JSON. A completion of
    `max_completion_length` tokens whose last one is not in `ends` was cut off, and is read as such.
    """

    def verdict(
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        comparison: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        rewards = []
        for completion, tokens, encoded in zip(completions, completion_ids, comparison, strict=True):
            told = Comparison.model_validate_json(encoded)
            assert told.label is not None, f"comparison {told.id} has no label"
            finished = len(tokens) < max_completion_length or tokens[-1] in ends
            vote = judge.read(_text(completion), told, finished=finished)
            rewards.append(judge.reward(vote, told))
            if log_metric is not None:
                for name, value in metrics(vote, told, len(tokens), rewards[-1]):
                    log_metric(name, value)
        return rewards

    return verdict


def _text(completion: Any) -> str:
    """TRL gives a message list for conversations and a text otherwise."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def metrics(vote: Vote, comparison: Comparison, tokens: int, reward: float) -> Iterator[Metric]:
    """What one vote adds to the means that are logged. Shares by domain only where the comparison names its domain."""
    yield "accuracy", float(reward > 0)
    yield "invalid", float(vote.status is not Status.OK)
    if comparison.domain is None:
        return
    yield f"tokens/{comparison.domain}", float(tokens)
    if vote.rationale is None:
        return
    shown = vote.rationale.structure
    for structure in get_args(Structure):
        yield f"structure/{comparison.domain}/{structure}", float(shown == structure)
    yield "structure/match", float(shown == FITTING[comparison.domain])
    yield f"principles/{comparison.domain}", float(len(vote.rationale.units))
    yield f"words_per_judgment/{comparison.domain}", vote.rationale.tokens_per_judgment()
