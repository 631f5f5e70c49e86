"""Votes and verdicts: the outcome of one sampled judgment, and the aggregate of several.

A vote records evidence: the text, the parsed outcome, and the order of the responses in the prompt. A verdict
aggregates votes by a rule with named policies. Neither ever turns a failure into a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import exp, isfinite, log, prod
from statistics import fmean
from typing import TypeVar

from fathom.engines.usage import NO_USAGE, Usage
from fathom.rationale import Rationale, Status
from fathom.settings import Aggregate, Invalid, StepReduction, Ties

Value = TypeVar("Value")
OUTCOME = ("winner", "scores", "probabilities", "step_scores")
"""The fields of a vote that only the status `OK` allows."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One sampled judgment of one comparison.

    `winner` and `scores` refer to the comparison's responses by index. `order[k]` is the index of the response shown at
    position k of the prompt. With status `OK`, a `winner` of None is a tie; with any other status, `winner` and
    `scores` are None.

    Scores that are not finite would win or lose comparisons by accident, and are no JSON: a vote with status `OK` that
    is given such a number gets the status `INVALID`, without an outcome.
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
    """The model's reasoning, if the engine returns it separately from `text`. It is never parsed."""
    retry_max_tokens: int | None = None
    """The token limit of the second call, if the first one hit its limit."""
    probabilities: tuple[float, ...] | None = None
    """For each response, the probability that the model names it at the verdict's token. The remainder to 1 belongs to
    ties and to tokens that are no verdict."""
    included: bool = True
    """Whether the vote counts towards the verdict: False if a filter excluded it. Its tokens always count."""
    meta_score: float | None = None
    """The probability, 0 to 1, that the vote is right, as estimated by a meta reward model."""
    residual_probability: float | None = None
    """The probability, 0 to 1, of all tokens but the verdict words, for judges that score by token probabilities."""
    step_scores: tuple[tuple[float | None, ...], ...] | None = None
    """For each response, the scores of its steps, 0 to 1; None for a step that was not judged."""
    per_response: tuple[Vote, ...] = ()
    """The votes of a pointwise judge on each of several responses, from which this vote was merged."""

    def __post_init__(self) -> None:
        unusable = [number for number in self._numbers() if not isfinite(number)]
        if self.status is Status.OK and unusable:
            error = (
                f"the score is {unusable[0]}, not a finite number: the model gives a token no probability, or its "
                "numbers overflow (--dtype float32 helps) or are NaN in its files"
            )
            invalid = {"status": Status.INVALID, "error": error, **dict.fromkeys(OUTCOME)}
            for name, value in invalid.items():
                object.__setattr__(self, name, value)
        outcome = [getattr(self, name) for name in OUTCOME]
        if self.status is not Status.OK and any(value is not None for value in outcome):
            raise ValueError(
                f"a vote with status {self.status!s} can have no winner, scores, step scores or probabilities"
            )

    def _numbers(self) -> Iterator[float]:
        """The scores, probabilities and step scores that are known."""
        for values in (self.scores, self.probabilities, *(self.step_scores or ())):
            yield from (value for value in values or () if value is not None)

    def unpermuted(self, order: tuple[int, ...]) -> Vote:
        """This vote on permuted responses, with indices that refer to the original comparison.

        `order[k]` is the original index of the response at position k. Inverse of `Comparison.permuted(order)`.
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


def reduce_steps(step_scores: Sequence[Sequence[float | None]], reduction: StepReduction) -> tuple[float, ...] | None:
    """Reduce step scores to one score per response; None if no step of some response was judged.

    >>> reduce_steps([(1.0, 0.5, None)], "prod")
    (0.5,)
    """
    judged = [[score for score in steps if score is not None] for steps in step_scores]
    return tuple(map(_REDUCTIONS[reduction], judged)) if all(judged) else None


def scored_by_steps(vote: Vote, reduction: StepReduction | None) -> Vote:
    """The vote with the scores that its step scores reduce to; invalid if no step of some response was judged.

    Without a reduction, the vote itself.
    """
    if vote.step_scores is None or reduction is None:
        return vote
    scores = reduce_steps(vote.step_scores, reduction)
    if scores is None:
        return replace(vote, status=Status.INVALID, step_scores=None, error="no step of a response was judged")
    return replace(vote, scores=scores)


_REDUCTIONS: Mapping[StepReduction, Callable[[Sequence[float]], float]] = {
    "min": min,
    "prod": prod,
    "last": lambda scores: scores[-1],
    "mean": fmean,
    # By logarithms, because the product of many small scores underflows.
    "geometric_mean": lambda scores: exp(fmean(map(log, scores))) if min(scores) > 0 else 0.0,
    "max": max,
    "mean_log_odds": lambda scores: _probability(fmean(map(log_odds, scores))) if max(scores) > 0 else 0.0,
}

_MARGIN = 1e-9
"""Scores nearer than this to 0 or 1 count as this near, because their log-odds are infinite."""


def tempered(score: float, temperature: float) -> float:
    """sigmoid(log-odds of the score / temperature), for a score from 0 to 1; the score itself at a temperature of 1."""
    return score if temperature == 1 else _probability(log_odds(score) / temperature)


def log_odds(probability: float) -> float:
    """log(p / (1 - p)) of a probability p, which counts as 1e-9 away from 0 and 1, where it is infinite."""
    inside = min(max(probability, _MARGIN), 1 - _MARGIN)
    return log(inside / (1 - inside))


def _probability(log_odds: float) -> float:
    # exp of a large number overflows, so it is only taken of negative ones.
    return 1 / (1 + exp(-log_odds)) if log_odds >= 0 else exp(log_odds) / (1 + exp(log_odds))


@dataclass(frozen=True, slots=True)
class Rule:
    """How votes are aggregated to a verdict. `Rule()(votes)` is the majority of the readable votes.

    The scores of a verdict are vote counts under `majority`, and sums or means under the other aggregates. The highest
    score wins; a shared highest score is a tie and is never broken at random. Raises ValueError for `ties="drop"` with
    another aggregate than `majority`.
    """

    aggregate: Aggregate = "majority"
    invalid: Invalid = "drop"
    ties: Ties = "count"
    steps: StepReduction | None = "min"
    """How step scores are reduced to the score of a response, in votes that score steps. None: the votes have scores of
    their own, which depend on more than the scores of steps."""

    def __post_init__(self) -> None:
        if self.ties == "drop" and self.aggregate != "majority":
            raise ValueError(
                f"ties='drop' requires the aggregate 'majority'; got {self.aggregate!r}, under which a vote has scores "
                "even if they tie"
            )

    def __call__(self, votes: Sequence[Vote], *, threshold: float | None = None) -> Verdict:
        """Aggregate votes. `threshold` is the decision threshold of a single response, if there is one.

        A vote counts as invalid if it judged no step of some response, and under `probability` if its error says that
        its probabilities are unknown. Raises ValueError if no vote is included, or if votes lack the scores or
        probabilities to aggregate.
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
        unknown = self.aggregate == "probability" and vote.probabilities is None and vote.error is not None
        lacking = unknown or (vote.step_scores is not None and self.values(vote) is None)
        return Status.INVALID if lacking and vote.status is Status.OK else vote.status

    def _scores(self, votes: Sequence[Vote], n: int) -> tuple[float, ...]:
        if self.aggregate == "majority":
            tally = Counter(vote.winner for vote in votes)
            return tuple(float(tally[i]) for i in range(n))
        totals = [sum(values) for values in zip(*map(self._values, votes), strict=True)] or [0.0] * n
        return tuple(totals if self.aggregate == "sum" else [total / max(len(votes), 1) for total in totals])

    def values(self, vote: Vote) -> tuple[float, ...] | None:
        """The values of a vote that the rule aggregates, one per response; None if the vote has none."""
        if self.aggregate == "probability":
            return vote.probabilities
        if vote.step_scores is None or self.steps is None:
            return vote.scores
        return reduce_steps(vote.step_scores, self.steps)

    def _values(self, vote: Vote) -> tuple[float, ...]:
        values = self.values(vote)
        if values is None:
            kind = "probabilities" if self.aggregate == "probability" else "scores"
            asked = kind == "probabilities"
            hint = "Sampling(top_logprobs=5) asks for them" if asked else "some judges name a winner and give no scores"
            raise ValueError(
                f"the aggregate {self.aggregate!r} needs {kind} in every vote, but a vote has none ({hint})"
            )
        return values


