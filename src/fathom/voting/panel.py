"""A panel of judges: each gives a verdict, and the verdicts are counted as votes are.

    panel = Panel({"mix": MixJudge(engine=a), "rm_r1": Swapped(RMR1Judge(engine=b)), "libra": LibraJudge(engine=c)})
    verdict = await panel(comparison)
    verdict.winner, verdict.agreement               # what most judges say, and how many of them

However many votes a judge casts, it has one voice. Judges whose verdict could not be read are left out, unless the rule
says otherwise. A majority needs no common scale. Under `mean` and `sum`, judges that name winners give the shares of
their votes, and judges that give scores these scores as they are: such judges need one scale. A single response is
right where at least half of the judges find it at or above their own thresholds.

`fathom.judging.panels` makes the same verdicts of finished runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import Pattern, RewardModel, Rule, Verdict, Vote
from fathom.rationale import Status

HALF = 0.5


@dataclass(frozen=True)
class Panel(RewardModel):
    """Judges by their names. Raises FathomError for fewer than two."""

    members: Mapping[str, RewardModel]
    by: Rule = field(default_factory=Rule)

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise FathomError(f"a panel has 2 judges or more; got {', '.join(self.members) or 'none'}")

    @property
    def pattern(self) -> Pattern:
        """That of the member which takes the fewest kinds of comparisons: judges of one response are asked in turn."""
        patterns = {member.pattern for member in self.members.values()}
        order: tuple[Pattern, ...] = ("pairwise", "listwise", "pointwise")
        return next(pattern for pattern in order if pattern in patterns)

    @property
    def rule(self) -> Rule:
        return self.by

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        """One vote for each judge, in their order."""
        members = self.members.values()
        cast = await asyncio.gather(*(member.votes(comparison, sample) for member in members))
        return [as_vote(member.verdict(votes)) for member, votes in zip(members, cast, strict=True)]

    def verdict(self, votes: Sequence[Vote]) -> Verdict:
        return combined(votes, self.by)


def as_vote(verdict: Verdict) -> Vote:
    """A verdict as one judge's vote: its winner, its scores, and all that its votes cost.

    Of a single response the score is 1.0 at the verdict's threshold or above and else 0.0, where it has one.
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
        readable = sum(vote.counted and vote.status is Status.OK for vote in verdict.votes)
        return replace(vote, winner=verdict.winner, scores=shares(verdict.scores, readable))
    return replace(vote, winner=verdict.winner, scores=above(verdict.scores, verdict.threshold))


def shares(counts: Sequence[float], votes: int) -> tuple[float, ...]:
    """The share of the votes for each response, where votes for a tie are divided among all."""
    tied = votes - sum(counts)
    return tuple((count + tied / len(counts)) / votes for count in counts)


def above(scores: Sequence[float], threshold: float | None) -> tuple[float, ...]:
    """Scores as they are; of a single response whether it is at the threshold or above, where there is one."""
    return tuple(scores) if len(scores) > 1 or threshold is None else (float(scores[0] >= threshold),)


def combined(votes: Sequence[Vote], rule: Rule) -> Verdict:
    """The verdict of a panel whose judges said so. Raises ValueError, as `Rule` does."""
    if len(votes[0].order) == 1:
        return Rule(aggregate="mean", invalid=rule.invalid)(votes, threshold=HALF)
    return rule(votes)
