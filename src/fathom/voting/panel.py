"""A panel of judges: each judge's verdict counts as one vote.

    panel = Panel({"mix": MixJudge(engine=a), "rm_r1": Swapped(RMR1Judge(engine=b)), "libra": LibraJudge(engine=c)})
    verdict = await panel(comparison)
    verdict.winner, verdict.agreement               # the majority's choice, and the share of judges that agree

A judge has one vote in the panel, however many votes it casts itself. Judges without a readable verdict are left out
unless the rule requires all of them. A majority needs no common scale. Under `mean` and `sum`, a judge that names
winners contributes the share of its votes for each response, and a judge that gives scores contributes its scores
unchanged, so judges with scores must share a scale. A single response is right if at least half of the judges score it
at or above their own thresholds.

`fathom.judging.panels` combines finished runs by the same functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import Arity, RewardModel, Rule, Verdict, Vote
from fathom.rationale import Status

PANEL_THRESHOLD = 0.5
"""Threshold of a panel on a single response: each judge votes 1.0 (right) or 0.0."""


@dataclass(frozen=True)
class Panel(RewardModel):
    """Combines the verdicts of `members`, judges by name, with the rule `by`. Raises FathomError for fewer than two."""

    members: Mapping[str, RewardModel]
    by: Rule = field(default_factory=Rule)

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise FathomError(f"expected 2 judges or more in a panel; got {', '.join(self.members) or 'none'}")

    @property
    def arity(self) -> Arity:
        """The most restrictive arity of the members.

        Pairwise judges accept only pairs; listwise and pointwise judges accept any number of responses.
        """
        arities = {member.arity for member in self.members.values()}
        most_restrictive_first: tuple[Arity, ...] = ("pairwise", "listwise", "pointwise")
        return next(arity for arity in most_restrictive_first if arity in arities)

    @property
    def rule(self) -> Rule:
        return self.by

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        """One vote per judge, in the order of `members`."""
        members = self.members.values()
        cast = await asyncio.gather(*(member.votes(comparison, sample) for member in members))
        return [as_vote(member.verdict(votes)) for member, votes in zip(members, cast, strict=True)]

    def verdict(self, votes: Sequence[Vote]) -> Verdict:
        return combined(votes, self.by)


def as_vote(verdict: Verdict) -> Vote:
    """One judge's verdict as one vote of a panel, with the usage of all its votes.

    If the verdict has a threshold, the score of a single response is 1.0 at or above it and 0.0 below.
    """
    count = len(verdict.votes[0].order)
    vote = Vote(
        verdict.status,
        order=tuple(range(count)),
        text="\n\n".join(vote.text for vote in verdict.votes),
        usage=verdict.usage,
        error=next((vote.error for vote in verdict.votes if vote.error), None),
    )
    if verdict.status is not Status.OK or verdict.scores is None:
        return vote
    if verdict.rule.aggregate == "majority":
        readable = sum(vote.included and vote.status is Status.OK for vote in verdict.votes)
        return replace(vote, winner=verdict.winner, scores=shares(verdict.scores, readable))
    return replace(vote, winner=verdict.winner, scores=above(verdict.scores, verdict.threshold))


def shares(counts: Sequence[float], votes: int) -> tuple[float, ...]:
    """Each response's share of the votes; a vote for a tie is divided equally among all responses."""
    tied = votes - sum(counts)
    return tuple((count + tied / len(counts)) / votes for count in counts)


def above(scores: Sequence[float], threshold: float | None) -> tuple[float, ...]:
    """The scores unchanged; for a single response and a threshold, 1.0 if the score reaches it, else 0.0."""
    return tuple(scores) if len(scores) > 1 or threshold is None else (float(scores[0] >= threshold),)


def combined(votes: Sequence[Vote], rule: Rule) -> Verdict:
    """The panel's verdict from one vote per judge. Raises ValueError as `Rule` does."""
    if len(votes[0].order) == 1:
        # A single response has no winner for a majority to count, so its mean score decides.
        return Rule(aggregate="mean", invalid=rule.invalid)(votes, threshold=PANEL_THRESHOLD)
    return rule(votes)