def _agreement(votes: Sequence[Vote], winner: int | None) -> float:
    """The share of the votes that name the verdict's outcome.

    A tie may result from votes none of which names a tie, for example one vote for each response. The share would be 0
    although the votes partly agree, so the share of the most frequent outcome is used instead.
    """
    outcomes = Counter(vote.winner for vote in votes)
    unnamed_tie = winner is None and None not in outcomes
    return (max(outcomes.values()) if unnamed_tie else outcomes[winner]) / len(votes)


def unique_argmax(scores: Sequence[float]) -> int | None:
    """The index of the highest score; None if several share it or there is only one score."""
    best = max(scores)
    return scores.index(best) if len(scores) > 1 and scores.count(best) == 1 else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The aggregate of the votes on one comparison.

    `winner` is the index of a response, or None for a tie or no verdict. `status` is `OK` for a winner or a tie, and
    otherwise the most frequent status of the unreadable votes; then `scores` (one per response) and `agreement` are
    None. `agreement` is the share of the readable votes that name the verdict's outcome or, for a tie that no vote
    names, the most frequent outcome. It is None for a single response.
    """

    votes: tuple[Vote, ...]
    status: Status
    winner: int | None
    scores: tuple[float, ...] | None
    agreement: float | None
    rule: Rule
    threshold: float | None = None
    """Decision threshold of a single response: at or above is correct. None if scores only compare responses."""

    @property
    def usage(self) -> Usage:
        return sum((vote.usage for vote in self.votes), Usage())

    @property
    def failed(self) -> bool:
        """Whether any call for a vote failed, even if the other votes give a verdict."""
        return any(each.status is Status.FAILED for vote in self.votes for each in (vote, *vote.per_response))

    @property
    def flip_rate(self) -> float | None:
        """The share, 0 to 1, of pairs of votes in different orders of the responses that name different outcomes.

        The i-th vote in one order is paired with the i-th vote in every other order. None if there is no pair of
        readable votes.
        """
        flips = [one.winner != other.winner for one, other in _reordered(self.votes)]
        return sum(flips) / len(flips) if flips else None


def _reordered(votes: Sequence[Vote]) -> Iterator[tuple[Vote, Vote]]:
    """Pairs of readable votes that saw the responses in different orders, matched by their number within the order."""
    by_order: dict[tuple[int, ...], list[Vote]] = {}
    for vote in votes:
        by_order.setdefault(vote.order, []).append(vote)
    for these, those in combinations(by_order.values(), 2):
        for one, other in zip(these, those, strict=False):
            if one.status is Status.OK and other.status is Status.OK:
                yield one, other
