"""The reward of RLVR: +1 for the right verdict, -1 for everything else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from fathom.judges import Judge
from fathom.rationale import Status
from fathom.records import Comparison, Label
from fathom.verdict import Vote


def verdict_reward(vote: Vote, label: Label) -> float:
    """+1.0 when the vote names the better response, else -1.0: wrong, tied, unreadable and missing verdicts alike."""
    return 1.0 if vote.status is Status.OK and vote.winner == label.winner else -1.0


def as_trl_reward(judge: Judge, ends: Collection[int]) -> Callable[..., list[float]]:
    """TRL's reward function."""

    def verdict(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        comparison: Sequence[str],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float]:
        rewards = []
        for text, tokens, told in zip(completions, completion_ids, comparison, strict=True):
            item = Comparison.model_validate_json(told)
            assert item.label is not None
            vote = judge.read(text[0]["content"], item, finished=tokens[-1] in ends)
            rewards.append(verdict_reward(vote, item.label))
            for name, value in _metrics(vote, item).items():
                log_metric(name, value)
        return rewards

    return verdict


def _metrics(vote: Vote, item: Comparison) -> dict[str, float]:
    metrics = {"accuracy": float(verdict_reward(vote, item.label) > 0), "invalid": float(vote.status is not Status.OK)}
    if vote.rationale is not None and item.domain is not None:
        for structure in ("vanilla", "breadth", "depth", "hybrid"):
            metrics[f"structure/{item.domain}/{structure}"] = float(vote.rationale.structure == structure)
    return metrics
