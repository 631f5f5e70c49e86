"""Votes and verdicts: what one sampled judgement said, and what several of them amount to.

A vote is evidence, not a score: what the model wrote, what could be read from it, in which order it saw the responses.
A verdict counts votes under policies that are named in it. Neither turns a failure into a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import exp, log, prod
from statistics import fmean
from typing import TypeVar

from fathom.engines.usage import NO_USAGE, Usage
from fathom.rationale import Rationale, Status
from fathom.settings import Aggregate, Invalid, StepReduction, Ties

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Vote:
    """One sampled judgement of one comparison.

    `winner` and `scores` speak of the comparison's responses by their index; `order[k]` is the index of the response
    that the model was shown in place k. With status `OK` a `winner` of `None` is a tie; with any other status
    `winner` and `scores` are `None`.
    """

    status: Status
    winner: int | None = None
    scores: tuple[float, ...] | None = None
    order: tuple[int, ...] = ()
    rationale: Rationale | None = None
    text: str = ""
    usage: Usage = NO_USAGE
    error: str | None = None
    reasoning: str = ""
    """What the model thought, where the engine tells that from `text`; nothing is read from it."""
    retry_max_tokens: int | None = None
    """The token limit of a second try, where the first one met its own."""
    probabilities: tuple[float, ...] | None = None
    """For each response, the probability that the model named it, read where it did. What is missing to 1 went to a
    tie and to all that is no verdict."""
    included: bool = True
    """Whether it may decide: False where a filter, such as a meta reward model, has left it out. Its tokens count."""
    meta_score: float | None = None
    """How likely a meta reward model took it to be right, 0 to 1, where one was asked."""
    residual_probability: float | None = None
    """The probability that went to none of the words that decide, 0 to 1, where the judge weighs them by it."""
    step_scores: tuple[tuple[float | None, ...], ...] | None = None
    """For each response, the scores of its steps, 0 to 1; None for a step that was not judged."""
    per_response: tuple[Vote, ...] = ()
    """The vote on each response alone, in their order, where a judge that sees one at a time was asked about several.
    What it wrote about each, and which it could not judge, is told there."""

    def __post_init__(self) -> None:
        told = (self.winner, self.scores, self.probabilities, self.step_scores)
        if self.status is not Status.OK and any(value is not None for value in told):
            raise ValueError(
                f"a vote with status {self.status!s} can have no winner, scores, step scores or probabilities"
            )

    def unpermuted(self, order: tuple[int, ...]) -> Vote:
        """This vote on responses shown in `order`, told about the comparison as it was before reordering.

        `order[k]` is the original index of the response in place k. Inverse of `Comparison.permuted(order)`.
        """
        return replace(
            self,
            winner=None if self.winner is None else order[self.winner],
            scores=_put_back(self.scores, order),
            step_scores=_put_back(self.step_scores, order),
            probabilities=_put_back(self.probabilities, order),
            order=tuple(order[k] for k in self.order),
            per_response=_put_back(self.per_response or None, order) or (),
        )


def _put_back(values: tuple[Value, ...] | None, order: tuple[int, ...]) -> tuple[Value, ...] | None:
    return None if values is None else tuple(values[order.index(i)] for i in range(len(order)))


def reduce_steps(step_scores: Sequence[Sequence[float | None]], reduction: StepReduction) -> tuple[float, ...]:
    """One score for each response, of the scores of its steps; a response of which no step was judged scores 0.

    >>> reduce_steps([(1.0, 0.5, None)], "prod")
    (0.5,)
    """
    return tuple(
        _REDUCTIONS[reduction]([score for score in steps if score is not None] or [0.0]) for steps in step_scores
    )


_REDUCTIONS: Mapping[StepReduction, Callable[[Sequence[float]], float]] = {
    "min": min,
    "prod": prod,
    "last": lambda scores: scores[-1],
    "mean": fmean,
    # Of logarithms, because the product of many small scores would be 0.
    "geometric_mean": lambda scores: exp(fmean(map(log, scores))) if min(scores) > 0 else 0.0,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """How votes become a verdict, each policy by its name. `Rule()(votes)` is the majority of what could be read.

    Under `majority` the responses' scores are their votes, under the other aggregates what these add up to. The
    highest score wins; a tie between the leading responses is a tie, never a coin. Raises ValueError for ties that are
    to be dropped under another aggregate than `majority`.
    """

    aggregate: Aggregate = "majority"
    invalid: Invalid = "drop"
    ties: Ties = "count"
    steps: StepReduction = "min"
    """How the scores of its steps become the score of a response, in votes that score steps."""

    def __post_init__(self) -> None:
        if self.ties == "drop" and self.aggregate != "majority":
            raise ValueError(
                f"ties='drop' goes with the aggregate 'majority', not {self.aggregate!r}: equal scores are scores, and "
                "so is the only one of a single response"
            )

    def __call__(self, votes: Sequence[Vote], *, threshold: float | None = None) -> Verdict:
        """The verdict; `threshold` is the score at which a single response counts as right, where there is one.

        Raises ValueError where there are no votes, or votes without the scores or probabilities to aggregate.

        A vote whose probabilities were asked for and not found says so in its error. Under `probability` it is invalid.
        """
        admitted = [vote for vote in votes if vote.included]
        if not admitted:
            raise ValueError("a verdict needs at least one vote that counts")
        statuses = [self._status(vote) for vote in admitted]
        readable = [vote for vote, status in zip(admitted, statuses, strict=True) if status is Status.OK]
        unreadable = [status for status in statuses if status is not Status.OK]
        if not readable or (unreadable and self.invalid == "require"):
            status = Counter(unreadable).most_common(1)[0][0]
            return Verdict(tuple(votes), status, None, None, None, self, threshold)
        counted = [vote for vote in readable if vote.winner is not None] if self.ties == "drop" else readable
        scores = self._scores(counted, max(len(vote.order) or (vote.winner or 0) + 1 for vote in readable))
        winner = unique_argmax(scores)
        if self.aggregate == "majority" and winner is not None:
            tied = sum(vote.winner is None for vote in counted)
            winner = winner if scores[winner] > tied else None
        agreement = _agreement(readable, winner) if len(scores) > 1 else None
        return Verdict(tuple(votes), Status.OK, winner, scores, agreement, self, threshold)

    def _status(self, vote: Vote) -> Status:
        lacking = self.aggregate == "probability" and vote.probabilities is None and vote.error is not None
        return Status.INVALID if lacking and vote.status is Status.OK else vote.status

    def _scores(self, votes: Sequence[Vote], n: int) -> tuple[float, ...]:
        if self.aggregate == "majority":
            tally = Counter(vote.winner for vote in votes)
            return tuple(float(tally[i]) for i in range(n))
        totals = [sum(values) for values in zip(*map(self._values, votes), strict=True)] or [0.0] * n
        return tuple(totals if self.aggregate == "sum" else [total / max(len(votes), 1) for total in totals])

    def values(self, vote: Vote) -> tuple[float, ...] | None:
        """What the rule adds up of a vote: for each response its probability or its score; None where it has none."""
        if self.aggregate == "probability":
            return vote.probabilities
        return vote.scores if vote.step_scores is None else reduce_steps(vote.step_scores, self.steps)

    def _values(self, vote: Vote) -> tuple[float, ...]:
        values = self.values(vote)
        if values is None:
            kind = "probabilities" if self.aggregate == "probability" else "scores"
            asked = kind == "probabilities"
            hint = "Sampling(top_logprobs=5) asks for them" if asked else "some judges name a winner and give no scores"
            raise ValueError(f"the aggregate {self.aggregate!r} takes votes with {kind}; there is one without ({hint})")
        return values


def _agreement(votes: Sequence[Vote], winner: int | None) -> float:
    """The share of the votes that name the outcome of the verdict.

    Votes may tie without one of them naming a tie: one for each response. Then no vote can name the outcome, and 0
    would say less than is known; the share of the most frequent outcome says how united they are.
    """
    outcomes = Counter(vote.winner for vote in votes)
    unnamed_tie = winner is None and None not in outcomes
    return (max(outcomes.values()) if unnamed_tie else outcomes[winner]) / len(votes)


def unique_argmax(scores: Sequence[float]) -> int | None:
    """The index of the highest score; None where it is shared, or stands alone as the only one."""
    best = max(scores)
    return scores.index(best) if len(scores) > 1 and scores.count(best) == 1 else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the votes on one comparison amount to: `winner` is a response's index, or `None` for a tie or no verdict.

    `status` is `OK` when a winner or a tie was found, and otherwise the status most of the unreadable votes had; then
    `scores`, one a response, and `agreement` are `None`. `agreement` is the share of the readable votes that name the
    verdict's outcome; of a tie that no vote names, the share of the most frequent outcome. It is `None` for a single
    response, which has no rival.
    """

    votes: tuple[Vote, ...]
    status: Status
    winner: int | None
    scores: tuple[float, ...] | None
    agreement: float | None
    rule: Rule
    threshold: float | None = None
    """The lowest score at which the judge calls a single response right; None where its scores only compare."""

    @property
    def usage(self) -> Usage:
        return sum((vote.usage for vote in self.votes), Usage())

    @property
    def failed(self) -> bool:
        """Whether any call failed that a vote was asked for by, whatever the other votes say."""
        return any(each.status is Status.FAILED for vote in self.votes for each in (vote, *vote.per_response))

    @property
    def flip_rate(self) -> float | None:
        """How often a vote names another outcome when the responses are shown in another order, 0 to 1.

        The first vote in one order is held against the first in each other order, the second against the second, and
        so on. None where no two readable votes can be held against each other.
        """
        flips = [one.winner != other.winner for one, other in _reordered(self.votes)]
        return sum(flips) / len(flips) if flips else None


def _reordered(votes: Sequence[Vote]) -> Iterator[tuple[Vote, Vote]]:
    """Pairs of readable votes that saw the responses in different orders and were cast at the same turn."""
    by_order: dict[tuple[int, ...], list[Vote]] = {}
    for vote in votes:
        by_order.setdefault(vote.order, []).append(vote)
    for these, those in combinations(by_order.values(), 2):
        for one, other in zip(these, those, strict=False):
            if one.status is Status.OK and other.status is Status.OK:
                yield one, other
