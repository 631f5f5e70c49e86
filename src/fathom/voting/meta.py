"""Votes chosen by a meta reward model: it says how likely each is to be right, and the unlikely ones are left out.

    meta = meta_reward_model("runs/meta")                           # of fathom.judging
    verdict = await Guided(Repeated(judge, 32), meta, keep=0.5)(comparison)      # 16 of 32 votes count

Method: arXiv 2504.02495, section 4.2 and appendix (k_meta = k/2). No vote is changed, and nothing is asked again: which
votes count is all that a meta reward model decides. All votes stay in the verdict, and so do their tokens.

Not promised: that it helps. Errors that are independent between votes go away by voting alone. A meta reward model pays
where some votes share a flaw that can be seen in their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Protocol

from fathom.data.records import Comparison
from fathom.engines.scoring import Scorer
from fathom.errors import FathomError
from fathom.judges import Judge, RewardModel, Vote
from fathom.rationale import Status
from fathom.voting.wrappers import RewardModelWrapper


class Meta(Protocol):
    async def __call__(self, comparison: Comparison, votes: Sequence[Vote]) -> Sequence[float | None]:
        """For each vote, how likely it is to be right; None where that cannot be told."""
        ...


@dataclass(frozen=True)
class MetaRewardModel:
    """Scores a vote by its text, as the answer to what `judge` asks about the responses in the order of the vote."""

    scorer: Scorer
    judge: Judge

    async def __call__(self, comparison: Comparison, votes: Sequence[Vote]) -> list[float | None]:
        self.judge.check(comparison)
        shown = [comparison.reordered(vote.order) if vote.order else comparison for vote in votes]
        return await self.scorer.score(
            [(self.judge.prompt(each), vote.text) for each, vote in zip(shown, votes, strict=True)]
        )


def check(model: RewardModel, comparison: Comparison) -> None:
    """Raises FathomError where a vote is one text on each response: a meta reward model scores one text on all."""
    count = len(comparison.responses)
    if model.pattern == "pointwise" and count > 1:
        raise FathomError(
            f"comparison {comparison.id!r}: a meta reward model scores one text on all responses, and this judge "
            f"writes one on each of {count}; give it single responses (labels of 0 or 1), or take a judge of several"
        )


@dataclass(frozen=True)
class Guided(RewardModelWrapper):
    """Lets only the votes count that the meta reward model takes for the likeliest to be right.

    `keep` is a share of the votes (0.5, at least one vote is kept) or a number of them (16). Votes that cannot be read
    are kept last.
    """

    meta: Meta
    keep: float | int = 0.5

    def __post_init__(self) -> None:
        kept_none = self.keep <= 0 or (isinstance(self.keep, float) and self.keep > 1)
        if kept_none:
            raise FathomError(f"keep={self.keep}: allowed is a share above 0.0 and up to 1.0, or a number from 1")

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        check(self.model, comparison)
        votes = await self.model.votes(comparison, sample)
        return chosen(votes, await self.meta(comparison, votes), self.keep)


def chosen(votes: Sequence[Vote], scores: Sequence[float | None], keep: float | int) -> list[Vote]:
    """The same votes with their meta scores; of those that counted, the best `keep` still do.

    Of equal scores the earlier vote is kept. A vote without a score comes after all that have one.
    """
    scored = list(zip(votes, scores, strict=True))
    admitted = [place for place, vote in enumerate(votes) if vote.counted]
    best = set(sorted(admitted, key=lambda place: _rank(*scored[place]))[: number(keep, len(admitted))])
    return [replace(vote, meta_score=score, counted=place in best) for place, (vote, score) in enumerate(scored)]


def _rank(vote: Vote, score: float | None) -> tuple[bool, float]:
    return vote.status is not Status.OK, inf if score is None else -score


def number(keep: float | int, count: int) -> int:
    """How many of `count` votes are kept: a share is rounded up."""
    return min(keep, count) if isinstance(keep, int) else ceil(keep * count)
