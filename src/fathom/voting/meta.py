"""Filter votes by a meta reward model, which estimates the probability that each vote is right.

    meta = meta_reward_model("runs/meta")                                          # from fathom.judging
    verdict = await MetaFiltered(Repeated(judge, 32), meta, keep=0.5)(comparison)  # 16 of 32 votes count

Method: arXiv 2504.02495, section 4.2 and appendix (k_meta = k/2). The meta reward model only decides which votes count.
It neither changes nor resamples a vote, and all votes and their tokens stay in the verdict.

It does not always help. Voting alone averages out errors that are independent between votes. A meta reward model helps
if votes share a flaw that is visible in their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Protocol

from fathom.data.records import Comparison
from fathom.engines.scoring import Scorer
from fathom.errors import FathomError
from fathom.judges import Judge, RewardModel, RewardModelWrapper, Vote
from fathom.rationale import Status


class Meta(Protocol):
    async def __call__(self, comparison: Comparison, votes: Sequence[Vote]) -> Sequence[float | None]:
        """The probability that each vote is right, in the order of `votes`; None if the vote cannot be scored."""
        ...


@dataclass(frozen=True)
class MetaRewardModel:
    """Scores a vote with a classifier that reads the judge's prompt, in the vote's order, and the vote's text."""

    scorer: Scorer
    judge: Judge

    async def __call__(self, comparison: Comparison, votes: Sequence[Vote]) -> list[float | None]:
        self.judge.check(comparison)
        prompts = [self.judge.prompt(comparison.permuted(vote.order) if vote.order else comparison) for vote in votes]
        return await self.scorer.score([(prompt, vote.text) for prompt, vote in zip(prompts, votes, strict=True)])


def check(model: RewardModel, comparison: Comparison) -> None:
    """Raise FathomError if the model writes a separate text per response, which a meta reward model cannot score."""
    count = len(comparison.responses)
    if model.arity == "pointwise" and count > 1:
        raise FathomError(
            f"comparison {comparison.id!r}: a meta reward model scores one text on all responses, but this judge "
            f"writes a separate text for each of {count}; expected single responses (labels of 0 or 1), or a judge "
            "that sees several responses at once"
        )


@dataclass(frozen=True)
class MetaFiltered(RewardModelWrapper):
    """Counts only the votes that the meta reward model scores highest.

    `keep` is a fraction of the votes (a float in (0, 1], rounded up) or a number of votes (an int from 1). Unreadable
    votes rank last. Raises FathomError for other values of `keep`.
    """

    meta: Meta
    keep: float | int = 0.5

    def __post_init__(self) -> None:
        kept_none = self.keep <= 0 or (isinstance(self.keep, float) and self.keep > 1)
        if kept_none:
            raise FathomError(
                f"keep={self.keep}: expected a fraction of the votes above 0.0 and up to 1.0, or a number from 1"
            )

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        check(self.model, comparison)
        votes = await self.model.votes(comparison, sample)
        return keep_best(votes, await self.meta(comparison, votes), self.keep)


def keep_best(votes: Sequence[Vote], scores: Sequence[float | None], keep: float | int) -> list[Vote]:
    """The same votes with their meta scores; of the votes that counted before, only the best `keep` still count.

    Ties go to the earlier vote. Votes without a score rank after all others.
    """
    scored = list(zip(votes, scores, strict=True))
    admitted = [place for place, vote in enumerate(votes) if vote.included]
    # `sorted` is stable, so the earlier of two equal votes comes first.
    best = set(sorted(admitted, key=lambda place: _sort_key(*scored[place]))[: n_kept(keep, len(admitted))])
    return [replace(vote, meta_score=score, included=place in best) for place, (vote, score) in enumerate(scored)]


def _sort_key(vote: Vote, score: float | None) -> tuple[bool, float]:
    return vote.status is not Status.OK, inf if score is None else -score


def n_kept(keep: float | int, count: int) -> int:
    """The number of votes kept out of `count`: a fraction is rounded up, a number is capped at `count`."""
    return min(keep, count) if isinstance(keep, int) else ceil(keep * count)
